package wsconn

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lxzan/gws"
	"golang.org/x/sys/unix"
)

// Loop is the transport without a goroutine or buffer per connection. Each of its
// loops owns an epoll set and one gws.Conn for good: that conn reads from the loop
// itself, which hands it the whole messages of one ready connection after
// another. Ends of Pipe have loops of their own. TLS and whatever else is neither
// goes to a Goroutine transport.
//
// Goroutines: one per loop, from the first Upgrade that needs it until Wait.
type Loop struct {
	cfg      Config
	others   *Goroutine
	upgrader *gws.Upgrader
	frames   sync.Pool // of SendMessage, each written wholly

	duplicating     sync.Mutex
	sockets, memory loops
	senders         sync.Pool // of SendAll, without a ring
	rings           rings
	conns           sync.WaitGroup // from open until Closed has returned
	turning         sync.WaitGroup // loops

	open      atomic.Int64  // connections
	toMany    atomic.Uint64 // bytes that SendAll has sent
	fallbacks [fallbackCount]atomic.Uint64
}

// loops are those over one kind of poller.
type loops struct {
	open func() (poller, error)

	mu    sync.Mutex
	all   []*loop // nil until the first connection comes, and as long as none can be made
	turn  int
	ended bool // Wait was called
}

func newLoop(cfg Config) Transport {
	others := NewGoroutine(cfg)
	cfg = others.cfg
	most := 0
	if cfg.IOUring {
		most = runtime.GOMAXPROCS(0)
	}
	return &Loop{
		cfg: cfg, others: others, upgrader: others.upgrader,
		frames:  sync.Pool{New: func() any { return new(Frame) }},
		senders: sync.Pool{New: func() any { return new(sender) }}, rings: rings{left: most},
		sockets: loops{open: newSockets}, memory: loops{open: newMemory},
	}
}

// Upgrade is as for Goroutine. Handlers of connections of one loop are called by
// turns on its goroutine: one that blocks holds up the others.
func (t *Loop) Upgrade(w http.ResponseWriter, r *http.Request, open func(Conn) Handler) error {
	conn, early, err := takeOver(w)
	if err != nil {
		return err
	}
	switch conn := conn.(type) {
	case *net.TCPConn, *prepared:
		return t.serveSocket(conn, early, r, open)
	case *PipeEnd:
		l := t.memory.next(t)
		if l == nil {
			return t.fallBack(FallbackNoLoop).serve(conn, early, r, open)
		}
		return t.serve(newLoopConn(l, l.poller.(*memory).adopt(conn), netip.AddrPort{}), conn, early, r, open)
	}
	return t.fallBack(unfit(conn)).serve(conn, early, r, open)
}

// serveSocket is for a conn of TCP.
func (t *Loop) serveSocket(conn net.Conn, early []byte, r *http.Request, open func(Conn) Handler) error {
	l := t.sockets.next(t)
	if l == nil {
		return t.fallBack(FallbackNoLoop).serve(conn, early, r, open)
	}
	tcp, _ := tcpUnder(conn)
	fd, err := t.duplicate(tcp)
	if err != nil { // out of descriptors: one is enough there
		return t.fallBack(FallbackDescriptors).serve(conn, early, r, open)
	}
	// Go's poller lets go of the socket when its own descriptor is closed.
	defer func() { _ = tcp.Close() }()
	setSocketOptions(conn, &t.cfg)
	return t.serve(newLoopConn(l, int32(fd), remoteOf(tcp)), tcp, early, r, open)
}

// serve takes c over, whose handshake conn still carries.
func (t *Loop) serve(c *loopConn, conn net.Conn, early []byte, r *http.Request, open func(Conn) Handler) error {
	t.conns.Add(1)
	t.open.Add(1)
	extension := c.guard.negotiated(&t.cfg, r)
	c.openWith(open)
	if err := c.answer(conn, r.Header, extension); err != nil {
		c.release(err)
		return answerError(err)
	}
	c.join(early)
	return nil
}

// next returns the loops in turn; nil if they cannot be made, for lack of descriptors
// perhaps: the next connection tries again.
func (ls *loops) next(t *Loop) *loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.all == nil && !ls.ended {
		ls.all = ls.begin(t)
	}
	if len(ls.all) == 0 {
		return nil
	}
	ls.turn = (ls.turn + 1) % len(ls.all)
	return ls.all[ls.turn]
}

