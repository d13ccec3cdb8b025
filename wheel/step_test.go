//go:build stepclock

package wheel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/RussellLuo/timingwheel"

	"github.com/wheelgate/wheelgate/wheel"
)

// These run against a copy of the engine whose wall clock can be stepped. See
// TestSteppedClock, which makes it and runs them.

// stepWallClock moves the wall clock, until the end of the test.
func stepWallClock(t *testing.T, by time.Duration) {
	timingwheel.Offset.Add(int64(by))
	t.Cleanup(func() { timingwheel.Offset.Add(-int64(by)) })
}

// afterSteps lets sessions of 0 to 299 s expire while the wall clock is stepped
// each half minute, and checks that all are in time. It returns how many engines
// were replaced.
func afterSteps(t *testing.T, steps ...time.Duration) (replaced int64) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		engine := w.Engine()
		due := addMany(w, 300)
		time.Sleep(250 * time.Millisecond)
		for _, by := range steps {
			time.Sleep(30 * time.Second)
			stepWallClock(t, by)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for s, at := range due {
			expectExpired(t, s, at)
		}
		replaced = w.Stats().Watchdog
		if (w.Engine() != engine) != (replaced > 0) {
			t.Errorf("%d engines counted as replaced; is it another one: %v", replaced, w.Engine() != engine)
		}
	})
	return replaced
}

func TestStepForward(t *testing.T) {
	if n := afterSteps(t, time.Hour); n != 0 {
		t.Errorf("the watchdog counts %d", n)
	}
}

func TestStepBack(t *testing.T) {
	if n := afterSteps(t, -time.Hour); n != 1 {
		t.Errorf("the watchdog counts %d; want 1", n)
	}
}

func TestStepToAndFro(t *testing.T) {
	if n := afterSteps(t, time.Hour, -time.Hour, -24*time.Hour, 48*time.Hour, time.Second, -time.Second); n < 2 || n > 3 {
		t.Errorf("the watchdog counts %d; want one for each long step back", n)
	}
}

// TestStepForwardFiresRawEngine and the next pin the trap that needs all this.
func TestStepForwardFiresRawEngine(t *testing.T) {
	rawEngineAfterStep(t, time.Hour, time.Second)
}

func TestStepBackDelaysRawEngine(t *testing.T) {
	rawEngineAfterStep(t, -time.Hour, time.Hour+10*time.Second)
}

// rawEngineAfterStep arms 1 s and 10 s, steps the wall clock, and expects the second
// timer after want.
func rawEngineAfterStep(t *testing.T, by, want time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		engine := timingwheel.NewTimingWheel(10*time.Millisecond, 100_000)
		engine.Start()
		defer engine.Stop()
		start := time.Now()
		fired := make(chan time.Duration, 1)
		engine.AfterFunc(time.Second, func() {})
		engine.AfterFunc(10*time.Second, func() { fired <- time.Since(start) })
		time.Sleep(time.Millisecond)
		stepWallClock(t, by)
		if after := <-fired; (after - want).Abs() > 20*time.Millisecond {
			t.Errorf("fired after %v; used to be %v", after, want)
		}
	})
}
