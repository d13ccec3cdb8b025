package bench_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// keeperSizes are how many sessions the keepers are compared with.
var keeperSizes = []int{100_000, million}

// eachKeeper runs a benchmark with every keeper at every size, all armed.
func eachKeeper(b *testing.B, k keeping, run func(b *testing.B, kept keeper, n int)) {
	for _, n := range keeperSizes {
		for _, contender := range keepers {
			b.Run(fmt.Sprintf("%s/sessions=%d", contender.name, n), func(b *testing.B) {
				k.sessions = n
				kept := contender.make(b, k)
				defer kept.stop()
				for i := range n {
					kept.arm(i, timeout)
				}
				run(b, kept, n)
			})
		}
	}
}

// idleKeeping is that of sessions none of which will expire.
func idleKeeping(b *testing.B) keeping {
	return keeping{timeout: timeout, tick: time.Second, expired: func(int) { b.Error("a session expired") }}
}

// orderOf is a random order of n sessions.
func orderOf(n int) []uint32 {
	order := make([]uint32, n)
	for i, j := range rand.New(rand.NewPCG(3, 4)).Perm(n) {
		order[i] = uint32(j)
	}
	return order
}

// BenchmarkKeeperCalls is what the beginning and the end of a session cost, with
// all others there, and what a session takes and does to collections: how much
// longer a forced one is than before there were any sessions, and what those
// take of the processors, mark assist included, that a GiB of garbage causes. It
// is the first benchmark, since the runtime keeps for good what others make it
// need: the memory of its heap of timers, and dead goroutines.
func BenchmarkKeeperCalls(b *testing.B) {
	for _, n := range keeperSizes {
		for _, contender := range keepers {
			b.Run(fmt.Sprintf("%s/sessions=%d", contender.name, n), func(b *testing.B) {
				order := orderOf(n)
				for b.Loop() {
					before, _ := liveHeap()
					without := collection()
					k := idleKeeping(b)
					k.sessions = n
					kept := contender.make(b, k)
					arming := time.Now()
					for _, i := range order {
						kept.arm(int(i), timeout)
					}
					armed := time.Since(arming)
					after, _ := liveHeap()
					collected := collection() - without
					collectors, assist := litter()
					still := 0
					canceling := time.Now()
					for _, i := range order {
						if kept.cancel(int(i)) {
							still++
						}
					}
					canceled := time.Since(canceling)
					kept.stop()
					if still != n {
						b.Fatalf("%d of %d sessions were still armed", still, n)
					}
					per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
					b.ReportMetric(per(armed), "arm-ns/session")
					b.ReportMetric(per(canceled), "cancel-ns/session")
					b.ReportMetric(float64(after-before)/float64(n), "heap-B/session")
					b.ReportMetric(float64(collected.Microseconds())/1e3, "gc-ms")
					b.ReportMetric(collectors*1e3, "gc-cpu-ms/GiB")
					b.ReportMetric(assist*1e3, "assist-cpu-ms/GiB")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// collection is what a forced collection takes: the best of some.
func collection() time.Duration {
	best := time.Hour
	for range 5 {
		start := time.Now()
		runtime.GC()
		best = min(best, time.Since(start))
	}
	return best
}

// litter makes a GiB of garbage and returns the seconds of CPU that collections
// took meanwhile, without what they took of idle processors, and those in them
// in which the one who makes the garbage had to help.
func litter() (collectors, assist float64) {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
	}
	read := func() (float64, float64) {
		runtime.GC() // at whose end they are brought up to date
		metrics.Read(samples)
		return samples[0].Value.Float64() - samples[1].Value.Float64(), samples[2].Value.Float64()
	}
	type piece struct {
		_ *piece
		_ [1016]byte
	}
	var few [1024]*piece // live at a time, so that it is garbage for sure
	collectors0, assist0 := read()
	for i := range 1 << 20 {
		few[i%len(few)] = new(piece)
	}
	collectors, assist = read()
	runtime.KeepAlive(&few)
	return collectors - collectors0, assist - assist0
}

// BenchmarkKeeperTouch is what a message costs: of any session, of one and the same,
// and, for the wheel, of any session that has had none in this step. Only then the
// wheel writes, so that is what it costs sessions that seldom speak.
func BenchmarkKeeperTouch(b *testing.B) {
	b.Run("random", func(b *testing.B) {
		eachKeeper(b, idleKeeping(b), func(b *testing.B, kept keeper, n int) {
			order := orderOf(n)
			i := 0
			for b.Loop() {
				kept.touch(int(order[i]))
				if i++; i == n {
					i = 0
				}
			}
		})
	})
	b.Run("hot", func(b *testing.B) {
		eachKeeper(b, idleKeeping(b), func(b *testing.B, kept keeper, _ int) {
			for b.Loop() {
				kept.touch(7)
			}
		})
	})
	b.Run(fmt.Sprintf("first/wheel/sessions=%d", million), firstInStep)
}

func firstInStep(b *testing.B) {
	k := idleKeeping(b)
	k.sessions, k.tick = million, 2*wheel.MinTick
	kept := newWheelKeeper(b, k).(*wheelKeeper)
	defer kept.stop()
	for i := range million {
		kept.arm(i, timeout)
	}
	order := orderOf(million)
	i := 0
	for b.Loop() {
		if i == 0 { // a step that none was touched in
			b.StopTimer()
			for step := kept.Now(); kept.Now() == step; time.Sleep(time.Millisecond) {
			}
			b.StartTimer()
		}
		kept.touch(int(order[i]))
		if i++; i == million {
			i = 0
		}
	}
}
