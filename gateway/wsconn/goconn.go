package wsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// goroutineConn is a connection of Goroutine: this file sends and closes,
// goread.go reads.
//
// Lock order: mu is a leaf. Under it nothing blocks: no Handler is called, and
// the one system call is a write that does not wait.
type goroutineConn struct {
	// Static after newGoroutineConn.
	transport *Goroutine
	traffic   *traffic
	conn      net.Conn        // as net/http had it
	socket    net.Conn        // conn, or what a *tls.Conn runs over
	raw       syscall.RawConn // of conn; nil unless writes can be tried without waiting
	tryFunc   func(fd uintptr) bool

	// Owned by the reader; by Upgrade until there is one.
	handler     Handler
	guard       guard
	text        utf8Check // of the unfinished message
	early       []byte    // read by net/http, not by us; nil when used up
	readErr     error     // what ended the input, nil while it goes on
	established bool      // the 101 is written
	partial     holder    // for the memory gws has for an unfinished message
	fragments   int64     // bytes read since the unfinished message began in fragments
	left        share     // until others have a turn
	verdict     verdict

	// deaf is set when input no longer matters: after a close or a loss.
	deaf atomic.Bool
	// evicted makes the reader end the session: the budget has chosen the outbox.
	evicted atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	out          *outbox       // nil when nothing waits
	flusher      chan struct{} // closed when the flusher ends; nil when there is none
	held         bool          // the 101 is not out yet: queue, do not write
	closing      bool          // a close frame is queued or written: accept no more
	closeWritten bool          // and it is written
	lost         bool          // the socket is closed or about to be
	ended        bool          // endErr is final
	endErr       error         // for End.Err
	try          attempt
}

// attempt is one write that does not wait: argument and results of tryFunc,
// kept in the connection so that Send allocates no closure.
type attempt struct {
	bytes []byte
	n     int
	err   error
}

func newGoroutineConn(t *Goroutine, conn net.Conn) *goroutineConn {
	c := &goroutineConn{
		transport: t,
		traffic:   t.shard(),
		conn:      conn,
		socket:    conn,
		guard:     guard{maxMessage: int32(t.cfg.MaxMessage)},
		held:      true,
		left:      wholeTurn,
	}
	c.partial.owner = goroutinePartial{c}
	// A tls.Conn waits up to 5 s in Close to say goodbye; Abort says nothing.
	for {
		over, ok := c.socket.(*tls.Conn)
		if !ok {
			break
		}
		c.socket = bare(over.NetConn())
	}
	if tcp, ok := conn.(*net.TCPConn); ok && canTryWrite {
		if raw, err := tcp.SyscallConn(); err == nil {
			c.raw = raw
			c.tryFunc = c.tryOnce
		}
	}
	return c
}

// RemoteAddr implements Conn.
func (c *goroutineConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Send implements Conn. It allocates nothing when the socket takes all of f.
func (c *goroutineConn) Send(f *Frame) error {
	if c.guard.window != 0 {
		f = f.compressed(c.transport.cfg.CompressionThreshold, c.guard.window)
	}
	c.mu.Lock()
	if c.closing || c.lost || c.ended || c.out.isEvicted() {
		c.mu.Unlock()
		return ErrClosed
	}
	if !c.out.admits(f, &c.transport.cfg) {
		c.mu.Unlock()
		return ErrFull
	}
	_, err := c.putLocked(f)
	c.mu.Unlock()
	if err != nil {
		c.lose(err, true)
		return ErrClosed
	}
	return nil
}

// SendMessage implements Conn.
func (c *goroutineConn) SendMessage(op Opcode, payload []byte) error { return sendNew(c, op, payload) }

// Close implements Conn.
func (c *goroutineConn) Close(code uint16, reason string) { c.close(code, reason, false) }

// CloseNow implements Conn.
func (c *goroutineConn) CloseNow(code uint16, reason string) { c.close(code, reason, true) }

func (c *goroutineConn) close(code uint16, reason string, now bool) {
	f := closeFrame(code, reason)
	c.mu.Lock()
	if c.closing || c.lost || c.ended {
		c.mu.Unlock()
		return
	}
	c.closing = true
	c.deaf.Store(true)
	if now && c.out != nil {
		c.out.drop()
	}
	written, err := c.putLocked(f)
	c.closeWritten = written
	c.mu.Unlock()
	if err != nil {
		c.lose(err, true)
	}
	if written {
		c.halfClose()
	}
}

// Backlogged implements Conn.
func (c *goroutineConn) Backlogged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.out.empty()
}

// Abort implements Conn.
func (c *goroutineConn) Abort() { c.lose(nil, true) }

