package bench_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
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
					kept.arm(i)
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

// BenchmarkKeeperTouch is what a message costs: of any session, and of one and the
// same.
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
}

// BenchmarkKeeperDeadline is SetReadDeadline per message, on as many TCP
// connections as a process may have here (two descriptors each), and on pipes.
func BenchmarkKeeperDeadline(b *testing.B) {
	run := func(name string, n int, pair func() (net.Conn, net.Conn)) {
		b.Run(fmt.Sprintf("%s/sessions=%d", name, n), func(b *testing.B) {
			var ours []net.Conn
			for range n {
				a, c := pair()
				ours = append(ours, a)
				b.Cleanup(func() { _ = c.Close() })
			}
			before, _ := liveHeap()
			stacks := stackBytes()
			var ended atomic.Int64
			kept := newDeadlineKeeper(keeping{timeout: timeout, expired: func(int) { ended.Add(1) }}, ours)
			for i := range n {
				kept.arm(i)
			}
			after, goroutines := liveHeap()
			if goroutines < n {
				b.Fatalf("%d goroutines wait for %d connections", goroutines, n)
			}
			order := orderOf(n)
			i := 0
			for b.Loop() {
				kept.touch(int(order[i]))
				if i++; i == n {
					i = 0
				}
			}
			b.ReportMetric(float64(after-before)/float64(n), "heap-B/session")
			b.ReportMetric(float64(stackBytes()-stacks)/float64(n), "stack-B/session")
			kept.stop()
			await(b, "end of the readers", func() bool { return ended.Load() == int64(n) })
		})
	}
	run("tcp", 4000, tcpPair(b))
	run("pipe", 100_000, net.Pipe)
}

func stackBytes() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.StackInuse)
}

func tcpPair(b *testing.B) func() (net.Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return func() (net.Conn, net.Conn) {
		there, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		here, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		return here, there
	}
}

// BenchmarkKeeperCalls is what the beginning and the end of a session cost, with
// all others there, and what a session takes and does to a collection.
func BenchmarkKeeperCalls(b *testing.B) {
	for _, n := range keeperSizes {
		for _, contender := range keepers {
			b.Run(fmt.Sprintf("%s/sessions=%d", contender.name, n), func(b *testing.B) {
				order := orderOf(n)
				for b.Loop() {
					before, _ := liveHeap()
					k := idleKeeping(b)
					k.sessions = n
					kept := contender.make(b, k)
					start := time.Now()
					for _, i := range order {
						kept.arm(int(i))
					}
					armed := time.Now()
					after, _ := liveHeap()
					collecting := time.Now()
					runtime.GC()
					collected := time.Since(collecting)
					canceling := time.Now()
					for _, i := range order {
						kept.cancel(int(i))
					}
					canceled := time.Since(canceling)
					kept.stop()
					per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
					b.ReportMetric(per(armed.Sub(start)), "arm-ns/session")
					b.ReportMetric(per(canceled), "cancel-ns/session")
					b.ReportMetric(float64(after-before)/float64(n), "heap-B/session")
					b.ReportMetric(float64(collected.Microseconds())/1e3, "gc-ms")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkKeeperStorm has all sessions but one fall due at the same moment. A
// second is 20 ms here, so that the scan comes every 1.2 s. Meanwhile the one left
// is touched without pause: what its touches take is what a message would wait.
func BenchmarkKeeperStorm(b *testing.B) {
	const wait = 3 * time.Second
	for _, n := range keeperSizes {
		for _, contender := range keepers {
			b.Run(fmt.Sprintf("%s/sessions=%d", contender.name, n), func(b *testing.B) {
				for b.Loop() {
					var gone, early atomic.Int64
					var due atomic.Int64 // Unix nanoseconds of the first that may expire
					kept := contender.make(b, keeping{sessions: n + 1, timeout: wait, tick: 20 * time.Millisecond, expired: func(i int) {
						if i == n {
							return // the one left, when the benchmark is slower than it should be
						}
						if time.Now().UnixNano() < due.Load() {
							early.Add(1)
						}
						gone.Add(1)
					}})
					due.Store(time.Now().Add(wait).UnixNano())
					for i := range n + 1 {
						kept.arm(i)
					}
					stall, most := stormed(kept, n, &gone)
					late := time.Now().UnixNano() - due.Load()
					kept.stop()
					b.ReportMetric(float64(most), "goroutines")
					b.ReportMetric(float64(late)/1e6, "last-ms")
					b.ReportMetric(float64(stall.Microseconds())/1e3, "stall-ms")
					b.ReportMetric(float64(early.Load()), "early")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// stormed touches session n until all others are gone, and returns the longest
// that took and how many goroutines there were.
func stormed(kept keeper, n int, gone *atomic.Int64) (stall time.Duration, goroutines int) {
	before := runtime.NumGoroutine()
	for gone.Load() < int64(n) {
		for range 100 {
			start := time.Now()
			kept.touch(n)
			stall = max(stall, time.Since(start))
		}
		goroutines = max(goroutines, runtime.NumGoroutine()-before)
		time.Sleep(100 * time.Microsecond) // leave the processor to the others
	}
	return stall, goroutines
}

// BenchmarkKeeperLateness has sessions expire one after another, a thousand a
// second; a second is 20 ms for what has a tick.
func BenchmarkKeeperLateness(b *testing.B) {
	const n, wait = 3000, 2 * time.Second
	for _, contender := range keepers {
		b.Run(contender.name, func(b *testing.B) {
			for b.Loop() {
				due := make([]atomic.Int64, n)
				late := make([]atomic.Int64, n)
				var gone atomic.Int64
				kept := contender.make(b, keeping{sessions: n, timeout: wait, tick: 20 * time.Millisecond, expired: func(i int) {
					late[i].Store(time.Now().UnixNano() - due[i].Load())
					gone.Add(1)
				}})
				for i := range n {
					due[i].Store(time.Now().Add(wait).UnixNano())
					kept.arm(i)
					time.Sleep(time.Millisecond)
				}
				await(b, "end of all", func() bool { return gone.Load() >= n })
				kept.stop()
				all := make([]float64, n)
				for i := range late {
					all[i] = float64(late[i].Load()) / 1e6
				}
				slices.Sort(all)
				b.ReportMetric(all[0], "least-ms")
				b.ReportMetric(all[n/2], "p50-ms")
				b.ReportMetric(all[n*99/100], "p99-ms")
				b.ReportMetric(all[n-1], "max-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
