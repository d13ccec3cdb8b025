package wheel_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// TestStorm lets 100,000 sessions fall due in one tick of real time. A million
// are in package bench.
func TestStorm(t *testing.T) {
	const n = 100_000
	goroutines := runtime.NumGoroutine()
	w := newWheel(t, wheel.Config[session]{Tick: 200 * time.Millisecond})
	due, others := make([]*session, n), make([]*session, 1000)
	for i := range due { // all stamped with step 0
		due[i] = add(w, 400*time.Millisecond, i)
	}
	for i := range others {
		others[i] = add(w, time.Hour, i)
	}
	w.Start()
	var most int
	var touches []time.Duration
	eventually(t, 30*time.Second, "all handed out", func() bool {
		for range 1000 {
			stamp := &others[rand.IntN(len(others))].stamp
			begin := time.Now()
			w.Touch(stamp)
			touches = append(touches, time.Since(begin))
		}
		most = max(most, runtime.NumGoroutine())
		return w.Stats().Entries == len(others)
	})
	for _, s := range due {
		if s.fired.Load() != 1 {
			t.Fatalf("handed out %d times", s.fired.Load())
		}
	}
	if extra := most - goroutines; extra > 64 {
		t.Errorf("%d extra goroutines; want at most 64", extra)
	}
	slices.Sort(touches)
	if p999 := touches[len(touches)*999/1000]; p999 > time.Millisecond {
		t.Errorf("touch took %v at p99.9; want at most 1ms", p999)
	}
	w.Stop()
	for i, s := range due {
		if s.fired.Load() != 1 {
			t.Fatalf("session %d was handed out %d times", i, s.fired.Load())
		}
	}
}

// TestTouchedWhileQueued keeps whoever shows life while waiting behind a low
// Rate: the deadline is asked for once more right before Fire.
func TestTouchedWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Rate: 1})
		var sessions []*session
		for i := range 20 {
			sessions = append(sessions, add(w, time.Minute, i))
		}
		time.Sleep(65 * time.Second)
		queued := w.Stats().Queued
		kept, start := 0, time.Now()
		for _, s := range sessions {
			if s.fired.Load() == 0 {
				w.Touch(&s.stamp)
				kept++
			}
		}
		if queued < 10 || kept != queued {
			t.Errorf("%d queued, %d kept; want most of 20 in both", queued, kept)
		}
		time.Sleep(55 * time.Second)
		if n := w.Stats().Entries; n != kept {
			t.Errorf("%d are left of %d that were touched while queued", n, kept)
		}
		time.Sleep(time.Minute)
		for _, s := range sessions {
			if s.fired.Load() != 1 || (s.firedAt.Load().After(start) && s.firedAt.Load().Sub(start) < time.Minute) {
				t.Errorf("handed out %d times, last %v after the touch", s.fired.Load(), s.firedAt.Load().Sub(start))
			}
		}
	})
}

func TestCancelledWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Rate: 1})
		var sessions []*session
		for i := range 20 {
			sessions = append(sessions, add(w, time.Minute, i))
		}
		time.Sleep(65 * time.Second)
		fired := 0
		for _, s := range sessions {
			fired += int(s.fired.Load())
			w.Cancel(&s.Entry)
		}
		time.Sleep(time.Hour)
		for _, s := range sessions {
			fired -= int(s.fired.Load())
		}
		if fired != 0 || w.Stats() != (wheel.Stats{}) {
			t.Errorf("%d handed out after Cancel, %+v", -fired, w.Stats())
		}
	})
}

// TestRate hands out 1,000 that are due together at 100 in a second.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most, running atomic.Int32
		w := startWheel(t, wheel.Config[session]{Rate: 100, Workers: 3, Fire: func(s *session) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Millisecond)
			running.Add(-1)
			expire(s)
		}})
		start := time.Now()
		var sessions []*session
		for i := range 1000 {
			sessions = append(sessions, add(w, time.Minute, i))
		}
		for left := 1000; left > 0; left = w.Stats().Entries {
			time.Sleep(time.Second)
			handed, passed := 1000-w.Stats().Entries, time.Since(start)-time.Minute
			if limit := 2 + 100*passed.Seconds(); handed > 0 && float64(handed) > limit {
				t.Errorf("%d handed out in %v", handed, passed)
			}
			if passed > time.Minute {
				t.Fatalf("%d of 1000 left after a minute", left)
			}
		}
		var last time.Duration
		for _, s := range sessions {
			last = max(last, s.firedAt.Load().Sub(start)-time.Minute)
		}
		if last < 9*time.Second || last > 13*time.Second {
			t.Errorf("the last came after %v; want about 10s", last)
		}
		if most.Load() > 3 {
			t.Errorf("%d at a time; want at most 3", most.Load())
		}
	})
}