// begin makes as many loops as there are processors, or none.
func (ls *loops) begin(t *Loop) (all []*loop) {
	for range runtime.GOMAXPROCS(0) {
		l, err := newEventLoop(t, ls.open)
		if err != nil {
			for _, l := range all {
				l.release()
			}
			return nil
		}
		all = append(all, l)
	}
	for _, l := range all {
		t.turning.Go(l.run)
	}
	return all
}

// end has the loops stop; there will be no others.
func (ls *loops) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.ended = true
	for _, l := range ls.all {
		l.stopping.Store(true)
		l.wake()
	}
}

// Wait is as for Goroutine.
func (t *Loop) Wait() {
	t.others.Wait()
	t.conns.Wait()
	t.sockets.end()
	t.memory.end()
	t.turning.Wait()
	t.rings.end()
	for _, ls := range []*loops{&t.sockets, &t.memory} {
		for _, l := range ls.all {
			l.release()
		}
	}
}

func remoteOf(tcp *net.TCPConn) netip.AddrPort {
	if addr, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort()
	}
	return netip.AddrPort{}
}

// duplicate returns a descriptor of our own for tcp's socket, non-blocking as it. It
// does so for one at a time: while the kernel makes the table of descriptors longer, some
// 10 to 100 ms, whoever wants one waits on a thread, and the runtime never ends a thread.
func (t *Loop) duplicate(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	t.duplicating.Lock()
	defer t.duplicating.Unlock()
	if ctlErr := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	}); ctlErr != nil {
		return -1, ctlErr
	}
	return fd, err
}

// run is the loop's goroutine: gws's ReadLoop over the loop as its net.Conn, begun
// anew after a close frame or an error of one connection, which ends it.
func (l *loop) run() {
	defer func() {
		// A Handler that called runtime.Goexit has ended its own session only.
		if !l.stopping.Load() {
			l.unread()
			l.endTurn(true)
			l.t.turning.Go(l.run)
		}
	}()
	for !l.stopping.Load() {
		socket := ownSocket(l.t.upgrader, l, bufio.NewReaderSize(l, readBuffer))
		panicked := !l.t.cfg.guarded(socket.ReadLoop)
		l.unread()
		l.endTurn(panicked)
	}
}

// unread is the end of what gws had to read.
func (l *loop) unread() { l.pieces, l.piece = l.pieces[:0], 0 }

// Read implements net.Conn for gws: the next bytes of whole messages. When gws
// asks for more than the turn's connection gave, the loop goes on.
func (l *loop) Read(p []byte) (int, error) {
	for l.piece == len(l.pieces) {
		l.unread()
		if l.goOn() {
			continue
		}
		l.endTurn(false)
		if l.stopping.Load() {
			return 0, net.ErrClosed
		}
		l.nextTurn()
	}
	n := copy(p, l.pieces[l.piece])
	if l.pieces[l.piece] = l.pieces[l.piece][n:]; len(l.pieces[l.piece]) == 0 {
		l.pieces[l.piece] = nil // may be a message that was held back
		l.piece++
	}
	return n, nil
}

// Write implements net.Conn; what gws has to say is only noted.
func (l *loop) Write(p []byte) (int, error) { return l.verdict.Write(p) }

func (l *loop) noteClose(err error) { l.verdict.noteClose(err) }

func (l *loop) reader() (Handler, bool) {
	if l.current == nil {
		return nil, true // gws's own farewell
	}
	return l.current.handler, l.current.deaf.Load() || l.verdict.refusal != 0
}

func (l *loop) bound() int         { return l.t.cfg.MaxMessage }
func (l *loop) inflates() bool     { return l.current.guard.window != 0 }
func (l *loop) spend(bytes int)    { l.left.bytes -= int32(min(bytes, turnBytes)) }
func (l *loop) refuse(code uint16) { l.verdict.refuse(code) }

// LocalAddr implements net.Conn.
func (l *loop) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (l *loop) RemoteAddr() net.Addr { return nil }
