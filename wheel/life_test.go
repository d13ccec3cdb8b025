package wheel_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

func TestStopBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t, wheel.Config[session]{})
		s := add(w, time.Second, 0)
		w.Stop()
		w.Start()
		time.Sleep(time.Hour)
		if s.fired.Load() != 0 || w.Now() != 0 || w.Elapsed() != 0 {
			t.Errorf("a stopped wheel was started: step %d, handed out %d", w.Now(), s.fired.Load())
		}
	})
}

func TestStopTwiceAndStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t, wheel.Config[session]{})
		w.Start()
		w.Start()
		time.Sleep(time.Minute)
		var stops sync.WaitGroup
		for range 2 {
			stops.Go(w.Stop)
		}
		stops.Wait()
		w.Stop()
		stopped := w.Now()
		if stopped != 120 {
			t.Errorf("a minute is %d steps; want 120, as it is started once", stopped)
		}
		w.Start()
		time.Sleep(time.Minute)
		if w.Now() != stopped {
			t.Error("turns after Stop")
		}
	})
}

func TestNothingIsHandedOutAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		var sessions []*session
		for i := range 100 {
			sessions = append(sessions, add(w, time.Duration(i)*time.Second, i))
		}
		time.Sleep(50 * time.Second)
		w.Stop()
		before := w.Stats().Entries
		late := add(w, 0, 0) // may be called, does nothing
		w.Touch(&late.stamp)
		w.Reschedule(&late.Entry)
		time.Sleep(time.Hour)
		if after := w.Stats().Entries; after != before+1 || before < 49 || before > 52 {
			t.Errorf("%d entries at Stop, %d an hour later", before, after)
		}
		if !w.Cancel(&late.Entry) || !w.Cancel(&sessions[99].Entry) {
			t.Error("entries do not stay filed")
		}
	})
}

func TestStopWaitsForFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var begun, ended atomic.Int32
		w := startWheel(t, wheel.Config[session]{Workers: 2, Fire: func(*session) {
			begun.Add(1)
			<-release
			ended.Add(1)
		}})
		for i := range 10 {
			add(w, time.Second, i)
		}
		time.Sleep(10 * time.Second)
		var stopped atomic.Bool
		go func() { w.Stop(); stopped.Store(true) }()
		synctest.Wait()
		if stopped.Load() || begun.Load() != 2 {
			t.Errorf("Stop returned: %v; %d calls of Fire under way, want 2", stopped.Load(), begun.Load())
		}
		close(release)
		synctest.Wait()
		if !stopped.Load() || begun.Load() != 2 || ended.Load() != 2 {
			t.Errorf("Stop returned: %v; %d calls of Fire, %d ended, want 2", stopped.Load(), begun.Load(), ended.Load())
		}
	})
}

func TestFireMayCallTheWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var other, added *session
		start := time.Now()
		w := startWheel(t, wheel.Config[session]{Fire: func(s *session) {
			expire(s)
			if s.timeout.Load() == int64(time.Minute) {
				added = add(s.w, 10*time.Second, 3)
				other.timeout.Store(int64(65 * time.Second))
				s.w.Reschedule(&other.Entry)
				s.w.Touch(&s.stamp)
				_ = s.w.Stats()
			}
		}})
		other = add(w, time.Hour, 1)
		first := add(w, time.Minute, 2)
		time.Sleep(2 * time.Minute)
		expectExpired(t, first, start.Add(time.Minute))
		expectExpired(t, other, start.Add(65*time.Second))
		expectExpired(t, added, first.firedAt.Load().Add(10*time.Second))
	})
}

// TestFireAgain: what Fire neither cancels nor gives a later deadline comes back
// with the next step, and what it touches comes back a timeout later.
func TestFireAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Fire: func(s *session) {
			s.record()
			if s.timeout.Load() == int64(10*time.Second) {
				s.w.Touch(&s.stamp)
			}
		}})
		touched, left := add(w, 10*time.Second, 0), add(w, time.Minute, 1)
		time.Sleep(70*time.Second + 900*time.Millisecond)
		if n := left.fired.Load(); n < 18 || n > 22 {
			t.Errorf("left due for 10.9 s: handed out %d times; want one each half second", n)
		}
		if n := touched.fired.Load(); n != 6 {
			t.Errorf("touched by Fire: handed out %d times in 70.9 s; want 6", n)
		}
	})
}

func TestCancelDuringFireIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Fire: func(s *session) {
			s.record()
			time.Sleep(10 * time.Second)
		}})
		s := add(w, time.Second, 0)
		time.Sleep(5 * time.Second)
		if !w.Cancel(&s.Entry) {
			t.Error("Cancel of an entry being handed out reports false")
		}
		time.Sleep(time.Minute)
		if s.fired.Load() != 1 || w.Stats().Entries != 0 {
			t.Errorf("handed out %d times, %d entries", s.fired.Load(), w.Stats().Entries)
		}
	})
}

func TestPanicHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Pointer[session]
		start := time.Now()
		w := startWheel(t, wheel.Config[session]{
			Workers: 1,
			Fire: func(s *session) {
				if s.timeout.Load() == int64(time.Minute) && told.Load() == nil {
					s.timeout.Add(int64(time.Minute)) // a later deadline from now on
					panic("boom")
				}
				expire(s)
			},
			Panicked: func(s *session, value any) {
				if value != "boom" {
					t.Errorf("told of %v", value)
				}
				told.Store(s)
			},
		})
		bad := add(w, time.Minute, 0)
		var others []*session
		for i := range 100 {
			others = append(others, add(w, time.Minute+1, i))
		}
		time.Sleep(5 * time.Minute)
		for _, s := range others {
			expectExpired(t, s, start.Add(time.Minute+1))
		}
		if told.Load() != bad || w.Stats().Panics != 1 {
			t.Errorf("Panicked was told of %p, want %p; %d counted", told.Load(), bad, w.Stats().Panics)
		}
		expectExpired(t, bad, start.Add(2*time.Minute)) // it stayed filed
	})
}

// TestPanicsWithoutPanicked: a Fire that always panics is called with each step.
func TestPanicsWithoutPanicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{Fire: func(*session) { panic("boom") }})
		add(w, 0, 0)
		time.Sleep(10 * time.Second)
		if n := w.Stats().Panics; n < 17 || n > 20 {
			t.Errorf("%d panics in 20 steps", n)
		}
	})
}
