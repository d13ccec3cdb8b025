package bench_test

import (
	"runtime"
	"testing"
	"time"
)

func await(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("no %s after two minutes", what)
		}
	}
}

// liveHeap is what is live, after enough collections to empty pools and free what
// finalizers held, and the number of goroutines.
func liveHeap() (bytes int64, goroutines int) {
	var stats runtime.MemStats
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc), runtime.NumGoroutine()
}
