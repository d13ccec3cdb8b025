package bench_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// BenchmarkWheelStorm lets a million entries fall due in one step and reports how
// long they take, how many goroutines there are more than before, and how slow
// touches of others are meanwhile. It fails beyond 64 goroutines or 1 ms at p99.9.
func BenchmarkWheelStorm(b *testing.B) {
	for b.Loop() {
		storm(b)
	}
}

func storm(b *testing.B) {
	due := make([]owner, million)
	others := make([]owner, 100_000)
	var handed atomic.Int64
	before := runtime.NumGoroutine()
	var w *wheel.Wheel[owner]
	w = newWheel(b, func(o *owner) {
		w.Cancel(&o.Entry)
		handed.Add(1)
	})
	for i := range due {
		due[i].timeout = w.Steps(time.Second) // after step 0, all of them
		w.Add(&due[i].Entry, &due[i], uint32(i))
	}
	for i := range others {
		others[i].timeout = w.Steps(timeout)
		w.Add(&others[i].Entry, &others[i], uint32(i))
	}
	w.Start()
	for handed.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	start, most := time.Now(), 0
	touches := make([]time.Duration, 0, 10*million)
	for handed.Load() < million {
		for range 100 {
			stamp := &others[rand.IntN(len(others))].stamp
			begin := time.Now()
			w.Touch(stamp)
			touches = append(touches, time.Since(begin))
		}
		most = max(most, runtime.NumGoroutine()-before)
	}
	took := time.Since(start)
	w.Stop()
	if n := handed.Load(); n != million {
		b.Fatalf("%d handed out of %d", n, million)
	}
	slices.Sort(touches)
	at := func(p float64) time.Duration { return touches[int(p*float64(len(touches)-1))] }
	if most > 64 || at(0.999) > time.Millisecond {
		b.Errorf("%d extra goroutines, touch p99.9 %v; want at most 64 and 1ms", most, at(0.999))
	}
	b.Logf("1,000,000 handed out in %v; %d extra goroutines; %d touches meanwhile: p50 %v, p99 %v, p99.9 %v, max %v",
		took, most, len(touches), at(0.5), at(0.99), at(0.999), at(1))
	b.ReportMetric(took.Seconds(), "storm-s")
	b.ReportMetric(float64(most), "goroutines")
	b.ReportMetric(float64(at(0.999).Nanoseconds()), "touch-p99.9-ns")
	b.ReportMetric(float64(at(1).Nanoseconds()), "touch-max-ns")
}
