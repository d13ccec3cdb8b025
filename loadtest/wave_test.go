package loadtest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// waiting is a lane that holds so many open sessions, with a broadcast each second.
func waiting(sessions int) *lane {
	l := &lane{
		e: &Engine{start: time.Now()}, phase: holding, told: true, tally: newTally(),
		sessions: make([]session, sessions), receivers: newMembers(sessions),
		plan: scenario.Plan{Broadcasts: scenario.Series{Step: 1, Total: 100, Rate: 1}},
	}
	for i := range l.sessions {
		l.sessions[i].state = open
		l.receivers.add(i)
	}
	return l
}

// TestSpreadIsOfArrivals: sockets are not read in the order in which a broadcast arrived.
func TestSpreadIsOfArrivals(t *testing.T) {
	l := waiting(4)
	for i, at := range []time.Duration{20, 10, 40, 30} {
		l.receipt(i, 0, at*time.Millisecond)
	}
	if w := l.tellWaves(false)[0]; w.first != 10*time.Millisecond || w.last != 40*time.Millisecond || w.receipts != 4 {
		t.Errorf("%+v", w)
	}
}

// TestReceiptsCountOnce has a session that gets a broadcast twice, one that we end, one
// that the server ends, and one that came later.
func TestReceiptsCountOnce(t *testing.T) {
	l := waiting(4)
	l.receivers.remove(3)
	l.receipt(0, 0, time.Millisecond)
	l.receipt(0, 0, 2*time.Millisecond)
	l.receivers.add(3)
	l.receipt(3, 0, 3*time.Millisecond)
	l.giveUpOn(1, true)
	if told := l.tellWaves(false); len(told) > 0 || l.awaited != 1 {
		t.Errorf("told %+v, and %d are awaited", told, l.awaited)
	}
	l.giveUpOn(2, false)
	w := l.tellWaves(false)[0]
	if w.receipts != 1 || w.expected != 2 || w.last != time.Millisecond || l.awaited != 0 || l.tally.counts[expected] != 2 {
		t.Errorf("%+v, and %d are awaited", w, l.awaited)
	}
	if n := l.tally.histograms[deliver].TotalCount(); n != 1 {
		t.Errorf("%d deliveries", n)
	}
}

// TestToldBroadcastsAreForgotten completes them out of order; what comes of them later
// begins none anew, and shows in the latency if it was missed.
func TestToldBroadcastsAreForgotten(t *testing.T) {
	l := waiting(1)
	f := func(toldNow, kept int) {
		t.Helper()
		if told := l.tellWaves(false); len(told) != toldNow || len(l.waves) != kept {
			t.Errorf("%d told, %d kept; want %d, %d", len(told), len(l.waves), toldNow, kept)
		}
	}
	l.begin(2)
	f(0, 3)
	l.receipt(0, 1, time.Second)
	f(1, 3)
	l.receipt(0, 0, time.Second)
	f(1, 1)
	l.e.start = l.e.start.Add(-2*time.Second - waveAge - time.Millisecond)
	f(1, 0)
	if l.awaited != 0 || l.oldest != 3 {
		t.Errorf("%d are awaited; the next broadcast is %d", l.awaited, l.oldest)
	}
	l.receipt(0, 1, 2*time.Second)
	l.receipt(0, 2, 3*time.Second+waveAge)
	if n := l.tally.histograms[deliver].TotalCount(); n != 3 || len(l.waves) > 0 {
		t.Errorf("%d deliveries, %d broadcasts begun anew", n, len(l.waves))
	}
}

// TestBroadcastsBeginWhenDue: who comes later is not expected to get one that is due and
// that the lane has not come to yet.
func TestBroadcastsBeginWhenDue(t *testing.T) {
	l := waiting(2)
	l.beginDue(2500 * time.Millisecond)
	if len(l.waves) != 3 || l.waves[2].expected != 2 {
		t.Errorf("%d have begun", len(l.waves))
	}
	l.beginDue(time.Hour)
	if len(l.waves) != 100 {
		t.Errorf("%d have begun of 100", len(l.waves))
	}
}

// TestLeaversAreNotMissing has a server that takes its time with a broadcast, until two
// of four connections have been replaced, and then sends it twice to all there are.
func TestLeaversAreNotMissing(t *testing.T) {
	s := &server{}
	asked := make(chan []byte, 1)
	s.message = func(_ *gws.Conn, payload []byte) { asked <- append([]byte(nil), payload...) }
	var opened atomic.Int64
	s.opened = func(*gws.Conn) {
		if opened.Add(1) == 6 {
			payload := <-asked
			s.broadcast(payload)
			s.broadcast(payload)
		}
	}
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, BroadcastMessage: "{payload}",
		Scenario: parse(t, "connections: 4", "hold: 1s", "broadcasts: {rate: 1, bytes: 100}", "churn: {rate: 4}"),
	}, nil)
	if len(o.broadcasts) != 1 {
		t.Fatalf("%+v", o.broadcasts)
	}
	b := o.broadcasts[0]
	if b.Receipts != b.Expected || b.Expected > 2 || o.total(record.Deliver) != int64(b.Receipts) || o.counts[record.Expected] != int64(b.Expected) {
		t.Errorf("%+v, %d deliveries, expected %d", b, o.total(record.Deliver), o.counts[record.Expected])
	}
}

// TestSlowReadersOfALateLane has a lane that comes to the hold after another's first
// broadcast.
func TestSlowReadersOfALateLane(t *testing.T) {
	s := &server{}
	s.message = func(_ *gws.Conn, payload []byte) { s.broadcast(payload) }
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, BroadcastMessage: "{payload}", Loops: 2,
		Scenario: parse(t, "connections: 20", "hold: 1s", "broadcasts: {rate: 1, bytes: 100}", "slow_readers: {share: 0.5}"),
	}, func(e *Engine) {
		l := e.lanes[1]
		var stall func(time.Time)
		stall = func(time.Time) {
			if !l.told {
				l.at(e.now(), stall)
				return
			}
			<-time.After(300 * time.Millisecond)
		}
		l.at(e.now(), stall)
	})
	o.want(t, map[record.Count]int64{record.Paused: 10, record.Expected: 10})
	if n := o.total(record.Deliver); n != 10 {
		t.Errorf("%d deliveries to 10", n)
	}
}
