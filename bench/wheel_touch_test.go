package bench_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/RussellLuo/timingwheel"

	"github.com/wheelgate/wheelgate/wheel"
)

const (
	million = 1_000_000
	timeout = 30 * time.Minute
)

// owner has the size of a small session, so that random access misses the
// cache as it would in the gateway.
type owner struct {
	wheel.Entry[owner]
	stamp   wheel.Stamp
	timeout int64 // steps
	timer   *timingwheel.Timer
	_       [128 - 56]byte
}

// plain is the memory of the stamp without its atomicity.
func (o *owner) plain() *int64 { return (*int64)(unsafe.Pointer(&o.stamp)) }

func deadline(o *owner) int64 { return o.stamp.Step() + o.timeout }

func newWheel(tb testing.TB, fire func(*owner)) *wheel.Wheel[owner] {
	w, err := wheel.New(wheel.Config[owner]{Tick: time.Second, Deadline: deadline, Fire: fire})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(w.Stop)
	return w
}

// newOwners returns a million owners and a random order to visit them in.
var newOwners = sync.OnceValues(func() ([]owner, []uint32) {
	order := make([]uint32, million)
	for i, j := range rand.New(rand.NewPCG(1, 2)).Perm(million) {
		order[i] = uint32(j)
	}
	return make([]owner, million), order
})

// turningWheel returns a started wheel that is past step 0, the step of a fresh Stamp.
func turningWheel(tb testing.TB) *wheel.Wheel[owner] {
	w := newWheel(tb, func(*owner) {})
	w.Start()
	for w.Now() == 0 {
		time.Sleep(w.Step() / 10)
	}
	return w
}

func BenchmarkTouch(b *testing.B) {
	owners, order := newOwners()
	w := turningWheel(b)
	b.Run("hot", func(b *testing.B) {
		for b.Loop() {
			w.Touch(&owners[0].stamp)
		}
	})
	b.Run("random", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			w.Touch(&owners[order[i%million]].stamp)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(million); pb.Next(); i++ {
				w.Touch(&owners[order[i%million]].stamp)
			}
		})
	})
}

func BenchmarkStore(b *testing.B) {
	owners, order := newOwners()
	b.Run("hot", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			*owners[0].plain() = int64(i)
		}
	})
	b.Run("random", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			*owners[order[i%million]].plain() = int64(i)
		}
	})
}

// BenchmarkEngineRearm is what a touch would cost with a timer per session.
func BenchmarkEngineRearm(b *testing.B) {
	owners, order := newOwners()
	rearm := startEngine(b, owners)
	b.Run("hot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rearm(&owners[0])
		}
	})
	b.Run("random", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			rearm(&owners[order[i%million]])
		}
	})
}

// startEngine arms a timer for each owner and returns what re-arms one.
func startEngine(tb testing.TB, owners []owner) (rearm func(*owner)) {
	// One level is the engine at its best: nothing is moved between levels.
	engine := timingwheel.NewTimingWheel(time.Second, int64(2*timeout/time.Second))
	engine.Start()
	tb.Cleanup(engine.Stop)
	nothing := func() {}
	for i := range owners {
		owners[i].timer = engine.AfterFunc(timeout, nothing)
	}
	tb.Cleanup(func() {
		for i := range owners {
			owners[i].timer = nil
		}
	})
	return func(o *owner) {
		o.timer.Stop()
		o.timer = engine.AfterFunc(timeout, nothing)
	}
}

// BenchmarkTouchRatio reports how touch compares, in CPU time of the process:
// at most 2 to a plain store, at least 100 (hot) and 30 (random) for the engine.
// All are measured in turns and the median counts, so that a slow moment of the
// machine hits all alike. stale/store is the worst case: no stamp is of this
// step yet, so each touch does its atomic store.
func BenchmarkTouchRatio(b *testing.B) {
	owners, order := newOwners()
	w := turningWheel(b)
	rearm := startEngine(b, owners)
	var hot, random, stale, storeHot, storeRandom, engineHot, engineRandom sample
	for b.Loop() {
		hot.add(func() { touchHot(w, owners) })
		storeHot.add(func() { storeHotLoop(owners) })
		for i := range owners {
			owners[i].stamp = wheel.Stamp{}
		}
		stale.add(func() { touchRandom(w, owners, order) })
		random.add(func() { touchRandom(w, owners, order) })
		storeRandom.add(func() { storeRandomLoop(owners, order) })
		engineHot.add(func() {
			for range million {
				rearm(&owners[0])
			}
		})
		engineRandom.add(func() {
			for _, j := range order {
				rearm(&owners[j])
			}
		})
	}
	b.ReportMetric(hot.median(), "hot-ns")
	b.ReportMetric(random.median(), "random-ns")
	b.ReportMetric(stale.median(), "stale-ns")
	b.ReportMetric(storeHot.median(), "store-hot-ns")
	b.ReportMetric(storeRandom.median(), "store-random-ns")
	b.ReportMetric(hot.median()/storeHot.median(), "hot/store")
	b.ReportMetric(random.median()/storeRandom.median(), "random/store")
	b.ReportMetric(stale.median()/storeRandom.median(), "stale/store")
	b.ReportMetric(engineHot.median()/hot.median(), "engine/hot")
	b.ReportMetric(engineRandom.median()/random.median(), "engine/random")
	b.ReportMetric(engineRandom.median()/stale.median(), "engine/stale")
}

//go:noinline
func touchHot(w *wheel.Wheel[owner], owners []owner) {
	for range million {
		w.Touch(&owners[0].stamp)
	}
}

//go:noinline
func storeHotLoop(owners []owner) {
	for i := range million {
		*owners[0].plain() = int64(i)
	}
}

//go:noinline
func touchRandom(w *wheel.Wheel[owner], owners []owner, order []uint32) {
	for _, j := range order {
		w.Touch(&owners[j].stamp)
	}
}

//go:noinline
func storeRandomLoop(owners []owner, order []uint32) {
	for i, j := range order {
		*owners[j].plain() = int64(i)
	}
}

// sample is the CPU time, in nanoseconds for one of a million, of several runs.
type sample []float64

func (s *sample) add(f func()) {
	before := cpuTime()
	f()
	*s = append(*s, float64(cpuTime()-before)/million)
}

func (s sample) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2]
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
