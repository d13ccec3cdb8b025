package wsconn

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var faultConfig = Config{
	MaxMessage: 64 << 10, OutboxMessages: 8, OutboxBytes: 64 << 10,
	WriteTimeout: 10 * time.Second, HandshakeTimeout: 10 * time.Second,
}

// broken is a poller some of whose calls fail; zero is none.
type broken struct {
	poller
	watching error // of watch with EPOLL_CTL_ADD
}

func (b broken) watch(op int, fd int32, e unix.EpollEvent) error {
	if b.watching != nil && op == unix.EPOLL_CTL_ADD {
		return b.watching
	}
	return b.poller.watch(op, fd, e)
}

// mute is a Handler that only counts its ends.
type mute struct {
	conn   Conn
	closed atomic.Int32
	end    End
}

func (*mute) Heard()                    {}
func (*mute) Unfinished(bool)           {}
func (*mute) Message(Opcode, []byte)    {}
func (*mute) Ping([]byte)               {}
func (*mute) Pong([]byte)               {}
func (*mute) Violation(Violation)       {}
func (*mute) PeerClosed(uint16, string) {}
func (m *mute) Closed(end End)          { m.end = end; m.closed.Add(1) }

// checkOver is how a connection that failed has to be left.
func (m *mute) checkOver(t *testing.T, want error) {
	t.Helper()
	if n := m.closed.Load(); n != 1 || !errors.Is(m.end.Err, want) {
		t.Errorf("Closed was called %d times, with %v; want %v", n, m.end.Err, want)
	}
	f, err := NewFrame(Text, []byte("late"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.conn.Send(f); !errors.Is(err, ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	m.conn.Close(1000, "")
	m.conn.Abort()
}

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (server *net.TCPConn, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return conn.(*net.TCPConn), client
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestFaultsLeaveNothingBehind fails each step of an upgrade: every session that
// was opened is told its end, and no descriptor stays.
func TestFaultsLeaveNothingBehind(t *testing.T) {
	noRoom := errors.New("no space left for watches")
	for _, c := range []struct {
		name  string
		fault func(l *Loop, server net.Conn)
		open  func(m *mute)
		fails bool  // serve itself
		want  error // End.Err
	}{
		{"epoll_ctl", func(l *Loop, _ net.Conn) { breakWatch(l, noRoom) }, nil, false, noRoom},
		{"epoll_ctl with a frame queued", func(l *Loop, _ net.Conn) { breakWatch(l, noRoom) }, func(m *mute) {
			f, _ := NewFrame(Text, []byte("welcome"))
			_ = m.conn.Send(f)
		}, false, noRoom},
		{"write of the 101", func(_ *Loop, server net.Conn) {
			_ = server.(interface{ CloseWrite() error }).CloseWrite()
		}, nil, true, syscall.EPIPE},
		{"abort in open", nil, func(m *mute) { m.conn.Abort() }, true, nil},
	} {
		for _, kind := range []string{"socket", "memory"} {
			if kind == "memory" && errors.Is(c.want, noRoom) {
				continue // that watches whatever it is given
			}
			t.Run(c.name+" of a "+kind, func(t *testing.T) {
				before := openDescriptors(t)
				l := newLoop(faultConfig).(*Loop)
				server, client := net.Conn(nil), net.Conn(nil)
				if kind == "socket" {
					server, client = tcpPair(t)
				} else {
					server, client = Pipe(64 << 10)
				}
				if c.fault != nil {
					c.fault(l, server)
				}
				m := new(mute)
				open := func(conn Conn) Handler {
					m.conn = conn
					if c.open != nil {
						c.open(m)
					}
					return m
				}
				if err := serveOn(l, server, open); (err != nil) != c.fails {
					t.Errorf("serve: %v", err)
				}
				l.Wait()
				m.checkOver(t, c.want)
				_ = client.Close()
				if after := openDescriptors(t); after > before {
					t.Errorf("%d descriptors, %d before", after, before)
				}
			})
		}
	}
}

func breakWatch(l *Loop, err error) {
	open := l.sockets.open
	l.sockets.open = func() (poller, error) {
		p, openErr := open()
		return broken{p, err}, openErr
	}
}

// hijacked is a ResponseWriter whose connection is known.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func serveOn(l *Loop, server net.Conn, open func(Conn) Handler) error {
	return l.Upgrade(hijacked{conn: server}, testRequest(), open)
}

// TestPanicOfOpenLeavesNothingBehind, on the loop's connections.
func TestPanicOfOpenLeavesNothingBehind(t *testing.T) {
	for _, kind := range []string{"socket", "memory"} {
		t.Run(kind, func(t *testing.T) {
			before := openDescriptors(t)
			l := newLoop(faultConfig).(*Loop)
			server, client := net.Conn(nil), net.Conn(nil)
			if kind == "socket" {
				server, client = tcpPair(t)
			} else {
				server, client = Pipe(64 << 10)
			}
			var conn Conn
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_ = serveOn(l, server, func(c Conn) Handler {
					conn = c
					_ = c.SendMessage(Text, []byte("queued until the 101 is out"))
					panic("open")
				})
			}()
			l.Wait()
			if used := l.cfg.Budgets.Outboxes(); used != (BudgetStats{}) {
				t.Errorf("the budget keeps %+v", used)
			}
			_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client read %d, %v; want the end", n, err)
			}
			f, _ := NewFrame(Text, []byte("late"))
			if err := conn.Send(f); !errors.Is(err, ErrClosed) {
				t.Errorf("Send: %v", err)
			}
			conn.Close(1000, "")
			_ = client.Close()
			if after := openDescriptors(t); after > before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

// TestWithoutEventLoops: when no loop can be made, connections are served all the same.
func TestWithoutEventLoops(t *testing.T) {
	l := newLoop(faultConfig).(*Loop)
	l.sockets.open = func() (poller, error) { return nil, unix.EMFILE }
	server, client := tcpPair(t)
	m := new(mute)
	if err := serveOn(l, server, func(c Conn) Handler { m.conn = c; return m }); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := client.Read(answer); err != nil || string(answer) != "HTTP/1.1 101" {
		t.Errorf("answer %q, %v", answer, err)
	}
	m.conn.Abort()
	l.Wait()
	m.checkOver(t, nil)
}

// TestNotPollableIsClosedOnce: a descriptor that Go's poller does not take is not
// closed again when the garbage is collected, as somebody else's by then.
func TestNotPollableIsClosedOnce(t *testing.T) {
	fd, err := unix.Open(os.Args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0) // a file: epoll refuses it
	if err != nil {
		t.Fatal(err)
	}
	s := &sockets{epoll: fd, eventFD: -1}
	if err := s.openPoll(); err == nil {
		t.Fatal("a file is pollable")
	}
	s.release()
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the second close: %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the descriptor is not closed: %v", err)
	}
}

// TestMemoryServesAllThatAreReady, however many, and however long they stay so.
func TestMemoryServesAllThatAreReady(t *testing.T) {
	p, _ := newMemory()
	m := p.(*memory)
	const n = 3 * loopEvents
	for slot := range int32(n) {
		end, peer := Pipe(8)
		_, _ = peer.TryWrite([]byte("x"))
		if err := m.watch(unix.EPOLL_CTL_ADD, m.adopt(end), unix.EpollEvent{Events: unix.EPOLLIN, Fd: slot}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int32]bool{}
	for range 3 {
		for _, e := range m.wait(0) {
			seen[e.Fd] = true
		}
	}
	if len(seen) != n {
		t.Errorf("after three waits %d of %d connections had their turn", len(seen), n)
	}
}

// TestMemoryListsAnEndOnce, also one whose descriptor had an owner before.
func TestMemoryListsAnEndOnce(t *testing.T) {
	p, _ := newMemory()
	m := p.(*memory)
	for slot := range int32(3) {
		end, peer := Pipe(8)
		_, _ = peer.TryWrite([]byte("x"))
		fd := m.adopt(end)
		if err := m.watch(unix.EPOLL_CTL_ADD, fd, unix.EpollEvent{Events: unix.EPOLLIN, Fd: slot}); err != nil {
			t.Fatal(err)
		}
		if slot < 2 {
			m.close(fd)
		}
	}
	var got []int32
	for _, e := range m.wait(0) {
		got = append(got, e.Fd)
	}
	if !slices.Equal(got, []int32{2}) {
		t.Errorf("ready: %v, want the last owner once", got)
	}
}

// TestMemoryEndsGoWhileTheyAreLookedAt: what a handshake that fails closes may be
// in the list still, from the descriptor's last owner.
func TestMemoryEndsGoWhileTheyAreLookedAt(t *testing.T) {
	p, _ := newMemory()
	m := p.(*memory)
	done := make(chan struct{})
	go func() { // handshakes that fail
		defer close(done)
		for range 20_000 {
			end, _ := Pipe(8)
			m.close(m.adopt(end))
		}
	}()
	for looking := true; looking; {
		select {
		case <-done:
			looking = false
		default:
		}
		end, peer := Pipe(8) // a session that ends while it is ready
		_, _ = peer.TryWrite([]byte("x"))
		fd := m.adopt(end)
		_ = m.watch(unix.EPOLL_CTL_ADD, fd, unix.EpollEvent{Events: unix.EPOLLIN, Fd: 1})
		m.ready()
		m.close(fd)
		m.ready()
	}
}

// TestLoopsAreTriedAgain: a moment without descriptors is not for ever.
func TestLoopsAreTriedAgain(t *testing.T) {
	l := newLoop(Config{MaxMessage: 1}).(*Loop)
	open, opened := l.sockets.open, 0
	l.sockets.open = func() (poller, error) {
		if opened++; opened == 2 { // the first is made, and has to be given back
			return nil, unix.EMFILE
		}
		return open()
	}
	if runtime.GOMAXPROCS(0) < 2 {
		opened = 1
	}
	if got := l.sockets.next(l); got != nil {
		t.Fatal("a loop without a poller")
	}
	if got := l.sockets.next(l); got == nil {
		t.Error("no loop though a poller can be had")
	}
	l.Wait()
}
