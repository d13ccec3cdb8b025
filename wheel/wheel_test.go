package wheel_test

import (
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/wheelgate/wheelgate/wheel"
)

// TestThirtyMinutes runs the first users' timeout in virtual time.
func TestThirtyMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, touchedAfter = 30 * time.Minute, 20*time.Minute + 123*time.Millisecond
		w := startWheel(t, wheel.Config[session]{})
		start := time.Now()
		touched, idle := add(w, timeout, 0), add(w, timeout, 1)
		time.Sleep(touchedAfter)
		w.Touch(&touched.stamp)
		time.Sleep(time.Hour)
		expectExpired(t, idle, start.Add(timeout))
		expectExpired(t, touched, start.Add(touchedAfter+timeout))
		if n := w.Stats().Watchdog; n != 0 {
			t.Errorf("the watchdog served %d steps", n)
		}
	})
}

// TestTimeouts covers each way to be filed: in a slot of the next steps, in a
// block, at the edges between them, and in hops (past 34 minutes at this tick).
func TestTimeouts(t *testing.T) {
	timeouts := []time.Duration{
		-time.Hour, 0, 1, 499 * time.Millisecond, 500 * time.Millisecond, time.Second, 1234567891,
		31 * time.Second, 31500 * time.Millisecond, 32 * time.Second, 33 * time.Second, 5 * time.Minute,
		63 * 32 * time.Second, 64 * 32 * time.Second, 3 * time.Hour,
	}
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		time.Sleep(77*time.Minute + 7*time.Millisecond) // some way into a block
		start := time.Now()
		var sessions []*session
		for i, timeout := range timeouts {
			sessions = append(sessions, add(w, timeout, i))
		}
		time.Sleep(3*time.Hour + 2*time.Second)
		for _, s := range sessions {
			expectExpired(t, s, start.Add(max(0, time.Duration(s.timeout.Load()))))
		}
		if st := w.Stats(); st != (wheel.Stats{}) {
			t.Errorf("%+v; want nothing", st)
		}
	})
}

// TestThirtyDays is 21 hops at a tick of a minute.
func TestThirtyDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Tick: time.Minute})
		start := time.Now()
		s := add(w, 30*24*time.Hour, 0)
		time.Sleep(31 * 24 * time.Hour)
		expectExpired(t, s, start.Add(30*24*time.Hour))
	})
}

// TestOddTicks has ticks that divide neither the timeout nor a millisecond.
func TestOddTicks(t *testing.T) {
	for _, tick := range []time.Duration{wheel.MinTick, 33333333, 777 * time.Millisecond, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := startWheel(t, wheel.Config[session]{Tick: tick})
			for i := range 50 {
				start, timeout := time.Now(), time.Duration(i)*71*time.Millisecond
				s := add(w, timeout, i)
				time.Sleep(timeout + 2*tick)
				synctest.Wait()
				expectExpired(t, s, start.Add(timeout))
				time.Sleep(time.Duration(i) * 997 * time.Microsecond)
			}
		})
	}
}

func TestNeverIsNeverHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		forever, longest := add(w, never, 0), add(w, math.MaxInt64, 0)
		time.Sleep(10 * time.Hour)
		if forever.fired.Load()+longest.fired.Load() != 0 {
			t.Error("handed out")
		}
		start := time.Now()
		w.Touch(&forever.stamp)
		forever.timeout.Store(int64(time.Minute))
		w.Reschedule(&forever.Entry)
		time.Sleep(2 * time.Minute)
		expectExpired(t, forever, start.Add(time.Minute))
	})
}

func TestShorterTimeoutNeedsReschedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		shorter, past, longer := add(w, time.Hour, 0), add(w, time.Hour, 1), add(w, time.Minute, 2)
		start := time.Now()
		time.Sleep(30 * time.Second)
		for s, timeout := range map[*session]time.Duration{shorter: 45 * time.Second, past: time.Second, longer: time.Hour} {
			s.timeout.Store(int64(timeout))
			w.Reschedule(&s.Entry)
		}
		time.Sleep(2 * time.Hour)
		expectExpired(t, shorter, start.Add(45*time.Second))
		expectExpired(t, past, start.Add(30*time.Second))
		expectExpired(t, longer, start.Add(time.Hour))
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		s := add(w, time.Minute, 0)
		time.Sleep(30 * time.Second)
		if !w.Cancel(&s.Entry) || w.Cancel(&s.Entry) {
			t.Error("Cancel must report true once")
		}
		w.Reschedule(&s.Entry)
		time.Sleep(time.Hour)
		if s.fired.Load() != 0 || w.Stats().Entries != 0 {
			t.Errorf("handed out %d times, %d entries left", s.fired.Load(), w.Stats().Entries)
		}
		if w.Cancel(&(&session{}).Entry) {
			t.Error("Cancel of what was never added reports true")
		}
	})
}

func TestAddTwicePanics(t *testing.T) {
	w := newWheel(t, wheel.Config[session]{})
	s := add(w, time.Minute, 0)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
		w.Cancel(&s.Entry) // the lock is free again
	}()
	w.Add(&s.Entry, s, 0)
}

func TestNewRefuses(t *testing.T) {
	ok := wheel.Config[session]{Tick: time.Second, Deadline: deadline, Fire: expire}
	f := func(want string, change func(*wheel.Config[session])) {
		t.Helper()
		cfg := ok
		change(&cfg)
		if w, err := wheel.New(cfg); w != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f("tick is 19.999999ms", func(c *wheel.Config[session]) { c.Tick = wheel.MinTick - 1 })
	f("tick is -1s", func(c *wheel.Config[session]) { c.Tick = -time.Second })
	f("Deadline", func(c *wheel.Config[session]) { c.Deadline = nil })
	f("Fire", func(c *wheel.Config[session]) { c.Fire = nil })
	f("workers -1", func(c *wheel.Config[session]) { c.Workers = -1 })
	f("rate -1", func(c *wheel.Config[session]) { c.Rate = -1 })
	if _, err := wheel.New(ok); err != nil {
		t.Error(err)
	}
}

func TestEntryIs32Bytes(t *testing.T) {
	if size := unsafe.Sizeof(wheel.Entry[session]{}); size != 32 {
		t.Errorf("%d bytes", size)
	}
}

// TestLateTouchKeepsTheLaterStamp touches one stamp from several goroutines while
// each touch sees a new step. Whoever made the last step has touched after it, so
// that is what the stamp must show, however late another one wrote an older step.
func TestLateTouchKeepsTheLaterStamp(t *testing.T) {
	w := newWheel(t, wheel.Config[session]{})
	var stamp wheel.Stamp
	for range 3000 {
		var touchers sync.WaitGroup
		for range 4 {
			touchers.Go(func() {
				for range 30 {
					w.SkipSteps(1)
					w.Touch(&stamp)
				}
			})
		}
		touchers.Wait()
		if stamp.Step() != w.Now() {
			t.Fatalf("the stamp shows step %d; the last touch was in step %d", stamp.Step(), w.Now())
		}
	}
}
