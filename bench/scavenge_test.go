//go:build linux && !race

package bench_test

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// touches measures from when a message is due by schedule to when the gateway has it.
type touches struct {
	start time.Time
	mu    sync.Mutex
	late  []time.Duration
}

// message is the gateway's hook: the payload says when it was due.
func (t *touches) message(_ *gateway.Session, _ wsconn.Opcode, payload []byte) {
	late := time.Since(t.start) - time.Duration(binary.BigEndian.Uint64(payload))
	t.mu.Lock()
	t.late = append(t.late, late)
	t.mu.Unlock()
}

// run sends rate messages a second, each from a client drawn at random, and returns how
// late the gateway had them, sorted.
func (t *touches) run(tb testing.TB, clients []*wsconn.PipeEnd, rate int, during time.Duration) []time.Duration {
	n := int(during.Seconds() * float64(rate))
	t.late = make([]time.Duration, 0, n)
	begin := time.Since(t.start)
	frame := []byte("\x82\x88\x00\x00\x00\x00--------")
	for i := range n {
		due := begin + time.Duration(i)*time.Second/time.Duration(rate)
		if ahead := due - time.Since(t.start); ahead > 0 {
			// By the system's clock, as a client elsewhere: marking holds up the runtime's timers.
			wait := unix.NsecToTimespec(int64(ahead))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &wait, nil)
		}
		binary.BigEndian.PutUint64(frame[6:], uint64(due))
		if sent, errno := clients[rand.N(len(clients))].TryWrite(frame); sent != len(frame) {
			tb.Fatalf("sent %d bytes, %v", sent, errno)
		}
	}
	await(tb, "the last message", func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return len(t.late) == n
	})
	slices.Sort(t.late)
	return t.late
}

// BenchmarkScavenge has 1,000,000 sessions touched by schedule, without and with
// collections that return memory to the system, one after the other every ten seconds:
// thirty times as often as wheelgate makes them with so many sessions.
func BenchmarkScavenge(b *testing.B) {
	const n, rate, during, spacing = 1_000_000, 10_000, 30 * time.Second, 10 * time.Second
	t := touches{start: time.Now()}
	m := newMemoryGate(b, func(cfg *gateway.Config) { cfg.Hooks.Message = t.message })
	defer m.stop()
	m.connectTo(b, m.Gateway, n)
	debug.FreeOSMemory() // the garbage of connecting
	p999 := func(late []time.Duration) float64 { return late[len(late)*999/1000].Seconds() * 1e3 }
	for b.Loop() {
		without := p999(t.run(b, m.clients, rate, during))
		stop, stopped := make(chan struct{}), make(chan struct{})
		var took time.Duration
		collections := 0
		go func() {
			defer close(stopped)
			for ticker := time.NewTicker(spacing); ; collections++ {
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
				start := time.Now()
				debug.FreeOSMemory()
				took += time.Since(start)
			}
		}()
		with := p999(t.run(b, m.clients, rate, during))
		close(stop)
		<-stopped
		b.ReportMetric(without, "p99.9-ms-without")
		b.ReportMetric(with, "p99.9-ms-with")
		b.ReportMetric(took.Seconds()*1e3/float64(max(1, collections)), "ms/collection")
	}
	b.ReportMetric(0, "ns/op")
}
