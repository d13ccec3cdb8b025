package bench_test

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
)

// BenchmarkReadDeadline is SetReadDeadline per message, on as many TCP
// connections as a process may have here (two descriptors each), and on pipes. It
// wants a process of its own: the runtime keeps dead goroutines, so that they would
// cost what comes after, and new ones take no memory where there are some. For
// the same reason it begins with the fewest: at most a tenth are not new.
func BenchmarkReadDeadline(b *testing.B) {
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
				kept.arm(i, timeout)
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
	for _, n := range keeperSizes {
		run("pipe", n, net.Pipe)
	}
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
