//go:build linux && !race

package bench_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// toucherVar makes this program the process that touches: its value is an address.
const toucherVar = "WHEELGATE_BENCH_TOUCHER"

func init() {
	child = func() bool {
		addr := os.Getenv(toucherVar)
		if addr != "" {
			if err := touch(addr); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		return addr != ""
	}
}

const (
	touchRate    = 10_000 // a second
	touchers     = 100    // connections that the touches come over
	touchSeconds = 30
)

// monotonic is a clock that both processes read, in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano()
}

// touch sends messages by schedule, each with the instant when it was due.
func touch(addr string) error {
	conns := make([]net.Conn, touchers)
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		if err := shakeAt(conn, bufio.NewReaderSize(conn, 512), "/ws"); err != nil {
			return err
		}
		conns[i] = conn
	}
	frame := []byte("\x82\x88\x00\x00\x00\x00--------")
	begin := monotonic() + int64(time.Second)
	for i := range int64(touchRate * touchSeconds) {
		due := begin + i*int64(time.Second)/touchRate
		for ahead := due - monotonic(); ahead > 0; ahead = due - monotonic() {
			wait := unix.NsecToTimespec(ahead)
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &wait, nil)
		}
		binary.BigEndian.PutUint64(frame[6:], uint64(due))
		if _, err := conns[i%touchers].Write(frame); err != nil {
			return err
		}
	}
	time.Sleep(time.Second) // for the last to be read
	return nil
}

// touches are how late the gateway had them.
type touches struct {
	mu   sync.Mutex
	late []time.Duration
}

// message is the gateway's hook.
func (t *touches) message(_ *gateway.Session, _ wsconn.Opcode, payload []byte) {
	late := time.Duration(monotonic() - int64(binary.BigEndian.Uint64(payload)))
	t.mu.Lock()
	t.late = append(t.late, late)
	t.mu.Unlock()
}

// run has another process touch sessions at addr, and returns the 99.9th percentile in
// milliseconds.
func (t *touches) run(tb testing.TB, addr string) float64 {
	t.late = make([]time.Duration, 0, touchRate*touchSeconds)
	toucher := exec.Command(os.Args[0])
	toucher.Env = append(os.Environ(), toucherVar+"="+addr)
	if out, err := toucher.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.late) != touchRate*touchSeconds {
		tb.Fatalf("%d messages of %d arrived", len(t.late), touchRate*touchSeconds)
	}
	slices.Sort(t.late)
	return t.late[len(t.late)*999/1000].Seconds() * 1e3
}

// BenchmarkScavenge has sessions touched by schedule, over sockets, beside 1,000,000 idle
// ones in memory, without and with collections that return memory to the system: as
// often as wheelgate makes them at the most with so many.
func BenchmarkScavenge(b *testing.B) {
	const n = 1_000_000
	var t touches
	m := newMemoryGate(b, func(cfg *gateway.Config) { cfg.Hooks.Message = t.message })
	defer m.stop()
	m.connectTo(b, m.Gateway, n)
	server, l := &http.Server{Handler: m.Gateway}, listen(b)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	defer func() { _ = server.Close(); <-served }()
	debug.FreeOSMemory() // the garbage of connecting
	for b.Loop() {
		without := t.run(b, l.Addr().String())
		collecting := newCollecting()
		with := t.run(b, l.Addr().String())
		b.ReportMetric(without, "p99.9-ms-without")
		b.ReportMetric(with, "p99.9-ms-with")
		b.ReportMetric(collecting.end(), "ms/collection")
	}
	b.ReportMetric(0, "ns/op")
}

func listen(b *testing.B) net.Listener {
	cfg := gateway.DefaultConfig()
	l, err := cfg.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// collecting returns memory to the system now and then.
type collecting struct {
	stop, stopped chan struct{}
	took          time.Duration
	times         int
}

func newCollecting() *collecting {
	c := &collecting{stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(c.stopped)
		for pause := 5 * time.Second; ; pause = max(10*time.Second, 200*c.took/time.Duration(c.times)) {
			select {
			case <-c.stop:
				return
			case <-time.After(pause):
			}
			start := time.Now()
			debug.FreeOSMemory()
			c.took += time.Since(start)
			c.times++
		}
	}()
	return c
}

// end returns how long one took, in milliseconds.
func (c *collecting) end() float64 {
	close(c.stop)
	<-c.stopped
	return c.took.Seconds() * 1e3 / float64(max(1, c.times))
}
