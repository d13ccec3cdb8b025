package wheel

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestDoubt: the engine is doubted when it has not reported a step that is overdue, not
// when it has and nobody got to serve the step.
func TestDoubt(t *testing.T) {
	for _, reported := range []bool{false, true} {
		type owner struct{ Entry[owner] }
		w, err := New(Config[owner]{Tick: time.Second, Deadline: func(*owner) int64 { return 1 }, Fire: func(*owner) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		var o owner
		w.Add(&o.Entry, &o, 0)
		w.ArmNear()
		w.SkipSteps(3)
		if reported {
			w.fired(1)
		}
		w.watch()
		if doubted := w.doubted.Load() == 1; doubted == reported {
			t.Errorf("reported: %t; doubted: %t", reported, doubted)
		}
		w.fired(1)
		if w.doubted.Load() != 0 {
			t.Error("doubted after the report came")
		}
	}
}

// TestDoubtAmidReport: a report that comes while the watchdog looks leaves no doubt, which
// nothing would clear.
func TestDoubtAmidReport(t *testing.T) {
	type owner struct{ Entry[owner] }
	w, err := New(Config[owner]{Tick: time.Second, Deadline: func(*owner) int64 { return 1 }, Fire: func(*owner) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var o owner
	w.Add(&o.Entry, &o, 0)
	w.SkipSteps(3)
	const rounds = 50_000
	var begun, done atomic.Int64
	go func() {
		for i := int64(1); i <= rounds; i++ {
			for begun.Load() < i {
				runtime.Gosched()
			}
			w.fired(1)
			done.Store(i)
		}
	}()
	left := 0
	for i := int64(1); i <= rounds; i++ {
		w.armed.Store(1 << 1)
		begun.Store(i)
		w.watch()
		for done.Load() < i {
			runtime.Gosched()
		}
		if w.doubted.Swap(0) != 0 {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%d of %d reports left a doubt", left, rounds)
	}
}
