package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func newLoop(t testing.TB) func(wsconn.Config) transport {
	return func(cfg wsconn.Config) transport {
		tr, err := wsconn.New(wsconn.KindLoop, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
}

func TestLoop(t *testing.T) {
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) { testContract(t, l, newLoop(t)) })
	}
}

// TestLoopWithoutIOUring is what it is on systems that have none or forbid it.
func TestLoopWithoutIOUring(t *testing.T) {
	testContract(t, links[0], func(cfg wsconn.Config) transport {
		cfg.IOUring = false
		return newLoop(t)(cfg)
	})
}

// TestLoopOverMultipathTCP is what a listener of package net gives clients that ask for
// it, since Go 1.24: phones that move from one network to another (RFC 8684).
func TestLoopOverMultipathTCP(t *testing.T) {
	testContract(t, link{"multipath", true, func(t testing.TB) (net.Listener, func() net.Conn) {
		l, _ := listenWith(t, new(net.ListenConfig).Listen)
		return l, func() net.Conn { return dialMultipath(t, l.Addr().String()) }
	}}, newLoop(t))
}

func dialMultipath(t testing.TB, address string) net.Conn {
	var dialer net.Dialer
	dialer.SetMultipathTCP(true)
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	if multipath, err := tcp.MultipathTCP(); err != nil || !multipath {
		_ = conn.Close()
		t.Skipf("no Multipath TCP on this system (net.mptcp.enabled): %v", err)
	}
	_ = tcp.SetReadBuffer(kernelBuffer)
	return conn
}

// TestIdleLoopSessionsHaveNoGoroutine also finds descriptors that stay behind.
func TestIdleLoopSessionsHaveNoGoroutine(t *testing.T) {
	const n = 200
	descriptors := countDescriptors(t)
	srv := newServer(t, newLoop(t)(testConfig), links[0], echoing)
	first, _ := srv.connect() // which starts the loops
	before := runtime.NumGoroutine()
	clients := []*client{first}
	for range n {
		c, _ := srv.connect(clientFrame(fin|opText, "hello"))
		c.expect(fin|opText, "hello")
		clients = append(clients, c)
	}
	eventually(t, "net/http to let go of the connections", func() bool { return runtime.NumGoroutine() <= before+5 })
	for _, c := range clients {
		_ = c.Close()
	}
	srv.stop()
	eventually(t, "all descriptors to be closed", func() bool { return countDescriptors(t) <= descriptors })
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestReadAhead: who has sent something at the same time as others gets his own, whole,
// whatever its length and what follows it.
func TestReadAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one loop
	for _, ring := range []bool{true, false} {
		t.Run(fmt.Sprint("io_uring ", ring), func(t *testing.T) { testReadAhead(t, ring) })
	}
}

func testReadAhead(t *testing.T, ring bool) {
	cfg := testConfig
	cfg.IOUring = ring
	held, goOn := make(chan struct{}), make(chan struct{})
	srv := newServer(t, newLoop(t)(cfg), links[0], func(s *session) {
		s.react = func(e event) {
			if e.payload == "hold" {
				close(held)
				<-goOn
				return
			}
			s.echo(e)
		}
	})
	holder, _ := srv.connect()
	const header = 8
	lengths := []int{0, 100, 1024 - header - 1, 1024 - header, 1024 - header + 1, 5000, 40_000}
	var clients []*client
	var sessions []*session
	payload := func(i int) string {
		n := lengths[i%len(lengths)]
		return strings.Repeat(string(rune('a'+i%26)), n)
	}
	const most = 100
	for range most {
		c, s := srv.connect()
		clients, sessions = append(clients, c), append(sessions, s)
	}
	holder.send(clientFrame(fin|opText, "hold"))
	<-held
	for i, c := range clients {
		c.send(clientFrame(fin|opText, payload(i)))
		switch i % 4 {
		case 1:
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		case 2:
			sessions[i].conn.Close(4101, "unheard")
		case 3:
			sessions[i].conn.Abort()
		}
	}
	close(goOn)
	for i, c := range clients {
		switch i % 4 {
		case 0:
			c.expect(fin|opText, payload(i))
		case 1:
			if e := sessions[i].expect("message"); e.payload != payload(i) {
				t.Errorf("%d got %.20q", i, e.payload)
			}
			if e := sessions[i].expect("closed"); !errors.Is(e.end.Err, io.EOF) {
				t.Errorf("%d ended with %v", i, e.end.Err)
			}
		case 2:
			c.expect(fin|opClose, closePayload(4101, "unheard"))
		case 3:
			sessions[i].expect("closed") // and no message before
		}
	}
}

// TestEndsLeaveTurnsToOthers: while each end of a connection brings another's about,
// who has something to say is heard.
func TestEndsLeaveTurnsToOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one loop
	const ends = 300
	var sessions []*session
	var talker *client
	ended := 0 // the loop's
	heard := make(chan int, 1)
	srv := newServer(t, newLoop(t)(testConfig), links[0], func(s *session) {
		s.react = func(e event) {
			switch {
			case e.kind == "message":
				heard <- ended
			case e.kind == "closed" && ended < ends-1:
				if ended++; ended == 10 {
					talker.send(clientFrame(fin|opText, "hello"))
				}
				sessions[ended].conn.Abort()
			}
		}
	})
	for range ends {
		_, s := srv.connect()
		sessions = append(sessions, s)
	}
	var s *session
	talker, s = srv.connect()
	sessions[0].conn.Abort()
	sessions[ends-1].expect("closed")
	s.expect("message")
	if after := <-heard; after == ends-1 {
		t.Errorf("heard after all of %d ends only", after)
	}
}

