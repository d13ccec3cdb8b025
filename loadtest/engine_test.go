package loadtest

import (
	"bytes"
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// stall is what slow servers and tools do here.
const stall = 50 * time.Millisecond

// TestStallsOfTheServerAreNotOmitted has a server answer 50 ms late every 500
// messages. At 1,000 a second, 50 messages wait behind each stall, the first of
// them all of it: 1 in 100 waits 45 ms or more. A client that waited for each
// answer before it sent the next would meet 1 stall in 500 messages, and report a
// p99 of nearly nothing.
func TestStallsOfTheServerAreNotOmitted(t *testing.T) {
	var n atomic.Int64
	s := (&server{message: func(c *gws.Conn, payload []byte) {
		if n.Add(1)%500 == 250 {
			<-time.After(stall)
		}
		_ = c.WriteMessage(gws.OpcodeText, payload)
	}}).serve(t)
	o := run(t, t.Context(), Job{
		Targets:  []string{s.url},
		Scenario: parse(t, "connections: 1", "hold: 2s", "messages: {rate: 1000, bytes: 64, echo: true}"),
	}, nil)
	o.want(t, map[record.Count]int64{record.Due: 2001, record.Sent: 2000, record.Received: 2000, record.Dropped: 0, record.Unanswered: 0})
	p50, p99, top := o.quantile(record.Echo, 50), o.quantile(record.Echo, 99), time.Duration(o.histograms[record.Echo].Max())
	t.Logf("p50 %v, p99 %v, max %v", p50, p99, top)
	if p99 < 44*time.Millisecond || top < stall {
		t.Errorf("p99 %v, max %v: a stall of %v was omitted", p99, top, stall)
	}
	if p99 > stall+p50+o.quantile(record.Lag, 99)+20*time.Millisecond {
		t.Errorf("p99 %v is more than the server's stall of %v", p99, stall)
	}
}

// TestStallsOfTheToolAreNotOmitted has the tool itself stand still for a while: the
// echoes that were due meanwhile are charged with it, and the tool owns up to it.
func TestStallsOfTheToolAreNotOmitted(t *testing.T) {
	s := (&server{}).serve(t)
	const long = 300 * time.Millisecond
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, Loops: 1,
		Scenario: parse(t, "connections: 1", "hold: 1s", "messages: {rate: 500, bytes: 64, echo: true}"),
	}, func(e *Engine) {
		e.lanes[0].at(e.now()+300*time.Millisecond, func(time.Time) { <-time.After(long) })
	})
	o.want(t, map[record.Count]int64{record.Sent: 500, record.Received: 500})
	if top := time.Duration(o.histograms[record.Echo].Max()); top < long-10*time.Millisecond {
		t.Errorf("the longest echo took %v, and the tool stood still for %v", top, long)
	}
	if late := o.counts[record.Late]; late < 140 {
		t.Errorf("%d were late", late)
	}
	if o.quantile(record.Lag, 99) < 250*time.Millisecond || len(o.saturated) != 1 {
		t.Errorf("lag p99 %v, saturated %q", o.quantile(record.Lag, 99), o.saturated)
	}
}

// closeAfter has a server end each session so long after its handshake.
func closeAfter(d time.Duration) func(*gws.Conn) {
	return func(c *gws.Conn) {
		time.AfterFunc(d, func() { c.WriteClose(4202, []byte("idle_timeout")) })
	}
}

func TestSessionsEndedEarlyAreCounted(t *testing.T) {
	s := (&server{opened: closeAfter(300 * time.Millisecond)}).serve(t)
	job := Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 20", "expire: {timeout: 300ms}")}
	o := run(t, t.Context(), job, nil)
	o.want(t, map[record.Count]int64{record.Opened: 20, record.Closed: 20, record.Early: 0, record.Unexpired: 0, record.Left: 0})
	if o.total(record.Expiry) != 20 || o.closes[4202] != 20 {
		t.Errorf("%d measured, closes %v", o.total(record.Expiry), o.closes)
	}

	job.Scenario.Expire.Timeout = job.Scenario.Expire.Timeout * 100
	o = run(t, t.Context(), job, nil)
	o.want(t, map[record.Count]int64{record.Closed: 20, record.Early: 20})
	if o.total(record.Expiry) != 0 {
		t.Errorf("%d early ones were measured too", o.total(record.Expiry))
	}
}

