package bench_test

import (
	"math/rand/v2"
	"runtime"
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
	index   int
	timer   *timingwheel.Timer
	_       [128 - 64]byte
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
		for b.Loop() {
			touchRandom(w, owners, order)
		}
		perItem(b)
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
		for b.Loop() {
			storeRandomLoop(owners, order)
		}
		perItem(b)
	})
}

// perItem reports the time for one of the million that each loop went over. The
// loop over them is tight: in a longer one fewer cache misses overlap, whatever
// is done with the memory.
func perItem(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/item")
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
// All are measured in turns and the best of each counts, as others on the machine
// only ever add. stale is the worst case: the stores, of step 0, have left no
// stamp of this one, so each touch does its atomic write.
func BenchmarkTouchRatio(b *testing.B) {
	const (
		rounds     = 7
		hotRuns    = 20 // of a million, which takes too short for the clock
		engineRuns = 4  // so that the collection of its garbage is in it
	)
	owners, order := newOwners()
	w := turningWheel(b)
	rearm := startEngine(b, owners)
	var hot, random, stale, storeHot, storeRandom, engineHot, engineRandom sample
	turn := func() {
		runtime.GC() // or what the engine's garbage has begun would count below
		hot.add(hotRuns, func() { touchHot(w, (*hotSet)(owners)) })
		storeHot.add(hotRuns, func() { storeHotLoop((*hotSet)(owners)) })
		storeRandom.add(1, func() { storeRandomLoop(owners, order) })
		stale.add(1, func() { touchRandom(w, owners, order) })
		random.add(1, func() { touchRandom(w, owners, order) })
		engineHot.add(1, func() {
			for range million {
				rearm(&owners[0])
			}
		})
		engineRandom.add(engineRuns, func() {
			for _, j := range order {
				rearm(&owners[j])
			}
		})
	}
	for b.Loop() {
		for range rounds {
			turn()
		}
	}
	for name, s := range map[string]sample{
		"hot": hot, "random": random, "stale": stale, "store-hot": storeHot,
		"store-random": storeRandom, "engine-hot": engineHot, "engine-random": engineRandom,
	} {
		b.ReportMetric(s.best(), name+"-ns")
	}
	b.ReportMetric(hot.best()/storeHot.best(), "hot/store")
	b.ReportMetric(random.best()/storeRandom.best(), "random/store")
	b.ReportMetric(stale.best()/storeRandom.best(), "stale/store")
	b.ReportMetric(engineHot.best()/hot.best(), "engine/hot")
	b.ReportMetric(engineRandom.best()/random.best(), "engine/random")
	b.ReportMetric(engineRandom.best()/stale.best(), "engine/stale")
}

// hotSet is what stays in the nearest cache. The loops over it are unrolled,
// since a loop's own count and jumps cost as much as a store; and it is eight
// sessions because the compiler drops all but the last of eight stores to one.
type hotSet [8]owner

//go:noinline
func touchHot(w *wheel.Wheel[owner], o *hotSet) {
	for range million / len(o) {
		w.Touch(&o[0].stamp)
		w.Touch(&o[1].stamp)
		w.Touch(&o[2].stamp)
		w.Touch(&o[3].stamp)
		w.Touch(&o[4].stamp)
		w.Touch(&o[5].stamp)
		w.Touch(&o[6].stamp)
		w.Touch(&o[7].stamp)
	}
}

//go:noinline
func storeHotLoop(o *hotSet) {
	for range million / len(o) {
		*o[0].plain() = 0
		*o[1].plain() = 0
		*o[2].plain() = 0
		*o[3].plain() = 0
		*o[4].plain() = 0
		*o[5].plain() = 0
		*o[6].plain() = 0
		*o[7].plain() = 0
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
	for _, j := range order {
		*owners[j].plain() = 0
	}
}

// sample is the CPU time, in nanoseconds for one of a million, of several runs.
type sample []float64

// add runs f, which does a million, that many times.
func (s *sample) add(runs int, f func()) {
	before := cpuTime()
	for range runs {
		f()
	}
	*s = append(*s, float64(cpuTime()-before)/float64(runs)/million)
}

func (s sample) best() float64 { return slices.Min(s) }

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
