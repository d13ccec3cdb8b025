package client

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// arrival is a handler that notes when a message arrived.
type arrival struct {
	*fixture
	at chan time.Time
}

func (a *arrival) Message(_ *Conn, _ Opcode, _ []byte, at time.Time) { a.at <- at }

// served opens a connection whose server runs f.
func (x *fixture) served(h Handler, f func(conn net.Conn)) *Conn {
	x.t.Helper()
	x.serve(func(conn net.Conn) {
		if _, err := upgrade(conn); err == nil {
			f(conn)
		}
	})
	crowd, err := New(Config{Loops: 1}, h)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(crowd.Close)
	l, target := crowd.Loops()[0], x.target()
	l.Post(func() { l.Dial(target, 0) })
	return x.expect("opened").c
}

// TestArrivalIsTheKernels: a message that is there long before the loop reads it
// arrived when it came.
func TestArrivalIsTheKernels(t *testing.T) {
	x := newFixture(t, false)
	a := &arrival{x, make(chan time.Time, 1)}
	write, wrote := make(chan struct{}), make(chan time.Time)
	c := x.served(a, func(conn net.Conn) {
		for range write {
			_, _ = conn.Write(serverFrame(Text, "hello"))
			wrote <- time.Now()
		}
	})
	defer close(write)
	// Linux begins to stamp soon after the first socket asked for it.
	for end := time.Now().Add(patience); ; {
		var begun, sent time.Time
		on(c, func() { // the loop is not looking meanwhile
			begun = time.Now()
			write <- struct{}{}
			sent = <-wrote
		})
		// The two clocks are read one after the other: to the microsecond will do.
		at := <-a.at
		if !at.Before(begun.Add(-time.Microsecond)) && !at.After(sent.Add(time.Microsecond)) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("sent from 0s to %v, arrived at %v", sent.Sub(begun), at.Sub(begun))
		}
	}
}

// ending is a handler that notes when a close frame arrived.
type ending struct {
	*fixture
	at chan time.Time
}

func (e *ending) Closed(_ *Conn, _ int, _ string, _ *Error, at time.Time) { e.at <- at }

// TestArrivalOfCloseFrames: the server's, too, came when it came.
func TestArrivalOfCloseFrames(t *testing.T) {
	x := newFixture(t, false)
	e := &ending{x, make(chan time.Time, 1)}
	write, wrote := make(chan struct{}), make(chan time.Time, 1)
	c := x.served(e, func(conn net.Conn) {
		<-write
		_, _ = conn.Write(serverFrame(Close, ""))
		wrote <- time.Now()
	})
	defer close(write)
	target := x.target()
	for end := time.Now().Add(patience); ; { // Linux begins to stamp a little later
		var sent time.Time
		on(c, func() { // the loop is not looking meanwhile
			write <- struct{}{}
			sent = <-wrote
		})
		late := (<-e.at).Sub(sent)
		if late <= time.Microsecond {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it arrived %v after it was sent", late)
		}
		on(c, func() { c.Loop().Dial(target, 0) })
		c = x.expect("opened").c
	}
}

// TestArrivalOfMany: what waits for its turn behind many others has not arrived later
// for that.
func TestArrivalOfMany(t *testing.T) {
	const many = 3 * loopEvents
	x := newFixture(t, false)
	a := &arrival{x, make(chan time.Time, many)}
	write := make(chan struct{})
	var wrote sync.WaitGroup
	c := x.served(a, func(conn net.Conn) {
		for range write {
			_, _ = conn.Write(serverFrame(Text, "hello"))
			wrote.Done()
		}
	})
	defer close(write)
	target := x.target()
	for range many - 1 {
		on(c, func() { c.Loop().Dial(target, 0) })
		x.expect("opened")
	}
	for end := time.Now().Add(patience); ; { // Linux begins to stamp a little later
		var sent time.Time
		on(c, func() { // the loop is not looking meanwhile
			wrote.Add(many)
			for range many {
				write <- struct{}{}
			}
			wrote.Wait()
			sent = time.Now()
		})
		late := time.Duration(0)
		for range many {
			late = max(late, (<-a.at).Sub(sent))
		}
		if late <= time.Microsecond {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the last arrived %v after it was sent", late)
		}
	}
}

