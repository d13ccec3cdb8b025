package bench_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// pauses are what messages waited that came ten thousand a second, by schedule: a
// message is late from when it was due, so one long wait is many late messages.
type pauses struct {
	call time.Duration   // the longest touch, from when it was begun
	wait []time.Duration // of each touch, from when it was due
}

// touchUntil touches session i by schedule until done.
func touchUntil(kept keeper, i int, done func() bool) (p pauses) {
	for due := time.Now(); !done(); due = due.Add(100 * time.Microsecond) {
		time.Sleep(time.Until(due))
		begin := time.Now()
		kept.touch(i)
		end := time.Now()
		p.call = max(p.call, end.Sub(begin))
		p.wait = append(p.wait, end.Sub(due))
	}
	slices.Sort(p.wait)
	return p
}

func (p pauses) report(b *testing.B) {
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	b.ReportMetric(ms(p.call), "stall-ms")
	b.ReportMetric(ms(p.wait[len(p.wait)*99/100]), "wait-p99-ms")
	b.ReportMetric(ms(p.wait[len(p.wait)-1]), "wait-max-ms")
}

// BenchmarkKeeperScan is a look at all sessions, none of which is due, and what
// messages wait meanwhile. The first users' manager did one a minute, all of it
// under the lock. The others look at nobody who is not due.
func BenchmarkKeeperScan(b *testing.B) {
	for _, n := range keeperSizes {
		b.Run(fmt.Sprintf("map-scan/sessions=%d", n), func(b *testing.B) {
			k := idleKeeping(b)
			k.sessions = n
			kept := newScanKeeper(b, k).(*scanKeeper)
			defer kept.stop()
			for i := range n {
				kept.arm(i, timeout)
			}
			var scanned atomic.Bool
			seen := make(chan pauses)
			go func() { seen <- touchUntil(kept, 0, scanned.Load) }()
			for b.Loop() {
				kept.scan()
				time.Sleep(10 * time.Millisecond) // not one scan after another
			}
			scanned.Store(true)
			p := <-seen
			p.report(b)
			b.ReportMetric(float64(locked(kept).Microseconds())/1e3, "locked-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// locked is how long a scan with nobody due has the lock: all of it, when nobody
// else wants it. The best of some.
func locked(kept *scanKeeper) time.Duration {
	best := time.Hour
	for range 5 {
		start := time.Now()
		kept.scan()
		best = min(best, time.Since(start))
	}
	return best
}

// BenchmarkKeeperStorm has all sessions but one fall due at the same moment, while
// messages come for the one left. A second is 20 ms here, so that the map is
// scanned every 1.2 s.
func BenchmarkKeeperStorm(b *testing.B) {
	for _, n := range keeperSizes {
		for _, contender := range keepers {
			b.Run(fmt.Sprintf("%s/sessions=%d", contender.name, n), func(b *testing.B) {
				for b.Loop() {
					storm(b, contender.make, n)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func storm(b *testing.B, build func(testing.TB, keeping) keeper, n int) {
	const tick = 20 * time.Millisecond
	due := time.Now().Add(3 * time.Second) // of all, whenever they were armed
	var gone, early, last atomic.Int64
	kept := build(b, keeping{sessions: n + 1, timeout: time.Minute, tick: tick, expired: func(int) {
		late := time.Since(due)
		if late < 0 {
			early.Add(1)
		}
		for old := last.Load(); int64(late) > old && !last.CompareAndSwap(old, int64(late)); old = last.Load() {
		}
		gone.Add(1)
	}})
	for i := range n {
		kept.arm(i, time.Until(due))
	}
	kept.arm(n, time.Minute)
	if time.Until(due) < 10*tick {
		b.Fatal("arming took longer than the timeout")
	}
	runtime.GC() // of what was there before: a second or so before the storm
	time.Sleep(time.Until(due.Add(-5 * tick)))
	before, most := runtime.NumGoroutine(), 0
	p := touchUntil(kept, n, func() bool {
		most = max(most, runtime.NumGoroutine()-before)
		return gone.Load() >= int64(n)
	})
	kept.stop()
	p.report(b)
	b.ReportMetric(float64(most), "goroutines")
	b.ReportMetric(float64(last.Load())/1e6, "last-ms")
	b.ReportMetric(float64(early.Load()), "early")
}

// BenchmarkKeeperLateness has sessions expire one after another, a thousand a
// second; a second is 20 ms for what has a tick. The wheel promises two ticks and
// what the process was paused, which at this tick is a turn more than 5 ms late: a
// maximum above 40 ms has to be in paused-ms.
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
					kept.arm(i, wait)
					time.Sleep(time.Millisecond)
				}
				await(b, "end of all", func() bool { return gone.Load() >= n })
				kept.stop()
				all := make([]float64, n)
				for i := range late {
					all[i] = float64(late[i].Load()) / 1e6
				}
				slices.Sort(all)
				if w, ok := kept.(*wheelKeeper); ok {
					b.ReportMetric(float64(w.Stats().Paused.Microseconds())/1e3, "paused-ms")
				}
				b.ReportMetric(all[0], "least-ms")
				b.ReportMetric(all[n/2], "p50-ms")
				b.ReportMetric(all[n*99/100], "p99-ms")
				b.ReportMetric(all[n-1], "max-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
