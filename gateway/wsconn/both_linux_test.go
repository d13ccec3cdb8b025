package wsconn_test

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// onBoth runs test on each transport over TCP.
func onBoth(t *testing.T, test func(*testing.T, func(wsconn.Config) transport)) {
	t.Run("loop", func(t *testing.T) { test(t, newLoop(t)) })
	t.Run("goroutine", func(t *testing.T) {
		test(t, func(cfg wsconn.Config) transport { return wsconn.NewGoroutine(cfg) })
	})
}

// never gives what must not happen a tenth of a second to do so.
func never(t *testing.T, s *session) {
	t.Helper()
	select {
	case e := <-s.events:
		t.Errorf("event %+v", e)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestNothingFollowsAViolation(t *testing.T) {
	onBoth(t, func(t *testing.T, newTransport func(wsconn.Config) transport) {
		c, s := newServer(t, newTransport(testConfig), links[0], nil).connect()
		c.send(clientFrame(fin|opText, "\xff\xff"))
		s.expect("violation")
		c.send(clientFrame(fin|opText, "later"))
		never(t, s)

		c, s = newServer(t, newTransport(testConfig), links[0], echoing).connect()
		c.send([]byte{0xff, 0x80, 0, 0, 0, 0})
		s.expect("violation")
		time.Sleep(50 * time.Millisecond)
		if s.unfinished.Load() {
			t.Error("Unfinished was called after Close")
		}
	})
}

// TestSlowReaderIsNotStuck: epoll and Go's poller call a socket writable only when
// a third of its buffer is free, which a slow reader may take long to free.
func TestSlowReaderIsNotStuck(t *testing.T) {
	onBoth(t, func(t *testing.T, newTransport func(wsconn.Config) transport) {
		cfg := testConfig
		cfg.WriteTimeout = time.Second
		cfg.OutboxBytes, cfg.OutboxMessages = 8<<20, 10_000
		c, s := newServer(t, newTransport(cfg), link{"tcp", true, listenWide}, nil).connect()
		fill(t, s, repeat(32<<10))
		buf := make([]byte, 16<<10)
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if _, err := io.ReadFull(c.in, buf); err != nil {
				t.Fatalf("a slow reader was dropped: %v", err)
			}
		}
	})
}

// listenWide leaves the size of the send buffer to the kernel.
func listenWide(t testing.TB) (net.Listener, func() net.Conn) {
	l, err := listenOwn(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(kernelBuffer)
		return conn
	}
}

// TestHeldUpLoopDropsNobody: while a Handler blocks the loop, its peers read on.
func TestHeldUpLoopDropsNobody(t *testing.T) {
	cfg := testConfig
	cfg.WriteTimeout = 200 * time.Millisecond
	block := make(chan struct{})
	srv := newServer(t, newLoop(t)(cfg), links[0], func(s *session) {
		s.react = func(e event) {
			if e.kind == "message" {
				<-block
			}
		}
	})
	c, s := srv.connect()
	var others []*client
	for range 2 * runtime.GOMAXPROCS(0) { // some of them on the same loop
		o, _ := srv.connect()
		others = append(others, o)
	}
	fill(t, s, repeat(16<<10))
	for _, o := range others {
		o.send(clientFrame(fin|opText, "block"))
	}
	go func() { _, _ = io.Copy(io.Discard, c.in) }()
	time.Sleep(3 * cfg.WriteTimeout)
	close(block)
	never(t, s)
	_ = c.Close()
}

// TestGoexitEndsOneSession: as with a panic, the others on the loop go on.
func TestGoexitEndsOneSession(t *testing.T) {
	onBoth(t, func(t *testing.T, newTransport func(wsconn.Config) transport) {
		srv := newServer(t, newTransport(testConfig), links[0], func(s *session) {
			s.react = func(e event) {
				switch {
				case e.payload == "exit":
					runtime.Goexit()
				case e.kind == "violation":
					s.conn.Abort()
				default:
					s.echo(e)
				}
			}
		})
		var others []*client
		for range 2 * runtime.GOMAXPROCS(0) {
			o, _ := srv.connect()
			others = append(others, o)
		}
		c, s := srv.connect()
		c.send(clientFrame(fin|opText, "exit"))
		eventually(t, "the session to end", s.closed.Load)
		for _, o := range others {
			o.send(clientFrame(fin|opText, "here"))
			o.expect(fin|opText, "here")
		}
	})
}

// TestRefusedPartialsGiveTheirBudgetBack, even if the peer stays.
func TestRefusedPartialsGiveTheirBudgetBack(t *testing.T) {
	onBoth(t, func(t *testing.T, newTransport func(wsconn.Config) transport) {
		cfg := testConfig
		cfg.Budgets = wsconn.NewBudgets(30_000, 0)
		srv := newServer(t, newTransport(cfg), links[0], echoing)
		frame := clientFrame(fin|opText, repeat(3000))
		first, f := srv.connect()
		first.send(frame[:2600])
		eventually(t, "the unfinished message to be told", f.unfinished.Load)
		greedy, g := srv.connect()
		greedy.send(clientFrame(fin|opText, repeat(60_000))[:40_000])
		g.expect("violation")
		first.send(frame[2600:])
		first.expect(fin|opText, repeat(3000))
		eventually(t, "the budget to be free", func() bool { return cfg.Budgets.Partials().Used == 0 })
	})
}

// TestTinyFragmentsAreBounded: their headers count, or a message of no length lasts
// for ever.
func TestTinyFragmentsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, newTransport func(wsconn.Config) transport) {
		cfg := testConfig
		cfg.MaxMessage = 1000
		c, s := newServer(t, newTransport(cfg), links[0], nil).connect()
		most := 2*cfg.MaxMessage + 4<<10
		empty := clientFrame(opContinuation, "")
		c.send(clientFrame(opText, ""), slices.Repeat(empty, most/len(empty)-1), clientFrame(fin|opContinuation, "end"))
		if e := s.expect("message"); e.payload != "end" {
			t.Errorf("message %q", e.payload)
		}
		c.send(clientFrame(opText, ""))
		for range 3 { // with pauses, so that a transport sees that it goes on
			eventually(t, "the message to be told", s.unfinished.Load)
			_, _ = c.Write(slices.Repeat(empty, most/len(empty)/2))
		}
		if e := s.expect("violation"); e.v != wsconn.TooBig {
			t.Errorf("violation %v; want TooBig", e.v)
		}
	})
}

// TestInflatingLeavesTurnsToOthers: what is a kilobyte on the wire may be a
// megabyte to inflate, while which nobody else on the loop has a turn.
func TestInflatingLeavesTurnsToOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one loop
	const messages = 500
	begun, goOn := make(chan struct{}), make(chan struct{})
	var inflated atomic.Int64
	turn := make(chan int64, 1) // the other's: what is inflated by then
	srv := newServer(t, newLoop(t)(compressing()), links[0], func(s *session) {
		s.react = func(e event) {
			switch {
			case e.kind != "message":
			case e.payload == "me too":
				turn <- inflated.Load()
			case inflated.Add(1) == 1:
				close(begun)
				<-goOn
			}
		}
	})
	greedy, _ := srv.connectWith(deflatingRequest)
	other, o := srv.connect()
	greedy.send(slices.Repeat(clientFrame(fin|rsv1|opBinary, deflate(repeat(testConfig.MaxMessage))), messages))
	<-begun
	other.send(clientFrame(fin|opText, "me too"))
	close(goOn)
	o.expect("message")
	if before := <-turn; before > messages/5 {
		t.Errorf("another session waited for %d messages", before)
	}
}