// TestActivityMovesTheDueTime has the server end sessions 400 ms after the last
// message: that is early by the handshake, and right by the messages.
func TestActivityMovesTheDueTime(t *testing.T) {
	timers := sync.Map{}
	s := (&server{message: func(c *gws.Conn, payload []byte) {
		_ = c.WriteMessage(gws.OpcodeText, payload)
		timer, _ := timers.LoadOrStore(c, time.AfterFunc(time.Hour, func() { c.WriteClose(4202, nil) }))
		timer.(*time.Timer).Reset(400 * time.Millisecond)
	}}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 4", "hold: 500ms",
		"messages: {rate: 80, bytes: 64, echo: true}", "expire: {timeout: 400ms}")}, nil)
	o.want(t, map[record.Count]int64{record.Sent: 40, record.Closed: 4, record.Early: 0})
	if top := time.Duration(o.histograms[record.Expiry].Max()); top > 350*time.Millisecond {
		t.Errorf("%v late: the messages did not count", top)
	}
}

func TestSessionsThatDoNotExpireAreCounted(t *testing.T) {
	s := (&server{}).serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := run(t, ctx, Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 3", "expire: {timeout: 50ms}")},
		func(e *Engine) { // do not wait for the grace
			e.lanes[0].at(e.now()+200*time.Millisecond, func(time.Time) {
				e.all(func(l *lane) { l.end(); l.giveUp() })
			})
		})
	o.want(t, map[record.Count]int64{record.Unexpired: 3, record.Left: 3, record.Closed: 0, record.Early: 0})
}

// TestBroadcastsAreRecognised triggers them by a message, which the server wraps.
func TestBroadcastsAreRecognised(t *testing.T) {
	s := &server{}
	s.message = func(_ *gws.Conn, payload []byte) {
		s.broadcast(bytes.TrimSuffix(bytes.TrimPrefix(payload, []byte("say ")), []byte("!")))
	}
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, BroadcastMessage: "say {payload}!",
		Scenario: parse(t, "connections: 30", "hold: 1s", "broadcasts: {rate: 5, bytes: 100}"),
	}, nil)
	o.want(t, map[record.Count]int64{record.Sent: 5, record.Received: 150, record.Expected: 150, record.Dropped: 0})
	if len(o.broadcasts) != 5 || o.total(record.Deliver) != 150 {
		t.Fatalf("%+v, %d deliveries", o.broadcasts, o.total(record.Deliver))
	}
	seen := map[int]bool{}
	for _, b := range o.broadcasts {
		seen[b.ID] = true
		if b.Receipts != 30 || b.Expected != 30 || b.First <= 0 || b.Last < b.First {
			t.Errorf("%+v", b)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%v", seen)
	}
}

// TestMissingReceiptsShow has a server that leaves one session out.
func TestMissingReceiptsShow(t *testing.T) {
	var left atomic.Pointer[gws.Conn]
	s := &server{opened: func(c *gws.Conn) { left.CompareAndSwap(nil, c) }}
	s.message = func(_ *gws.Conn, payload []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.all {
			if c != left.Load() {
				_ = c.WriteMessage(gws.OpcodeText, payload)
			}
		}
	}
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, BroadcastMessage: "{payload}",
		Scenario: parse(t, "connections: 5", "hold: 500ms", "broadcasts: {rate: 2, bytes: 100}"),
	}, nil)
	if len(o.broadcasts) != 1 || o.broadcasts[0].Receipts != 4 || o.broadcasts[0].Expected != 5 {
		t.Errorf("%+v", o.broadcasts)
	}
}

func TestUnansweredAndDroppedAreCounted(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		var n atomic.Int64
		s := (&server{message: func(c *gws.Conn, payload []byte) {
			if n.Add(1)%2 == 0 {
				_ = c.WriteMessage(gws.OpcodeText, payload)
			}
		}}).serve(t)
		o := run(t, t.Context(), Job{
			Targets:  []string{s.url},
			Scenario: parse(t, "connections: 2", "hold: 200ms", "messages: {rate: 100, bytes: 64, echo: true}"),
		}, nil)
		o.want(t, map[record.Count]int64{record.Sent: 20, record.Received: 10, record.Unanswered: 10})
	})
	t.Run("nobody there", func(t *testing.T) {
		s := (&server{message: func(c *gws.Conn, _ []byte) { c.WriteClose(1011, nil) }}).serve(t)
		o := run(t, t.Context(), Job{
			Targets:  []string{s.url},
			Scenario: parse(t, "connections: 2", "hold: 500ms", "messages: {rate: 100, bytes: 64, echo: true}"),
		}, nil)
		if o.counts[record.Sent]+o.counts[record.Dropped] != 50 || o.counts[record.Dropped] < 10 || o.closes[1011] != 2 {
			t.Errorf("%v, closes %v", o.counts, o.closes)
		}
		o.want(t, map[record.Count]int64{record.Due: 52, record.Closed: 2, record.Unanswered: o.counts[record.Sent]})
	})
}

