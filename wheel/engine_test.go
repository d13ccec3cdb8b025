package wheel_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/RussellLuo/timingwheel"

	"github.com/wheelgate/wheelgate/wheel"
)

// The tests of this file called TestTrap pin what is wrong with the engine. When
// one fails after an upgrade the trap may be gone, and with it a part of ours.

// TestTrapDeadlock: the engine hangs for ever (its issues 33, 53, 54). Ours surviving
// the same is TestStress.
func TestTrapDeadlock(t *testing.T) {
	t.Parallel()
	// Under the race detector the engine is too slow to hang within our patience.
	binary := filepath.Join(t.TempDir(), "wheel.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const tries = 3
	for range tries {
		out, err := childOf(t, binary, "deadlock").Output()
		if err == nil && strings.Contains(string(out), "deadlocked") {
			return
		}
		t.Logf("%v: %s", err, out)
	}
	t.Errorf("the trap seems gone: no deadlock in %d tries", tries)
}

// deadlockEngine floods an engine of 1 ms a slot with timers of 1 to 4 slots, until
// its goroutine waits for a bucket's lock that it holds itself. That takes a
// goroutine paused in the engine's add for the rest of a revolution: few slots
// make it a matter of seconds, the 20 of the trap's report one of luck.
func deadlockEngine() {
	engine := timingwheel.NewTimingWheel(time.Millisecond, 5)
	engine.Start()
	var fired, pending atomic.Int64
	for range 16 {
		go func() {
			for {
				if pending.Add(1) > 5000 {
					time.Sleep(time.Millisecond)
				}
				engine.AfterFunc(time.Duration(1+rand.IntN(4))*time.Millisecond, func() {
					fired.Add(1)
					pending.Add(-1)
				})
			}
		}()
	}
	seen, still := int64(-1), 0
	for range 300 { // half a minute
		time.Sleep(100 * time.Millisecond)
		if now := fired.Load(); now != seen {
			seen, still = now, 0
		} else if still++; still >= 5 && waitsForItself() {
			fmt.Println("deadlocked after", seen, "firings")
			return
		}
	}
	fail("no deadlock; %d fired", fired.Load())
}

// waitsForItself reports whether a goroutine waits in an Add called by Flush.
func waitsForItself() bool {
	stacks := make([]byte, 16<<20)
	for g := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
		if bytes.Contains(g, []byte("[sync.Mutex.Lock")) && bytes.Contains(g, []byte("(*bucket).Flush")) && bytes.Contains(g, []byte("(*bucket).Add")) {
			return true
		}
	}
	return false
}

// TestTrapFiresEarly: a delay is cut to milliseconds and to the start of a slot.
func TestTrapFiresEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(999 * time.Millisecond)
		engine := timingwheel.NewTimingWheel(time.Second, 20)
		engine.Start()
		defer engine.Stop()
		start := time.Now()
		fired := make(chan time.Duration, 1)
		engine.AfterFunc(1900*time.Millisecond, func() { fired <- time.Since(start) })
		if after := <-fired; after != 1001*time.Millisecond {
			t.Errorf("a timer of 1.9s fired after %v; it used to be 1.001s", after)
		}
	})
}

// TestTrapGoroutinePerFiring: that is why we have a timer per cohort only.
func TestTrapGoroutinePerFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := timingwheel.NewTimingWheel(time.Second, 20)
		engine.Start()
		defer engine.Stop()
		var blocked atomic.Int32
		release := make(chan struct{})
		for range 1000 {
			engine.AfterFunc(2*time.Second, func() { blocked.Add(1); <-release })
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := blocked.Load(); n != 1000 {
			t.Errorf("%d of 1000 firings were under way at once", n)
		}
		close(release)
	})
}

// TestTrapStoppedEngineForgets: nothing tells that it no longer turns.
func TestTrapStoppedEngineForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := timingwheel.NewTimingWheel(time.Second, 20)
		engine.Start()
		time.Sleep(time.Second)
		engine.Stop()
		fired := false
		engine.AfterFunc(2*time.Second, func() { fired = true })
		time.Sleep(time.Hour)
		if fired {
			t.Error("a stopped engine fires")
		}
	})
}

// TestFrozenEngine: an engine that fires nothing is noticed within two ticks by
// the first cohort that it forgets, and replaced.
func TestFrozenEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var replaced atomic.Int64
		w := startWheel(t, wheel.Config[session]{Replaced: func() { replaced.Add(1) }})
		due := addMany(w, 300)
		time.Sleep(30*time.Second + 250*time.Millisecond)
		synctest.Wait()
		w.FreezeEngine()
		expectReplaced(t, w, due, &replaced)
	})
}

// TestBlockedEngine: one that hangs in a call is noticed the same way, and at once
// when it takes no more timers.
func TestBlockedEngine(t *testing.T) {
	for _, room := range []int{wheel.Backlog, 3, 0} {
		synctest.Test(t, func(t *testing.T) {
			var replaced atomic.Int64
			w := startWheel(t, wheel.Config[session]{Replaced: func() { replaced.Add(1) }})
			due := addMany(w, 300)
			time.Sleep(30*time.Second + 250*time.Millisecond)
			synctest.Wait()
			defer w.BlockEngine(room)()
			expectReplaced(t, w, due, &replaced)
		})
	}
}

// TestStopLeavesBlockedEngine: Stop does not wait for what never ends.
func TestStopLeavesBlockedEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWheel(t, wheel.Config[session]{})
		time.Sleep(time.Minute)
		synctest.Wait()
		defer w.BlockEngine(0)()
		start := time.Now()
		w.Stop()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Stop took %v; want the second of patience", took)
		}
	})
}

// addMany adds n sessions, the i-th due just over i seconds from now, which is the
// phase that comes latest, and returns when.
func addMany(w *wheel.Wheel[session], n int) map[*session]time.Time {
	due := map[*session]time.Time{}
	for i := range n {
		timeout := time.Duration(i)*time.Second + 1
		due[add(w, timeout, i)] = time.Now().Add(timeout)
	}
	return due
}

// expectReplaced checks that all expire in time although the engine has just
// become useless, that it is replaced, counted once, and the new one serves.
func expectReplaced(t *testing.T, w *wheel.Wheel[session], due map[*session]time.Time, replaced *atomic.Int64) {
	t.Helper()
	engine := w.Engine()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	for s, at := range due {
		expectExpired(t, s, at)
	}
	if w.Engine() == engine {
		t.Error("the engine was not replaced")
	}
	if n, told := w.Stats().Watchdog, replaced.Load(); n != 1 || told != n {
		t.Errorf("the watchdog counts %d and told of %d; want 1", n, told)
	}
}
