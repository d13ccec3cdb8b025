//go:build linux && !race

package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// memoryGate is a gateway whose clients are connections in memory, so that one
// process holds more of them than it may have descriptors. All above the poller
// is as with sockets. There is no net/http: requests are handed to the gateway.
type memoryGate struct {
	*gateway.Gateway
	clients []*wsconn.PipeEnd
	early   atomic.Int64  // closed before dueAt
	last    atomic.Int64  // the latest close, in nanoseconds after dueAt
	dueAt   time.Time     // when all expire; written while nobody closes
	ended   chan struct{} // Run has returned
	cancel  context.CancelFunc
}

// memoryBuffer is what a pipe holds: a few small messages.
const memoryBuffer = 1 << 10

func newMemoryGate(tb testing.TB, configure ...func(*gateway.Config)) *memoryGate {
	m := &memoryGate{ended: make(chan struct{})}
	cfg := gateway.DefaultConfig()
	cfg.Transport = wsconn.KindLoop
	cfg.MaxSessions = 0
	cfg.PingInterval = 0
	cfg.DrainWindow = 0
	cfg.Hooks.Close = m.closed
	for _, c := range configure {
		c(&cfg)
	}
	var err error
	if m.Gateway, err = gateway.New(cfg); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.ended)
		if err := m.Run(ctx); err != nil {
			tb.Error(err)
		}
	}()
	await(tb, "readiness", m.Ready)
	return m
}

func (m *memoryGate) closed(_ *gateway.Session, reason gateway.Reason) {
	late := time.Since(m.dueAt)
	if reason != gateway.ReasonIdleTimeout {
		return
	}
	if late < 0 {
		m.early.Add(1)
	}
	for old := m.last.Load(); int64(late) > old && !m.last.CompareAndSwap(old, int64(late)); old = m.last.Load() {
	}
}

// stop closes all clients and ends the gateway.
func (m *memoryGate) stop() {
	for _, c := range m.clients {
		_ = c.Close()
	}
	m.cancel()
	<-m.ended
}

// hijacked is the http.ResponseWriter of a connection in memory.
type hijacked struct {
	http.ResponseWriter
	end *wsconn.PipeEnd
	rw  *bufio.ReadWriter
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.end, h.rw, nil }

// connect adds n clients of the echo, each of which has read its 101.
func (m *memoryGate) connect(tb testing.TB, n int) { tb.Helper(); m.connectTo(tb, m.Echo(), n) }

func (m *memoryGate) connectTo(tb testing.TB, gate http.Handler, n int) {
	request, err := http.NewRequest(http.MethodGet, "http://gate.test/echo", nil)
	if err != nil {
		tb.Fatal(err)
	}
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		request.Header.Set(name, value)
	}
	rw := bufio.NewReadWriter(bufio.NewReaderSize(&bytes.Buffer{}, 16), bufio.NewWriterSize(nil, 16))
	answer := make([]byte, memoryBuffer)
	for range n {
		client, server := wsconn.Pipe(memoryBuffer)
		gate.ServeHTTP(hijacked{end: server, rw: rw}, request)
		if n, _ := client.TryRead(answer); !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 101 ")) {
			tb.Fatalf("refused: %q", answer[:n])
		}
		m.clients = append(m.clients, client)
	}
}

// expect reads until every client of some has received frame once more.
func expect(tb testing.TB, some []*wsconn.PipeEnd, frame []byte) {
	buf := make([]byte, 2*len(frame))
	for i, c := range some {
		got := 0
		for deadline := time.Now().Add(time.Minute); got < len(frame); {
			n, errno := c.TryRead(buf[got:])
			got += n
			switch {
			case errno == syscall.EAGAIN:
				runtime.Gosched()
			case errno != 0 || n == 0:
				tb.Fatalf("client %d: %v", i, errno)
			}
			if got < len(frame) && time.Now().After(deadline) {
				tb.Fatalf("client %d has received %d bytes of %d", i, got, len(frame))
			}
		}
		if !bytes.Equal(buf[:got], frame) {
			tb.Fatalf("client %d received % x", i, buf[:got])
		}
	}
}

// talk has each client say hello once and hear it back.
func (m *memoryGate) talk(tb testing.TB) {
	const some = 1000 // at a time
	for rest := m.clients; len(rest) > 0; rest = rest[min(some, len(rest)):] {
		these := rest[:min(some, len(rest))]
		for _, c := range these {
			if n, errno := c.TryWrite([]byte("\x81\x85\x00\x00\x00\x00hello")); n != 11 {
				tb.Fatalf("wrote %d, %v", n, errno)
			}
		}
		expect(tb, these, []byte("\x81\x05hello"))
	}
}