// TestOthersEchoesAreNone has a server that sends what one says to all.
func TestOthersEchoesAreNone(t *testing.T) {
	s := &server{}
	s.message = func(_ *gws.Conn, payload []byte) { s.broadcast(payload) }
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets:  []string{s.url},
		Scenario: parse(t, "connections: 6", "hold: 500ms", "messages: {rate: 1000, bytes: 64, echo: true}"),
	}, nil)
	o.want(t, map[record.Count]int64{record.Sent: 500, record.Unanswered: 0})
	if o.total(record.Echo) != 500 {
		t.Errorf("%d echoes of 500", o.total(record.Echo))
	}
}

func TestChurnReplacesConnections(t *testing.T) {
	s := (&server{}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 10", "hold: 500ms", "churn: {rate: 40}")}, nil)
	o.want(t, map[record.Count]int64{record.Dialed: 30, record.Opened: 30, record.Left: 30, record.Closed: 0, record.Failed: 0})
	if o.maxOpen > 10 || o.total(record.Handshake) != 30 {
		t.Errorf("%d open, %d handshakes", o.maxOpen, o.total(record.Handshake))
	}
}

// TestStormBringsAllBack refuses some at first, who have to try again.
func TestStormBringsAllBack(t *testing.T) {
	for _, jitter := range []string{"0s", "200ms"} {
		t.Run(jitter, func(t *testing.T) {
			var handshakes atomic.Int64
			s := (&server{refuse: func() bool { n := handshakes.Add(1); return n > 20 && n <= 25 }}).serve(t)
			o := run(t, t.Context(), Job{
				Targets:  []string{s.url},
				Scenario: parse(t, "connections: 20", "hold: 3s", "storm: {times: 1, jitter: "+jitter+"}"),
			}, nil)
			o.want(t, map[record.Count]int64{record.Opened: 40, record.Failed: 5, record.Left: 40, record.Closed: 0})
			if o.errors["refused 503"] != 5 || o.total(record.Reconnect) != 20 {
				t.Errorf("errors %v, %d came back", o.errors, o.total(record.Reconnect))
			}
			if top := time.Duration(o.histograms[record.Reconnect].Max()); top < retryAfter {
				t.Errorf("the last was back after %v, refused ones wait %v", top, retryAfter)
			}
		})
	}
}

func TestHalfOpenOnesSayNothing(t *testing.T) {
	s := (&server{}).serve(t)
	var during int
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 20", "hold: 500ms", "half_open: {share: 0.5}")},
		func(e *Engine) {
			e.lanes[0].at(e.now()+300*time.Millisecond, func(time.Time) { during = s.count() })
		})
	o.want(t, map[record.Count]int64{record.Vanished: 10, record.Left: 10, record.Closed: 0})
	if during != 20 {
		t.Errorf("the server saw %d of 20", during)
	}
}

func TestSlowReadersAreNoReceivers(t *testing.T) {
	s := &server{}
	s.message = func(_ *gws.Conn, payload []byte) { s.broadcast(payload) }
	s.serve(t)
	o := run(t, t.Context(), Job{
		Targets: []string{s.url}, BroadcastMessage: "{payload}",
		Scenario: parse(t, "connections: 20", "hold: 500ms", "broadcasts: {rate: 10, bytes: 100}", "slow_readers: {share: 0.25}"),
	}, nil)
	slow := o.counts[record.Paused] // a quarter, evenly spread
	if slow < 4 || slow > 6 {
		t.Errorf("%d of 20 are slow", slow)
	}
	o.want(t, map[record.Count]int64{record.Expected: 5 * (20 - slow)})
	if o.total(record.Deliver) != 5*(20-slow) {
		t.Errorf("%d deliveries to %d", o.total(record.Deliver), 20-slow)
	}
}

