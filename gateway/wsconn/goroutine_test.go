package wsconn_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// Tests of what only this transport does, or only a fake clock shows.

func TestSendAllocatesNothing(t *testing.T) {
	srv := newServer(t, wsconn.NewGoroutine(testConfig), links[0], nil)
	c, s := srv.connect()
	frame, err := wsconn.NewFrame(wsconn.Text, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, frame.Len())
	allocs := testing.AllocsPerRun(1000, func() {
		if err := s.conn.Send(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.in, buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per Send, want 0", allocs)
	}
}

// TestAnnouncedMessagesCount: gws makes room for a frame when its header comes, here
// twice its length.
func TestAnnouncedMessagesCount(t *testing.T) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(5*int64(cfg.MaxMessage), 0)
	srv := newServer(t, wsconn.NewGoroutine(cfg), links[0], nil)
	frame := clientFrame(fin|opBinary, repeat(cfg.MaxMessage))
	var sessions []*session
	for range 3 {
		c, s := srv.connect()
		c.send(frame[:20])
		eventually(t, "the unfinished message to be told", s.unfinished.Load)
		sessions = append(sessions, s)
	}
	if e := sessions[0].expect("violation"); e.v != wsconn.OverBudget {
		t.Errorf("violation %v; want OverBudget", e.v)
	}
	if used := cfg.Budgets.Partials(); used.Connections != 2 || used.Used != 4*int64(cfg.MaxMessage) {
		t.Errorf("%+v; want two connections, and twice their lengths", used)
	}
}

// The deadline of a flusher must not outlive it, or a later Send meets it.
func TestSendLongAfterFlush(t *testing.T) {
	cfg := testConfig
	cfg.WriteTimeout = 200 * time.Millisecond
	srv := newServer(t, wsconn.NewGoroutine(cfg), links[0], nil)
	c, s := srv.connect()
	for range 20 {
		if err := s.send(wsconn.Binary, chunk); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		c.expect(fin|opBinary, chunk)
	}
	tick := time.NewTicker(cfg.WriteTimeout / 2)
	defer tick.Stop()
	for range 4 {
		<-tick.C
		s.sendWhenRoom("later")
		c.expect(fin|opText, "later")
	}
}

// One goroutine per idle connection: neither net/http's nor a writer stays.
func TestGoroutinesPerConnection(t *testing.T) {
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) {
			const connections = 50
			srv := newServer(t, wsconn.NewGoroutine(testConfig), l, echoing)
			for range connections {
				c, _ := srv.connect()
				c.send(clientFrame(fin|opText, "a")) // so that there has been a flusher
				c.expect(fin|opText, "a")
			}
			deadline := time.Now().Add(patience)
			for {
				readers, flushers, servers := running("goroutineConn).read("), running("goroutineConn).flush("), running("net/http.(*conn).serve(")
				if readers == connections && flushers+servers == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d readers, %d flushers and %d of net/http for %d connections", readers, flushers, servers, connections)
				}
			}
		})
	}
}

// running counts the goroutines with the function on their stack.
func running(function string) int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), function)
}

// A peer that takes something within each timeout is slow, not stuck.
func TestWriteTimeoutIsAboutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig
		cfg.WriteTimeout = time.Minute
		srv := newServer(t, wsconn.NewGoroutine(cfg), links[2], nil)
		c, s := srv.connect()
		_ = c.SetDeadline(time.Time{})
		start := time.Now()
		for range 3 {
			if err := s.send(wsconn.Binary, repeat(1000)); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 { // 100 bytes per 50 s: the first chunk takes far longer than a minute
			time.Sleep(50 * time.Second)
			if _, err := io.CopyN(io.Discard, c.Conn, 100); err != nil {
				t.Fatal(err)
			}
		}
		stopped := time.Now()
		e := s.expectWithin("closed", time.Hour)
		if stuck := time.Since(stopped); !errors.Is(e.end.Err, wsconn.ErrWriteTimeout) || stuck > 2*time.Minute {
			t.Errorf("end is %+v, %v after the last progress", e.end, stuck)
		}
		if e.end.Unsent != 3 || stopped.Sub(start) != 500*time.Second {
			t.Errorf("end is %+v, want 3 unsent", e.end)
		}
		srv.stop()
	})
}

func TestIdleWritesNeverTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig
		cfg.WriteTimeout = time.Second
		srv := newServer(t, wsconn.NewGoroutine(cfg), links[2], echoing)
		c, _ := srv.connect()
		_ = c.SetDeadline(time.Time{})
		for range 3 {
			c.send(clientFrame(fin|opText, "a"))
			c.expect(fin|opText, "a")
			time.Sleep(24 * time.Hour)
		}
		srv.stop()
	})
}

// A client that does not read the 101 costs the handshake timeout, no more.
func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig
		cfg.HandshakeTimeout = 3 * time.Second
		srv := newServer(t, wsconn.NewGoroutine(cfg), links[2], nil)
		conn := srv.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s := <-srv.opened
		if err := <-srv.upgraded; err == nil || time.Since(start) != cfg.HandshakeTimeout {
			t.Errorf("Upgrade: %v after %v, want an error after %v", err, time.Since(start), cfg.HandshakeTimeout)
		}
		if e := s.expect("closed"); e.end.Err == nil {
			t.Error("Closed got no error")
		}
		_ = conn.Close()
		srv.stop()
	})
}

// TestWaitIncludesUpgrades: one whose 101 could not be written calls Closed itself.
func TestWaitIncludesUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, goOn, waited := wsconn.NewGoroutine(testConfig), make(chan struct{}), make(chan struct{})
		srv := newServer(t, tr, links[2], func(s *session) {
			s.react = func(event) { <-goOn }
		})
		conn := srv.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		s := <-srv.opened
		s.conn.Abort()
		go func() { defer close(waited); tr.Wait() }()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("Wait returned amid Closed")
		default:
		}
		close(goOn)
		<-waited
		_ = conn.Close()
		srv.stop()
	})
}

func TestUpgradeWithoutHijack(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	err := wsconn.NewGoroutine(testConfig).Upgrade(w, r, func(wsconn.Conn) wsconn.Handler {
		t.Error("open was called")
		return nil
	})
	if !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("Upgrade: %v, want http.ErrNotSupported", err)
	}
}

// hijackable is a ResponseWriter for one end of a pipe.
type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func TestOpenPanics(t *testing.T) {
	client, server := net.Pipe()
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(0, 0)
	tr := wsconn.NewGoroutine(cfg)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic of open did not go on")
			}
		}()
		_ = tr.Upgrade(hijackable{conn: server}, r, func(c wsconn.Conn) wsconn.Handler {
			_ = c.SendMessage(wsconn.Text, []byte("queued until the 101 is out"))
			panic("boom")
		})
	}()
	if used := cfg.Budgets.Outboxes(); used != (wsconn.BudgetStats{}) {
		t.Errorf("the budget keeps %+v", used)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
	tr.Wait()
}

// The 101 has no header that nobody asked for, and compression is not offered.
func TestAnswer(t *testing.T) {
	srv := newServer(t, wsconn.NewGoroutine(testConfig), links[0], nil)
	conn := srv.dial()
	defer conn.Close()
	asking := strings.Replace(request, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1)
	if _, err := io.WriteString(conn, asking); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-srv.upgraded; err != nil {
		t.Errorf("Upgrade: %v", err)
	}
	if len(response.Header) != 3 || response.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("headers are %v", response.Header)
	}
}