func (m *memoryGate) broadcast(tb testing.TB) {
	if n, err := m.Broadcast(wsconn.Text, []byte("news")); n != len(m.clients) || err != nil {
		tb.Fatalf("broadcast to %d of %d, %v", n, len(m.clients), err)
	}
}

// expire has all sessions end by inactivity, and waits for that.
func (m *memoryGate) expire(tb testing.TB, timeout time.Duration) {
	m.dueAt = time.Now().Add(timeout)
	m.broadcast(tb) // the last activity of all; not before the line above
	for cursor, more := uint32(0), true; more; more = cursor != 0 {
		var sessions []*gateway.Session
		sessions, cursor = m.Sessions(cursor, 10_000)
		for _, s := range sessions {
			if err := s.SetTimeout(timeout); err != nil {
				tb.Fatal(err)
			}
		}
	}
	news := []byte("\x81\x04news")
	buf := make([]byte, memoryBuffer)
	for left := m.clients; len(left) > 0; {
		stay := left[:0]
		for _, c := range left {
			n, _ := c.TryRead(buf)
			if at := bytes.TrimPrefix(buf[:n], news); len(at) < 4 || at[0] != 0x88 {
				stay = append(stay, c)
				continue
			}
			_ = c.Close()
		}
		left = stay
		time.Sleep(10 * time.Millisecond)
	}
	m.clients = nil
	await(tb, "end of all sessions", func() bool { return m.Stats().Sessions == 0 })
}

// footprint returns bytes of heap per session in memory, without the pipe under
// it, which is measured alone and is no part of the server, and that of the pipe.
func (m *memoryGate) footprint(tb testing.TB, n int) (session, pipe float64) {
	before, _ := liveHeap()
	pipes := make([]*wsconn.PipeEnd, 0, n)
	for range n {
		client, _ := wsconn.Pipe(memoryBuffer)
		pipes = append(pipes, client)
	}
	after, _ := liveHeap()
	pipe = float64(after-before) / float64(n)
	runtime.KeepAlive(pipes)
	pipes = nil

	m.connect(tb, 1) // which starts the loops
	m.clients[0].Close()
	m.clients = make([]*wsconn.PipeEnd, 0, n)
	await(tb, "end of the first session", func() bool { return m.Stats().Sessions == 0 })
	before, goroutines := liveHeap()
	before -= 8 * int64(n) // m.clients, as pipes had its own
	m.connect(tb, n)
	m.talk(tb)
	m.broadcast(tb)
	expect(tb, m.clients, []byte("\x81\x04news"))
	after, now := liveHeap()
	if now > goroutines {
		tb.Errorf("%d goroutines more for %d idle sessions", now-goroutines, n)
	}
	if open := m.Stats().Sessions; open != n {
		tb.Errorf("%d of %d sessions are open", open, n)
	}
	return float64(after-before)/float64(n) - pipe, pipe
}

// TestFootprint is the promise of what an idle session takes.
func TestFootprint(t *testing.T) {
	const n, most = 100_000, 500
	m := newMemoryGate(t)
	defer m.stop()
	session, pipe := m.footprint(t, n)
	t.Logf("%.0f B of heap per idle session of %d, beside %.0f B of its pipe", session, n, pipe)
	if session > most {
		t.Errorf("an idle session takes %.0f B; at most %d", session, most)
	}
}

// BenchmarkMemory takes sessions in memory through their lives. The figures are
// per session; the clients, which share the processors, are part of all times.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			for b.Loop() {
				benchmarkLives(b, n)
			}
		})
	}
}

func benchmarkLives(b *testing.B, n int) {
	m := newMemoryGate(b)
	defer m.stop()
	session, pipe := m.footprint(b, n)
	b.ReportMetric(session, "heap-B/session")
	b.ReportMetric(pipe, "pipe-B/session")
	per := func(unit string, do func()) {
		start := time.Now()
		do()
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), unit)
	}
	per("echo-ns/op", func() { m.talk(b) })
	per("broadcast-ns/op", func() { m.broadcast(b) })
	expect(b, m.clients, []byte("\x81\x04news"))
	const timeout = 10 * time.Second
	m.expire(b, timeout)
	b.ReportMetric(float64(m.early.Load()), "early")
	b.ReportMetric(float64(m.last.Load())/1e6, "last-ms-after-due")
	b.ReportMetric(0, "ns/op") // a whole life has no meaning
}
