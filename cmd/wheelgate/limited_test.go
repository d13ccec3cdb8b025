package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

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
