package loadtest

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// waiting is a lane that holds so many open sessions, with a broadcast each second.
func waiting(sessions int) *lane {
	e := &Engine{start: time.Now(), job: Job{Scenario: scenario.Scenario{Broadcasts: &scenario.Broadcasts{Rate: 1}}}}
	l := &lane{
		e: e, phase: holding, told: true, tally: newTally(), sessions: make([]session, sessions), receivers: sessions,
		plan:  scenario.Plan{Broadcasts: scenario.Series{Step: 1, Total: 100, Rate: 1}},
		waves: map[int]*wave{},
	}
	for i := range l.sessions {
		l.sessions[i].state = open
	}
	return l
}

// TestSpreadIsOfArrivals: sockets are not read in the order in which a broadcast arrived.
func TestSpreadIsOfArrivals(t *testing.T) {
	l := waiting(4)
	for i, at := range []time.Duration{20, 10, 40, 30} {
		l.receipt(&l.sessions[i], 0, at*time.Millisecond)
	}
	if w := l.waves[0]; w.first != 10*time.Millisecond || w.last != 40*time.Millisecond || w.receipts != 4 {
		t.Errorf("%+v", w)
	}
}
