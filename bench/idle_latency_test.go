//go:build linux && !race

package bench_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// BenchmarkIdleLatency sends messages to sessions that have been idle for long and
// to ones that talk all the time, in turn, and reports how long they take to the
// client: an idle session has given everything back, and must not be slower to
// find for it.
func BenchmarkIdleLatency(b *testing.B) {
	const sessions, idle = 2000, 20 * time.Second
	g, addr := serveGateway(b)
	clients := make([]net.Conn, sessions)
	for i := range clients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		if err := shakeAt(conn, bufio.NewReaderSize(conn, 512), "/echo"); err != nil {
			b.Fatal(err)
		}
		clients[i] = conn
	}
	byAddr := map[string]*gateway.Session{}
	found, _ := g.Sessions(0, sessions)
	for _, s := range found {
		byAddr[s.RemoteAddr()] = s
	}
	buf := make([]byte, 64)
	push := func(conn net.Conn) time.Duration {
		s := byAddr[conn.LocalAddr().String()]
		start := time.Now()
		if err := s.Send(wsconn.Text, []byte("news")); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var cold, busy []time.Duration
	for b.Loop() {
		time.Sleep(idle)
		for _, conn := range clients[1:] { // each once, so each has been idle
			cold = append(cold, push(conn))
			busy = append(busy, push(clients[0]))
		}
	}
	slices.Sort(cold)
	slices.Sort(busy)
	p99 := func(d []time.Duration) float64 { return float64(d[len(d)*99/100].Nanoseconds()) / 1e3 }
	p50 := func(d []time.Duration) float64 { return float64(d[len(d)/2].Nanoseconds()) / 1e3 }
	b.ReportMetric(p99(cold), "idle-p99-us")
	b.ReportMetric(p99(busy), "busy-p99-us")
	b.ReportMetric(p50(cold)/p50(busy), "p50-ratio")
	b.ReportMetric(p99(cold)/p99(busy), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}

// serveGateway serves a gateway over TCP that pings nobody, for a benchmark.
func serveGateway(b *testing.B) (g *gateway.Gateway, addr string) {
	cfg := gateway.DefaultConfig()
	cfg.DrainWindow = 0
	cfg.PingInterval = 0 // nobody answers
	g, err := gateway.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	l, err := cfg.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", g)
	mux.Handle("/echo", g.Echo())
	server := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-ended
		_ = server.Close()
		<-served
	})
	await(b, "readiness", g.Ready)
	return g, l.Addr().String()
}
