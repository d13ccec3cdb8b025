package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectionsAreBounded: whoever says nothing has a place until the handshake
// times out, a session none.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, timeout = 3, 5 * time.Second
		p := newPipes()
		l := limitConnections(p, most)
		var sessions []net.Conn
		server := &http.Server{ConnState: l.changed, ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/ws" {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
				}
				sessions = append(sessions, conn)
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				return
			}
			w.Header().Set("Connection", "close")
		})}
		served := make(chan error)
		go func() { served <- server.Serve(l) }()

		dial := func() net.Conn {
			here, there := net.Pipe()
			p.come <- here
			t.Cleanup(func() { _ = there.Close() })
			return there
		}
		wantAccepted := func(n int64) {
			t.Helper()
			synctest.Wait()
			if got := p.accepted.Load(); got != n {
				t.Fatalf("%d connections are accepted, want %d", got, n)
			}
		}
		ask := func(path string) {
			conn := dial()
			go func() { _, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: gate.test\r\n\r\n") }()
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Error(err)
			}
		}
		for range 10 {
			ask("/ws")
			ask("/")
		}
		wantAccepted(20) // and none of them has a place
		for range 5 {
			dial()
		}
		wantAccepted(20 + most)
		time.Sleep(timeout + time.Second)
		wantAccepted(20 + 5)
		for range 5 {
			dial()
		}
		wantAccepted(20 + 5 + 1)

		_ = server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
		for _, conn := range sessions {
			_ = conn.Close()
		}
	})
}

// TestIdleAdminConnectionsGiveWay to who has something to ask.
func TestIdleAdminConnectionsGiveWay(t *testing.T) {
	p, _ := start(t)
	ask := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", p.admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK { // it may close: whose turn it is when all give way
			t.Fatal(answer.Status)
		}
		return conn
	}
	first := ask()
	for range adminFiles + 5 {
		ask()
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the first connection: %v", err)
	}
}
