package bench_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/wheelgate/wheelgate/wheel"
)

// BenchmarkWheelCalls has the calls that take a lock, over a million entries in
// random order, in nanoseconds a call.
func BenchmarkWheelCalls(b *testing.B) {
	_, order := newOwners()
	var add, reschedule, cancel sample
	for b.Loop() {
		owners := make([]owner, million)
		w := newWheel(b, func(*owner) {})
		for i := range owners {
			owners[i].timeout = w.Steps(timeout)
		}
		add.add(1, func() {
			for _, i := range order {
				w.Add(&owners[i].Entry, &owners[i], i)
			}
		})
		for i := range owners {
			owners[i].timeout = w.Steps(timeout / 2)
		}
		reschedule.add(1, func() {
			for _, i := range order {
				w.Reschedule(&owners[i].Entry)
			}
		})
		cancel.add(1, func() {
			for _, i := range order {
				w.Cancel(&owners[i].Entry)
			}
		})
	}
	b.ReportMetric(add.best(), "add-ns")
	b.ReportMetric(reschedule.best(), "reschedule-ns")
	b.ReportMetric(cancel.best(), "cancel-ns")
	b.ReportMetric(float64(unsafe.Sizeof(wheel.Entry[owner]{})+unsafe.Sizeof(wheel.Stamp{})), "B/entry")
}

// BenchmarkWheelIdle is the CPU time a turning wheel takes in a second, over a
// million entries none of which is due.
func BenchmarkWheelIdle(b *testing.B) {
	owners := make([]owner, million)
	w := newWheel(b, func(*owner) {})
	for i := range owners {
		owners[i].timeout = w.Steps(timeout)
		w.Add(&owners[i].Entry, &owners[i], uint32(i))
	}
	w.Start()
	begin, start := cpuTime(), time.Now()
	for b.Loop() {
		time.Sleep(2 * time.Second)
	}
	b.ReportMetric(float64((cpuTime()-begin).Microseconds())/time.Since(start).Seconds(), "cpu-us/s")
}