// TestArrivalAgainstTheClock: a wall clock that was stepped changes no time by more
// than the loop was away.
func TestArrivalAgainstTheClock(t *testing.T) {
	var i inbound
	i.control.Level, i.control.Type = 1, 35 // SOL_SOCKET, SO_TIMESTAMPNS
	i.header.Controllen = 1
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		since := time.Now()
		stamped := since.Add(step)
		i.control.Sec, i.control.Nsec = stamped.Unix(), int64(stamped.Nanosecond())
		if at := i.arrived(since); at.Before(since) || at.After(time.Now()) {
			t.Errorf("a clock %v off: %v after the loop looked", step, at.Sub(since))
		}
	}
	i.header.Controllen = 0
	if since := time.Now(); i.arrived(since).Before(since) {
		t.Error("without a time from the kernel it is that of reading")
	}
}

// TestHoldingBack: while timers are near, messages are seen, posted functions run, and
// a connection still opens.
func TestHoldingBack(t *testing.T) {
	x := newFixture(t, false)
	c := x.served(x, func(conn net.Conn) {
		for range 100 {
			if _, err := conn.Write(serverFrame(Text, "hello")); err != nil {
				return
			}
		}
		_, _ = conn.Read(make([]byte, 1))
	})
	var ticks atomic.Int64
	var tick func(now time.Time)
	tick = func(now time.Time) {
		ticks.Add(1)
		c.Loop().At(now.Add(holdBack/4), tick)
	}
	on(c, func() { tick(time.Now()) })
	for range 100 {
		x.expect("message")
	}
	target, before := x.target(), ticks.Load()
	on(c, func() { c.Loop().Dial(target, 1) })
	x.expect("opened")
	for end := time.Now().Add(patience); ticks.Load() <= before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the timers have stopped")
		}
	}
}

// TestHoldsBack: what the loop would be late for is not held back.
func TestHoldsBack(t *testing.T) {
	now := time.Now()
	at := func(after time.Duration) []timer { return []timer{{due: now.Add(after)}} }
	one := map[*link]struct{}{{}: {}}
	few, many := &Crowd{cfg: Config{Loops: 1}}, &Crowd{cfg: Config{Loops: runtime.GOMAXPROCS(0) + 1}}
	for _, c := range []struct {
		name string
		l    *Loop
		want bool
	}{
		{"no timer", &Loop{crowd: few}, false},
		{"a near timer", &Loop{crowd: few, timers: at(holdBack / 2)}, true},
		{"a timer that is due", &Loop{crowd: few, timers: at(0)}, true},
		{"a far timer", &Loop{crowd: few, timers: at(2 * holdBack)}, false},
		{"a link", &Loop{crowd: few, timers: at(0), links: one}, false},
		{"more loops than processors", &Loop{crowd: many, timers: at(0)}, false},
		{"a handshake", &Loop{crowd: few, timers: at(0), handshakes: deadlines{queue: []deadline{{due: now}}}}, false},
	} {
		if got := c.l.holdsBack(now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestOthersHaveTheirTurn: a loop that holds back all the time does not keep the only
// processor to itself.
func TestOthersHaveTheirTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := newFixture(t, false).crowd(Config{}).Loops()[0]
	const ticks, every = 1000, holdBack / 4
	done, n := make(chan struct{}), 0
	var tick func(now time.Time)
	tick = func(now time.Time) {
		if n++; n == ticks {
			close(done)
			return
		}
		l.At(now.Add(every), tick)
	}
	l.At(time.Now(), tick)
	turns := 0
	for over := false; !over; turns++ {
		runtime.Gosched()
		select {
		case <-done:
			over = true
		default:
		}
	}
	if want := int(ticks * every / turnOfOthers / 2); turns < want {
		t.Errorf("%d turns for others, want %d", turns, want)
	}
}

// TestNoWakeIsLost has the loop woken at the moment it goes to sleep, as near as can
// be: a wake that it sleeps through is the last.
func TestNoWakeIsLost(t *testing.T) {
	crowd := newFixture(t, false).crowd(Config{})
	l := crowd.Loops()[0]
	var ran, spun atomic.Int64
	f := func() { ran.Add(1) }
	for n := range int64(5_000) {
		l.Post(f)
		for end := time.Now().Add(patience); ran.Load() == n; {
			if time.Now().After(end) {
				l.poller.wake() // or else nothing ends it
				t.Fatalf("wake %d was lost", n)
			}
		}
		for range n % 200 { // somewhat later each time
			spun.Add(1)
		}
	}
}
