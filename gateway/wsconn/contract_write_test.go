package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// chunk is the payload with which tests fill sockets and outboxes.
var chunk = repeat(50_000)

func contractOutboxFull(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	slow, slowSession := srv.connect()
	other, otherSession := srv.connect()
	accepted := fill(t, slowSession, chunk)

	for range 100 { // nobody waits for the slow one
		if err := slowSession.send(wsconn.Binary, chunk); err == nil {
			accepted++ // the kernel took more in between
		} else if !errors.Is(err, wsconn.ErrFull) {
			t.Fatalf("Send to a full outbox: %v", err)
		}
		if err := otherSession.send(wsconn.Text, "quick"); err != nil {
			t.Fatal(err)
		}
		other.expect(fin|opText, "quick")
	}
	for range accepted {
		slow.expect(fin|opBinary, chunk)
	}
	slowSession.sendWhenRoom("room again")
	slow.expect(fin|opText, "room again")

	slow, slowSession = srv.connect()
	if err := slowSession.send(wsconn.Binary, repeat(3<<20)); err != nil { // beyond OutboxBytes
		t.Errorf("an empty outbox refuses a big frame: %v", err)
	}
	slow.expect(fin|opBinary, repeat(3<<20))
}

// contractSendMessage: what the socket did not take stays what it was, whatever is sent
// afterwards, to whomever, from the same bytes.
func contractSendMessage(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	slow, slowSession := srv.connect()
	other, otherSession := srv.connect()
	message := func(n int) string { return fmt.Sprintf("%06d", n) + repeat(500) }
	var reused []byte
	accepted := 0
	for err := error(nil); err == nil; {
		reused = append(reused[:0], message(accepted)...)
		if err = slowSession.conn.SendMessage(wsconn.Binary, reused); err == nil {
			accepted++
		} else if !errors.Is(err, wsconn.ErrFull) {
			t.Fatalf("SendMessage to a slow reader: %v", err)
		}
		if err := otherSession.conn.SendMessage(wsconn.Text, []byte("quick")); err != nil {
			t.Fatal(err)
		}
		other.expect(fin|opText, "quick")
	}
	for n := range accepted {
		slow.expect(fin|opBinary, message(n))
	}
	for _, n := range []int{0, 125, 126, 4096, 4097, 1 << 16} {
		if err := otherSession.conn.SendMessage(wsconn.Binary, []byte(repeat(n))); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		other.expect(fin|opBinary, repeat(n))
	}
	if err := otherSession.conn.SendMessage(wsconn.Text, []byte("\xff")); !errors.Is(err, wsconn.ErrInvalidUTF8) {
		t.Errorf("a text that is none: %v", err)
	}
	otherSession.conn.Close(1000, "")
	if err := otherSession.conn.SendMessage(wsconn.Text, nil); !errors.Is(err, wsconn.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func contractCloseBehindBacklog(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, s := newServer(t, newTransport(testConfig), l, nil).connect()
	accepted := fill(t, s, chunk)
	s.conn.Close(4101, "drain")
	frames, first, payload, err := c.drain(chunk)
	if frames != accepted || first != fin|opClose || payload != closePayload(4101, "drain") {
		t.Fatalf("%d frames and %#x %.40q %v; want %d frames and the close frame", frames, first, payload, err, accepted)
	}
	c.expectEOF()
	_ = c.Close()
	if e := s.expect("closed"); e.end.Unsent != 0 || !errors.Is(e.end.Err, io.EOF) {
		t.Errorf("end is %+v, want EOF and 0 unsent", e.end)
	}
}

func contractCloseNow(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, s := newServer(t, newTransport(testConfig), l, nil).connect()
	accepted := fill(t, s, chunk)
	s.conn.CloseNow(4102, "slow_consumer")
	frames, first, payload, err := c.drain(chunk)
	if first != fin|opClose || payload != closePayload(4102, "slow_consumer") {
		t.Fatalf("after %d frames came %#x %.40q %v; want the close frame", frames, first, payload, err)
	}
	c.expectEOF()
	_ = c.Close()
	if e := s.expect("closed"); e.end.Unsent == 0 || frames+e.end.Unsent != accepted {
		t.Errorf("%d accepted, %d received, %d unsent", accepted, frames, e.end.Unsent)
	}
}

func contractWriteTimeout(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.WriteTimeout = 50 * time.Millisecond
	c, s := newServer(t, newTransport(cfg), l, nil).connect()
	accepted := fill(t, s, chunk)
	e := s.expect("closed")
	if !errors.Is(e.end.Err, wsconn.ErrWriteTimeout) || e.end.Unsent == 0 || e.end.Unsent > accepted {
		t.Errorf("end is %+v of %d, want ErrWriteTimeout and some unsent", e.end, accepted)
	}
	if err := s.send(wsconn.Text, "late"); !errors.Is(err, wsconn.ErrClosed) {
		t.Errorf("Send after the timeout: %v", err)
	}
	_ = c.Close()
}

func contractAbort(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	c, s := srv.connect()
	s.conn.Abort()
	c.expectGone()
	if e := s.expect("closed"); e.end.Err != nil || e.end.Unsent != 0 {
		t.Errorf("end is %+v, want nothing", e.end)
	}

	c, s = srv.connect()
	fill(t, s, chunk)
	s.conn.Close(4101, "never sent")
	s.conn.Abort() // a flusher is waiting for the peer
	if e := s.expect("closed"); e.end.Err != nil || e.end.Unsent == 0 {
		t.Errorf("end is %+v, want no error and some unsent", e.end)
	}
	// Or the kernel would keep what is unsent for a peer that does not read.
	if _, err := io.Copy(io.Discard, c.in); tcpOf(c.Conn) != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer sees %v, want a reset", err)
	}
}

func contractPeerGone(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	c, s := srv.connect()
	_ = c.Close()
	if e := s.expect("closed"); !errors.Is(e.end.Err, io.EOF) {
		t.Errorf("end is %+v, want EOF", e.end)
	}

	for _, backlog := range []bool{false, true} {
		c, s = srv.connect()
		if backlog {
			fill(t, s, chunk)
		}
		reset(c.Conn)
		if e := s.expect("closed"); e.end.Err == nil || backlog != (e.end.Unsent > 0) {
			t.Errorf("end after a reset is %+v", e.end)
		}
	}
}

// tcpOf is the TCP connection under conn, nil if there is none.
func tcpOf(conn net.Conn) *net.TCPConn {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// reset closes conn so that the other side gets an error, if that is possible.
func reset(conn net.Conn) {
	if tcp := tcpOf(conn); tcp != nil {
		_ = tcp.SetLinger(0)
		conn = tcp
	}
	_ = conn.Close()
}

func contractPanic(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	panics := make(chan any, 10)
	cfg := testConfig
	cfg.OnPanic = func(value any, stack []byte) { panics <- value }
	worse := false
	srv := newServer(t, newTransport(cfg), l, func(s *session) {
		worse := worse
		s.react = func(e event) {
			if e.kind == "message" || e.kind == "ping" || worse {
				panic(e.kind)
			}
		}
	})
	for op, kind := range map[byte]string{opText: "message", opPing: "ping"} {
		c, s := srv.connect(clientFrame(fin|op, "boom"), clientFrame(fin|opText, "not delivered"))
		s.expect(kind)
		if e := s.expect("violation"); e.v != wsconn.Internal || (<-panics) != kind {
			t.Errorf("violation %d, want Internal", e.v)
		}
		s.conn.Close(1011, "internal")
		c.expect(fin|opClose, closePayload(1011, "internal"))
		c.expectEOF()
		_ = c.Close()
		s.expect("closed")
	}

	worse = true // a Handler that always panics is aborted
	c, s := srv.connect(clientFrame(fin|opText, "boom"))
	c.expectGone()
	s.expect("message")
	s.expect("violation")
	s.expect("closed")
}

func contractStress(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.OutboxMessages = 8
	srv := newServer(t, newTransport(cfg), l, nil)
	frame, err := wsconn.NewFrame(wsconn.Binary, []byte(repeat(5000)))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		c, s := srv.connect()
		var peer, owner sync.WaitGroup
		peer.Go(func() { // a peer that reads for a while, then hangs up
			_, _ = io.CopyN(io.Discard, c.in, int64(round)*40_000)
			_ = c.Close()
		})
		peer.Go(func() {
			for range 50 {
				if _, err := c.Write(clientFrame(fin|opText, "input")); err != nil {
					return
				}
			}
		})
		for i := range 8 {
			owner.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(round), uint64(i)))
				for range 200 {
					switch n := rng.IntN(1000); {
					case n < 5 && round%4 == 1:
						s.conn.Close(4101, "drain")
					case n < 5 && round%4 == 2:
						s.conn.CloseNow(4102, "slow_consumer")
					case n < 5 && round%4 == 3:
						s.conn.Abort()
					default:
						if err := s.conn.Send(frame); err != nil && !errors.Is(err, wsconn.ErrFull) && !errors.Is(err, wsconn.ErrClosed) {
							t.Errorf("Send: %v", err)
						}
					}
				}
			})
		}
		owner.Wait()
		s.conn.Abort()
		peer.Wait()
	}
	srv.stop()
	for _, s := range srv.sessions {
		if !s.closed.Load() {
			t.Error("a session never ended")
		}
	}
}
