package wheel_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// stressed is a session that was added at a moment not before begin.
type stressed struct {
	*session
	begin time.Time
}

// TestStress is TestTrapDeadlock for our wheel: 16 goroutines with timeouts of
// 1 to 4 of the shortest ticks. What is not cancelled is handed out, once and not early.
func TestStress(t *testing.T) {
	w := startWheel(t, wheel.Config[session]{Tick: wheel.MinTick})
	var mu sync.Mutex
	var kept []stressed
	var stressors sync.WaitGroup
	for n := range 16 {
		stressors.Go(func() {
			mine := stress(w, n, 3*time.Second)
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, mine...)
		})
	}
	stressors.Wait()
	eventually(t, 30*time.Second, "all handed out", func() bool { return w.Stats().Entries == 0 })
	w.Stop()
	for _, s := range kept {
		if s.fired.Load() != 1 {
			t.Fatalf("handed out %d times", s.fired.Load())
		}
		// Touches have only made it later.
		if after, timeout := s.firedAt.Load().Sub(s.begin), time.Duration(s.timeout.Load()); after < timeout {
			t.Fatalf("handed out after %v, due after %v", after, timeout)
		}
	}
	t.Logf("%d handed out, %+v", len(kept), w.Stats())
}

// stress adds sessions and does to them what can be done, and returns those that
// were not cancelled.
func stress(w *wheel.Wheel[session], n int, duration time.Duration) (kept []stressed) {
	for i, end := 0, time.Now().Add(duration); time.Now().Before(end); i++ {
		begin := time.Now()
		s := add(w, time.Duration(1+rand.IntN(4))*wheel.MinTick, n+i)
		other := s
		if len(kept) > 0 {
			other = kept[len(kept)-1-rand.IntN(min(len(kept), 1000))].session
		}
		switch rand.IntN(4) {
		case 0:
			w.Touch(&other.stamp)
		case 1:
			other.timeout.Store(int64(wheel.MinTick))
			w.Reschedule(&other.Entry)
		case 2:
			if w.Cancel(&s.Entry) {
				continue
			}
		}
		kept = append(kept, stressed{s, begin})
		if i%50 == 0 { // a bound for the memory it takes
			time.Sleep(time.Millisecond)
		}
	}
	return kept
}

// TestAddWhileStepsAreServed files into the very step that is being served, and
// the next, as steps pass much faster than they do on the clock: nothing may be
// forgotten in a slot that was just passed, and no cohort counted as armed that is gone.
func TestAddWhileStepsAreServed(t *testing.T) {
	const adders, each = 2, 50
	w := newWheel(t, wheel.Config[session]{})
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		var sessions [adders][each]*session
		var adding, arming sync.WaitGroup
		for n := range adders {
			adding.Go(func() {
				for i := range each {
					sessions[n][i] = add(w, time.Duration(rand.IntN(2))*w.Step(), n)
				}
			})
		}
		var done atomic.Bool
		arming.Go(func() {
			for !done.Load() {
				w.ArmNear()
				runtime.Gosched()
			}
		})
		arming.Go(func() { adding.Wait(); done.Store(true) })
		for n := 0; !done.Load(); n++ {
			w.SkipSteps(1)
			w.Serve()
			if n%16 == 0 { // or a round would last as long as a time slice
				runtime.Gosched()
			}
		}
		arming.Wait()
		w.SkipSteps(4)
		w.Serve()
		if st, want := w.Stats(), adders*each; st.Entries != want || st.Queued != want {
			t.Fatalf("%+v; want all %d queued", st, want)
		}
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		for _, s := range slices.Concat(sessions[0][:], sessions[1][:]) {
			w.Cancel(&s.Entry)
		}
	}
}

// TestAllCallsAtOnce is for the race detector: each call from many goroutines,
// with Start and Stop among them.
func TestAllCallsAtOnce(t *testing.T) {
	for range 20 {
		w := newWheel(t, wheel.Config[session]{Tick: wheel.MinTick, Fire: func(s *session) {
			s.record()
			s.w.Touch(&s.stamp)
		}})
		var sessions [100]*session
		for i := range sessions {
			sessions[i] = add(w, time.Duration(rand.IntN(50))*time.Millisecond, i)
		}
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for range 2000 {
					callAny(w, sessions[rand.IntN(len(sessions))])
				}
			})
		}
		callers.Go(w.Start)
		callers.Go(func() {
			for range 50 {
				add(w, 0, rand.Int())
			}
			w.Stop()
		})
		callers.Wait()
		w.Stop()
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func callAny(w *wheel.Wheel[session], s *session) {
	switch rand.IntN(9) {
	case 0:
		w.Cancel(&s.Entry)
	case 1:
		add(w, time.Duration(rand.IntN(100))*time.Millisecond, rand.Int())
	case 2, 3:
		s.timeout.Store(int64(rand.IntN(int(100 * time.Millisecond))))
		w.Reschedule(&s.Entry)
	case 4:
		_ = w.Stats()
	case 5:
		_ = w.Elapsed()
	case 6:
		time.Sleep(time.Microsecond)
	default:
		w.Touch(&s.stamp)
		_ = w.Now()
	}
}