func TestDrainIsWaitedFor(t *testing.T) {
	s := (&server{opened: closeAfter(700 * time.Millisecond)}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 5", "hold: 100ms", "drain: {within: 20s}")}, nil)
	o.want(t, map[record.Count]int64{record.Closed: 5, record.Left: 0})
	if o.closes[4202] != 5 || o.drains != 1 {
		t.Errorf("closes %v, %d drains", o.closes, o.drains)
	}
}

// TestDrainEndsTheHold has a server let go long before the hold of an hour is over,
// or while others still connect; one connection that breaks before is no drain, and
// a server that ends all without a close frame is one.
func TestDrainEndsTheHold(t *testing.T) {
	f := func(connect string, opened func(*gws.Conn), want map[int]int64) {
		t.Helper()
		s := (&server{opened: opened}).serve(t)
		o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 6", "hold: 1h", connect, "drain: {within: 20s}")}, nil)
		o.want(t, map[record.Count]int64{record.Opened: 6, record.Closed: 6, record.Left: 0})
		if o.drains != 1 || !maps.Equal(o.closes, want) {
			t.Errorf("%d drains, closes %v, want %v", o.drains, o.closes, want)
		}
	}
	const all, late = "connect: {rate: 0}", "connect: {rate: 10}"
	f(all, closeAfter(300*time.Millisecond), map[int]int64{4202: 6})
	f(late, closeAfter(200*time.Millisecond), map[int]int64{4202: 6})
	var first atomic.Bool
	breaks := func(c *gws.Conn, after time.Duration) {
		time.AfterFunc(after, func() { _ = c.NetConn().Close() })
	}
	f(all, func(c *gws.Conn) {
		if first.CompareAndSwap(false, true) {
			breaks(c, 0)
			return
		}
		closeAfter(500 * time.Millisecond)(c)
	}, map[int]int64{1006: 1, 4202: 5})
	f(all, func(c *gws.Conn) { breaks(c, 200*time.Millisecond) }, map[int]int64{1006: 6})
}

// TestOneBreakIsNoDrain: the hold goes on after it.
func TestOneBreakIsNoDrain(t *testing.T) {
	var first atomic.Bool
	s := (&server{opened: func(c *gws.Conn) {
		if first.CompareAndSwap(false, true) {
			_ = c.NetConn().Close()
		}
	}}).serve(t)
	var during int
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Loops: 1, Scenario: parse(t, "connections: 6", "hold: 300ms", "drain: {within: 1s}")}, func(e *Engine) {
		e.lanes[0].at(e.now()+250*time.Millisecond, func(time.Time) { during = int(e.lanes[0].phase) })
	})
	o.want(t, map[record.Count]int64{record.Closed: 1, record.Left: 5})
	if o.drains != 0 || phase(during) != holding {
		t.Errorf("%d drains, phase %d in the hold", o.drains, during)
	}
}

// TestInterruptLeavesInOrder ends a long run at once: the server sees close frames.
func TestInterruptLeavesInOrder(t *testing.T) {
	s := (&server{}).serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := run(t, ctx, Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 10", "hold: 1h")}, func(*Engine) { cancel() })
	o.want(t, map[record.Count]int64{record.Opened: 10, record.Left: 10})
	if n := s.count(); n != 0 {
		t.Errorf("%d are still there", n)
	}
}

// TestRefusalsAreCounted has a server that takes 5 of 12.
func TestRefusalsAreCounted(t *testing.T) {
	var n atomic.Int64
	s := (&server{refuse: func() bool { return n.Add(1) > 5 }}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 12", "hold: 10ms", "connect: {parallel: 2, rate: 1000}")}, nil)
	o.want(t, map[record.Count]int64{record.Opened: 5, record.Failed: 7, record.Due: 12})
	if o.errors["refused 503"] != 7 {
		t.Errorf("%v", o.errors)
	}
}

func TestNewRefusesBadJobs(t *testing.T) {
	good := Job{Run: "0123abcd", Workers: 1, Targets: []string{"ws://127.0.0.1:1/"}, Scenario: parse(t, "connections: 1")}
	for name, change := range map[string]func(*Job){
		"run":         func(j *Job) { j.Run = "x" },
		"targets":     func(j *Job) { j.Targets = nil },
		"url":         func(j *Job) { j.Targets = []string{"http://%zz/"} },
		"worker":      func(j *Job) { j.Worker = 1 },
		"scenario":    func(j *Job) { j.Scenario.Connections = -1 },
		"descriptors": func(j *Job) { j.Scenario.Connections = 10_000_000 },
	} {
		bad := good
		change(&bad)
		if _, err := New(bad, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(good, nil); err != nil {
		t.Error(err)
	}
}
