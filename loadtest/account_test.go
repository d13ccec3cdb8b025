package loadtest

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// wantAccount fails unless all that was due has an outcome, in a run without messages.
func (o *outcome) wantAccount(t *testing.T) {
	t.Helper()
	c := o.counts
	if sum := c[record.Opened] + c[record.Failed] + c[record.Dropped] + c[record.CutOff]; c[record.Due] != sum {
		t.Errorf("%d due, and %d opened, failed, dropped or cut off: %v", c[record.Due], sum, c)
	}
}

// TestStormsAreAccountedFor ends them in every state: reconnects that are due later than
// the hold, refused ones that would try again, and handshakes that are not answered.
func TestStormsAreAccountedFor(t *testing.T) {
	const n = 40
	f := func(name string, refuse func(handshake int64) bool, storm string, hold string) *outcome {
		t.Helper()
		var handshakes atomic.Int64
		s := (&server{refuse: func() bool { return refuse(handshakes.Add(1)) }}).serve(t)
		o := run(t, t.Context(), Job{Targets: []string{s.url}, HandshakeTimeout: time.Minute, Scenario: parse(t, "connections: 40", hold, storm)}, nil)
		o.wantAccount(t)
		t.Logf("%s: %v, %d came back", name, o.counts, o.total(record.Reconnect))
		return o
	}
	all := func(int64) bool { return false }
	o := f("jitter beyond the hold", all, "storm: {times: 1, jitter: 4s}", "hold: 1s")
	if back := o.total(record.Reconnect); back == 0 || o.counts[record.CutOff] == 0 || back+o.counts[record.CutOff]+o.counts[record.Dropped] != n {
		t.Errorf("%d came back of %d: %v", back, n, o.counts)
	}
	o = f("refused, and no time to try again", func(h int64) bool { return h > n && h%4 == 0 }, "storm: {times: 1, jitter: 100ms}", "hold: 700ms")
	if o.total(record.Reconnect) != 30 || o.counts[record.Failed] != 10 || o.counts[record.CutOff] != 10 {
		t.Errorf("%d came back: %v", o.total(record.Reconnect), o.counts)
	}
	o = f("refused, and tried again", func(h int64) bool { return h > n && h <= n+10 }, "storm: {times: 2, jitter: 0s}", "hold: 5s")
	if o.total(record.Reconnect) != 2*n || o.counts[record.CutOff] != 0 {
		t.Errorf("%d came back: %v", o.total(record.Reconnect), o.counts)
	}
}

// TestHandshakesCutOffAreCounted has a server that does not answer half of them when the
// run is interrupted.
func TestHandshakesCutOffAreCounted(t *testing.T) {
	release := make(chan struct{})
	var handshakes atomic.Int64
	s := (&server{refuse: func() bool {
		if handshakes.Add(1) > 5 {
			<-release
		}
		return false
	}}).serve(t)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	o := run(t, ctx, Job{Targets: []string{s.url}, HandshakeTimeout: time.Minute, Scenario: parse(t, "connections: 12", "hold: 1h")}, nil)
	o.want(t, map[record.Count]int64{record.Opened: 5, record.CutOff: 7, record.Failed: 0})
	o.wantAccount(t)
}

// TestConnectsThatWaitedAreDropped has a server that answers none, so that those that
// are due by the rate wait for the first: an interrupt finds them due and not begun.
func TestConnectsThatWaitedAreDropped(t *testing.T) {
	release := make(chan struct{})
	s := (&server{refuse: func() bool { <-release; return false }}).serve(t)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	o := run(t, ctx, Job{Targets: []string{s.url}, Loops: 1, HandshakeTimeout: time.Minute, Scenario: parse(t, "connections: 10000", "connect: {rate: 1000, parallel: 4}", "hold: 1s")}, nil)
	o.want(t, map[record.Count]int64{record.Opened: 0, record.CutOff: 4})
	o.wantAccount(t)
	if n := o.counts[record.Dropped]; n == 0 || n > 9_900 {
		t.Errorf("%d dropped: %v", n, o.counts)
	}
}

// TestAnswersToWhomeverLeaves has each connection leave with a message under way, which
// a slow server still answers, before the close frame or, every fourth, not at all.
func TestAnswersToWhomeverLeaves(t *testing.T) {
	f := func(answer func(k int) bool, unansweredToo bool) {
		t.Helper()
		s := (&server{message: func(c *gws.Conn, payload []byte) {
			<-time.After(20 * time.Millisecond)
			if k := bytes.LastIndexByte(payload[:markLength-1], ':'); answer(int(payload[k+numberLength])) {
				_ = c.WriteMessage(gws.OpcodeText, payload)
			}
		}}).serve(t)
		o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 10", "hold: 1s",
			"messages: {rate: 100, bytes: 64, echo: true}", "churn: {rate: 100}")}, nil)
		t.Logf("%v, %d echoes", o.counts, o.total(record.Echo))
		if missing := o.counts[record.Unanswered]; (missing > 0) != unansweredToo || o.total(record.Echo)+missing != o.counts[record.Sent] || o.counts[record.Sent] == 0 {
			t.Errorf("%d sent, %d echoes, %d unanswered", o.counts[record.Sent], o.total(record.Echo), missing)
		}
	}
	f(func(int) bool { return true }, false)
	f(func(digit int) bool { return digit%4 != 0 }, true)
}

// TestAbandonedEchoesAreNotTheServers: a storm cuts connections with echoes under way.
func TestAbandonedEchoesAreNotTheServers(t *testing.T) {
	s := (&server{message: func(c *gws.Conn, payload []byte) {
		<-time.After(20 * time.Millisecond)
		_ = c.WriteMessage(gws.OpcodeText, payload)
	}}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 10", "hold: 1s",
		"messages: {rate: 200, bytes: 64, echo: true}", "storm: {times: 5, jitter: 0s}")}, nil)
	o.want(t, map[record.Count]int64{record.Unanswered: 0})
	if o.counts[record.Abandoned] == 0 || o.total(record.Echo)+o.counts[record.Abandoned] != o.counts[record.Sent] {
		t.Errorf("%d echoes of %v", o.total(record.Echo), o.counts)
	}
}

// TestLateConnectsAreTheTools has more connects due than the tool can begin at once, and
// none that waits for another: whatever is late is late for the tool alone.
func TestLateConnectsAreTheTools(t *testing.T) {
	s := (&server{}).serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, Loops: 1,
		Scenario: parse(t, "connections: 1500", "connect: {rate: 1000000, parallel: 1500}"),
	}, nil)
	o.want(t, map[record.Count]int64{record.Due: 1500, record.Opened: 1500})
	var lags int64
	for _, bar := range o.histograms[record.Lag].Distribution() {
		if bar.To >= int64(time.Millisecond) {
			lags += bar.Count
		}
	}
	if late := o.counts[record.Late]; lags < late || late == 0 {
		t.Errorf("%d connects were late, and %d show in the lag", late, lags)
	}
}
