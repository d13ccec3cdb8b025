//go:build !race

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

// TestWheelStorm lets a million entries fall due in one step: each is handed out
// once, by at most 64 goroutines more than before, and touching others meanwhile
// takes at most 1 ms at p99.9.
func TestWheelStorm(t *testing.T) {
	due := make([]owner, million)
	others := make([]owner, 100_000)
	fired := make([]atomic.Uint32, million)
	var handed atomic.Int64
	before := runtime.NumGoroutine()
	var w *wheel.Wheel[owner]
	w = newWheel(t, func(o *owner) {
		w.Cancel(&o.Entry)
		fired[o.index].Add(1)
		handed.Add(1)
	})
	for i := range due {
		due[i].index = i
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
	for i := range fired {
		if n := fired[i].Load(); n != 1 {
			t.Fatalf("entry %d was handed out %d times", i, n)
		}
	}
	slices.Sort(touches)
	at := func(p float64) time.Duration { return touches[int(p*float64(len(touches)-1))] }
	if most > 64 || at(0.999) > time.Millisecond {
		t.Errorf("%d extra goroutines, touch p99.9 %v; want at most 64 and 1ms", most, at(0.999))
	}
	t.Logf("1,000,000 handed out in %v; %d extra goroutines; %d touches meanwhile: p50 %v, p99 %v, p99.9 %v, max %v",
		took, most, len(touches), at(0.5), at(0.99), at(0.999), at(1))
}