// putLocked writes f if nothing is before it, queues what is left of it, and
// sees to a flusher. It reports whether f is written wholly. An error means
// that the connection is to be given up, and f was not accepted.
func (c *goroutineConn) putLocked(f *Frame) (written bool, err error) {
	n := 0
	if c.raw != nil && !c.held && c.flusher == nil && c.out.empty() {
		if n, err = c.tryLocked(f.wire); err != nil {
			return false, err
		}
		if n == len(f.wire) {
			return true, nil
		}
	}
	if c.out == nil {
		c.out = newOutbox(&c.transport.cfg.Budgets.outboxes, goroutineOutbox{c})
	}
	c.out.push(f, n)
	c.startFlusherLocked()
	return false, nil
}

// tryLocked writes what the socket takes of p without waiting.
func (c *goroutineConn) tryLocked(p []byte) (int, error) {
	c.try = attempt{bytes: p}
	err := c.raw.Write(c.tryFunc)
	n, tryErr := c.try.n, c.try.err
	c.traffic.sent.Add(uint64(n))
	c.try = attempt{}
	if err == nil {
		err = tryErr
	}
	return n, err
}

// unhold lets frames out: the 101 is written.
func (c *goroutineConn) unhold() {
	c.mu.Lock()
	c.held = false
	if !c.out.empty() {
		c.startFlusherLocked()
	}
	c.mu.Unlock()
}

// startFlusherLocked runs while the reader does (or Upgrade, before it), so
// that the transport's WaitGroup never starts from zero under its Wait.
func (c *goroutineConn) startFlusherLocked() {
	if c.held || c.lost || c.flusher != nil {
		return
	}
	c.flusher = make(chan struct{})
	c.transport.running.Go(c.flush)
}

// flushing is what a flusher needs.
type flushing struct {
	buf      [writeChunk]byte // for gathering small frames
	patience patience
}

var flushings = sync.Pool{New: func() any { return new(flushing) }}

// flush writes the outbox until it is empty, half-closes if that was the close
// frame, and ends.
func (c *goroutineConn) flush() {
	with := flushings.Get().(*flushing)
	with.patience.begin(c)
	for {
		c.mu.Lock()
		chunk := c.out.claim(with.buf[:0])
		if chunk == nil || c.lost {
			break
		}
		c.mu.Unlock()
		n, err := c.writeWaiting(chunk, &with.patience)
		c.mu.Lock()
		c.out.wrote(n)
		c.mu.Unlock()
		if err != nil {
			c.lose(err, true)
		}
	}
	with.patience.end()
	if c.closing && !c.lost {
		c.closeWritten = true
		c.mu.Unlock()
		c.halfClose()
		c.mu.Lock()
	}
	if c.out.spent() {
		c.out = nil
	}
	done := c.flusher
	c.flusher = nil
	c.mu.Unlock()
	flushings.Put(with)
	close(done)
}

// writeWaiting writes p; the error is nil as long as something of it went, or of what
// went before, so that a slow peer is not taken for a stuck one.
// (A tls.Conn cannot go on after a timeout: there a chunk goes or it does not.)
func (c *goroutineConn) writeWaiting(p []byte, patience *patience) (int, error) {
	patience.next()
	n, err := c.conn.Write(p)
	c.traffic.sent.Add(uint64(n))
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	case n > 0:
		return n, nil
	case c.raw == nil:
		return 0, ErrWriteTimeout
	}
	switch lasts, known := patience.look(); {
	case lasts:
		return 0, nil
	case known:
		return 0, ErrWriteTimeout
	}
	// The poller wants a third of the socket's buffer free; a peer that has
	// taken less than that is slow, not stuck.
	_ = c.conn.SetWriteDeadline(time.Time{})
	c.mu.Lock()
	n, err = c.tryLocked(p)
	c.mu.Unlock()
	if n == 0 && err == nil {
		err = ErrWriteTimeout
	}
	return n, err
}

// halfClose ends our direction after the close frame, and leaves the peer's
// open: closing over unread input makes the kernel send a reset, which can
// destroy the close frame. A connection that has only one Close is closed.
func (c *goroutineConn) halfClose() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		c.lose(io.EOF, false)
		return
	}
	// Other errors show in the reader.
	if err := half.CloseWrite(); errors.Is(err, os.ErrDeadlineExceeded) {
		c.lose(ErrWriteTimeout, true)
	}
}

// lose closes the socket, which ends reader and flusher. Err is for End unless
// the end was known before. With reset, what the kernel has not sent yet is
// dropped, but never a close frame.
func (c *goroutineConn) lose(err error, reset bool) {
	c.mu.Lock()
	c.endLocked(err)
	first := !c.lost
	c.lost = true
	reset = reset && !c.closeWritten
	c.mu.Unlock()
	if !first {
		return
	}
	c.deaf.Store(true)
	if tcp, ok := c.socket.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = c.socket.Close()
}

// endLocked makes err the connection's end if it is the first.
func (c *goroutineConn) endLocked(err error) {
	if !c.ended {
		c.ended, c.endErr = true, err
	}
}