// TestReusedDescriptors ends connections while others come, so that descriptors
// and slots are reused within one batch of events: nobody may get what was
// another's. Each client says its own name and must hear that only.
func TestReusedDescriptors(t *testing.T) {
	srv := newServer(t, newLoop(t)(testConfig), links[0], echoing)
	var clients sync.WaitGroup
	for worker := range 8 {
		clients.Go(func() {
			for round := range 60 {
				name := fmt.Sprintf("client %d, round %d", worker, round)
				conn := srv.dial()
				_, _ = io.WriteString(conn, rawHandshake)
				answer := make([]byte, 4096)
				n := readUntil(t, conn, answer, "\r\n\r\n")
				if n != 0 {
					t.Errorf("%s: got %d bytes before saying anything", name, n)
				}
				_, _ = conn.Write(clientFrame(fin|opText, name))
				want := append([]byte{fin | opText, byte(len(name))}, name...)
				if _, err := io.ReadFull(conn, answer[:len(want)]); err != nil || string(answer[:len(want)]) != string(want) {
					t.Errorf("%s: heard %q, %v", name, answer[:len(want)], err)
				}
				if rand.IntN(2) == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0) // a reset
				}
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
}

// readUntil reads up to and including mark and returns how many bytes came after it.
func readUntil(t *testing.T, conn net.Conn, buf []byte, mark string) (beyond int) {
	t.Helper()
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		n += m
		for i := 0; i+len(mark) <= n; i++ {
			if string(buf[i:i+len(mark)]) == mark {
				return n - i - len(mark)
			}
		}
		if err != nil {
			t.Errorf("before %q: %v", mark, err)
			return 0
		}
	}
}

// TestLoopChurn is what a bad day looks like: talkers, resets, half messages,
// garbage, slow readers, all at once. In the end nothing is left.
func TestLoopChurn(t *testing.T) {
	cfg := testConfig
	cfg.WriteTimeout = 200 * time.Millisecond
	srv := newServer(t, newLoop(t)(cfg), links[0], echoing)
	behaviours := []func(net.Conn){
		func(c net.Conn) { _, _ = c.Write(clientFrame(fin|opText, "talk")) },
		func(c net.Conn) { _, _ = c.Write(clientFrame(opText, "half")); _ = c.(*net.TCPConn).CloseWrite() },
		func(c net.Conn) { _, _ = c.Write([]byte("garbage")) },
		func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		func(c net.Conn) { _, _ = c.Write(clientFrame(fin|opClose, closePayload(1000, ""))) },
		func(c net.Conn) { // asks for much and reads nothing
			_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			for range 20 {
				_, _ = c.Write(clientFrame(fin|opBinary, repeat(60000)))
			}
		},
	}
	var clients sync.WaitGroup
	for worker := range 6 {
		clients.Go(func() {
			for round := range 20 {
				conn := srv.dial()
				_, _ = io.WriteString(conn, rawHandshake)
				readUntil(t, conn, make([]byte, 4096), "\r\n\r\n")
				behaviours[(worker+round)%len(behaviours)](conn)
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all sessions to end", func() bool {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		for _, s := range srv.sessions {
			if !s.closed.Load() {
				s.conn.Close(1001, "")
				return false
			}
		}
		return true
	})
}

// TestLoopSendAllocatesNothing when the socket takes the frame.
func TestLoopSendAllocatesNothing(t *testing.T) {
	payload := []byte("hello")
	_, s := newServer(t, newLoop(t)(testConfig), links[0], nil).connect()
	f, err := wsconn.NewFrame(wsconn.Text, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection to have joined its loop", func() bool { return s.conn.Send(f) == nil })
	time.Sleep(10 * time.Millisecond)
	if n := testing.AllocsPerRun(100, func() {
		if err := s.conn.Send(f); err != nil && !errors.Is(err, wsconn.ErrFull) {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := s.conn.SendMessage(wsconn.Text, payload); err != nil {
			t.Error(err)
		}
	}); n >= 1 { // a pool may be emptied in between; the race detector empties it at random
		t.Errorf("%v allocations for a message", n)
	}
}

// TestSendAllAllocatesNothing when the sockets take the frame, but for a pool's growth.
func TestSendAllAllocatesNothing(t *testing.T) {
	tr := newLoop(t)(testConfig)
	srv := newServer(t, tr, links[0], nil)
	conns, errs := make([]wsconn.Conn, 100), make([]error, 100)
	for i := range conns {
		_, s := srv.connect()
		conns[i] = s.conn
	}
	f, err := wsconn.NewFrame(wsconn.Text, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { tr.SendAll(f, conns, errs) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
