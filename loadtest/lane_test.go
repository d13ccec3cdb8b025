package loadtest

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
)

// TestLatenciesEndByArrival has a loop that comes to a close frame, and to the answer to
// a handshake, a minute after they arrived.
func TestLatenciesEndByArrival(t *testing.T) {
	c := &client.Conn{}
	l := waiting(1)
	l.parallel, l.e.start = 1, l.e.start.Add(-time.Minute)
	l.e.job.Scenario = parse(t, "connections: 1", "expire: {timeout: 1s}")
	l.sessions[0].conn, l.sessions[0].active = c, 100*time.Millisecond
	l.closed(c, 4202, nil, 1150*time.Millisecond)
	l.sessions[0] = session{state: opening, storm: true, lost: 2 * time.Second, active: 2100 * time.Millisecond}
	l.opened(c, 20*time.Millisecond, 30*time.Millisecond)
	for m, want := range map[measure]time.Duration{expiry: 50 * time.Millisecond, reconnect: 150 * time.Millisecond} {
		if got := time.Duration(l.tally.histograms[m].Max()); got < want || got > want+time.Millisecond {
			t.Errorf("%s: %v, want %v", measureNames[m], got, want)
		}
	}
}

// TestOnlyTheSilentVanished: where the system cannot silence a connection, it is an error.
func TestOnlyTheSilentVanished(t *testing.T) {
	l := &lane{tally: newTally(), sessions: make([]session, 1)}
	for _, kind := range []string{client.KindVanished, client.KindNotVanished, client.KindNotVanished} {
		l.closed(&client.Conn{}, noFrame, &client.Error{Kind: kind}, 0)
	}
	if l.tally.counts[vanished] != 1 || l.tally.errors[client.KindNotVanished] != 2 || l.tally.counts[closed]+l.tally.counts[left] != 0 {
		t.Errorf("%v, errors %v", l.tally.counts, l.tally.errors)
	}
}
