package wsconn

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"net"
	"runtime"
	"time"

	"github.com/lxzan/gws"
)

// Errors that end gws's ReadLoop; none leaves the package.
var (
	errGuarded = errors.New("wsconn: input ends here") // a refused frame, or the close frame
	errDeaf    = errors.New("wsconn: input is dropped")
)

var errNot101 = errors.New("wsconn: not a request that can be answered with 101")

// read is the reader goroutine: input, its end, what comes after, Closed.
func (c *goroutineConn) read(socket *gws.Conn) {
	defer c.finish() // also if a Handler calls runtime.Goexit
	panicked := !c.transport.cfg.guarded(socket.ReadLoop)
	c.settlePartial(0)
	c.early = nil
	if !c.deaf.Load() {
		if !c.transport.cfg.guarded(func() { c.verdict.report(c.handler, &c.guard, panicked) }) {
			c.Abort() // nobody is left to do it
		}
	}
	c.linger()
}

// linger drops input until the peer hangs up or the socket is closed. Its
// buffer is small because many connections may linger at once.
func (c *goroutineConn) linger() {
	if c.readErr != nil {
		return
	}
	buf := make([]byte, 512)
	for c.readErr == nil {
		_, c.readErr = c.conn.Read(buf)
		c.wakened()
	}
}

// settle accounts for what is unfinished when gws has read all that came. It has made
// room by then for all of a frame whose header has come, so that counts.
func (c *goroutineConn) settle() {
	if unfinished, tell := c.guard.news(); tell && !c.deaf.Load() {
		c.handler.Unfinished(unfinished)
	}
	switch {
	case c.evicted.Load():
		c.guard.stop(OutboxOverBudget)
	case !c.settlePartial(c.room()):
		c.guard.stop(OverBudget)
	}
}

// room is the memory gws takes for the unfinished message. For one in fragments it has a
// buffer that append makes up to twice as long, and a buffer for the fragment at hand.
func (c *goroutineConn) room() int {
	if c.guard.fragmented {
		return 2 * int(c.guard.message)
	}
	return roomFor(int(c.guard.message))
}

// roomFor is what gws takes for a message of n bytes: a power of two, as a rule.
func roomFor(n int) int {
	const tail, pooled = 9, 256 << 10 // gws's flateTail, and bound of its pool
	if n == 0 || n+tail > pooled {
		return n
	}
	return 1 << bits.Len(uint(n+tail-1))
}

// finish closes the socket and calls Closed. The end of the peer's input is not
// the end of ours: a close frame that is queued still goes out, bounded by the
// write timeout and by Abort.
func (c *goroutineConn) finish() {
	c.mu.Lock()
	c.endLocked(c.readErr)
	flusher := c.flusher
	flushing := flusher != nil && c.closing && errors.Is(c.readErr, io.EOF)
	c.mu.Unlock()
	if flushing {
		<-flusher
	}
	c.settlePartial(0)
	c.lose(nil, false)
	_ = c.socket.Close() // another goroutine may be about to, and Closed says it is done

	c.mu.Lock()
	flusher = c.flusher
	c.mu.Unlock()
	if flusher != nil {
		<-flusher
	}
	c.mu.Lock()
	end := End{Err: c.endErr, Unsent: c.out.discard()}
	c.mu.Unlock()
	c.transport.open.Add(-1)
	c.transport.cfg.guarded(func() { c.handler.Closed(end) })
}

// wire is the connection as gws sees it: input has passed the guard, output is
// the 101 and then nothing. Without it gws would write its own 400, close
// codes, and Go's error texts to the client.
type wire struct {
	c      *goroutineConn
	answer string // to the offer of compression
	inert
}

// Read implements net.Conn: first what net/http had read, then the socket.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.c.guard.end != stepMore || w.c.verdict.refusal != 0:
		return 0, errGuarded
	case w.c.readErr != nil:
		return 0, w.c.readErr
	}
	n := 0
	for again := true; again; again = w.c.wakened() && n == 0 {
		w.c.settle()
		if w.c.guard.end != stepMore {
			return 0, errGuarded
		}
		n = w.c.readSome(p)
	}
	if w.c.deaf.Load() {
		return 0, errDeaf
	}
	if n == 0 {
		return 0, w.c.readErr
	}
	w.c.traffic.received.Add(uint64(n))
	w.c.spend(0, n) // or fragments, which end no message, would cost nothing
	w.c.handler.Heard()
	if n = w.c.guard.admit(p[:n], &w.c.text); n == 0 {
		return 0, errGuarded
	}
	w.c.boundFragments(n)
	return n, nil
}

// readSome reads what net/http had, then from the socket.
func (c *goroutineConn) readSome(p []byte) (n int) {
	if len(c.early) == 0 {
		n, c.readErr = c.conn.Read(p)
		return n
	}
	n = copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n
}

// spend takes so much from the turn. At its end others run: Go would have them do so
// after 10 ms only. Of frames it is a quarter of a loop's: each answer is a system call.
func (c *goroutineConn) spend(frames, bytes int) {
	c.left.frames -= int32(4 * frames)
	c.left.bytes -= int32(min(bytes, turnBytes))
	if c.left.over() {
		c.left = wholeTurn
		runtime.Gosched()
	}
}

// boundFragments is partial.split's bound on fragments without end, of which n more
// bytes came, headers included.
func (c *goroutineConn) boundFragments(n int) {
	if !c.guard.fragmented {
		c.fragments = 0
		return
	}
	if c.fragments += int64(n); c.fragments > c.guard.mostHeld() {
		c.guard.stop(TooBig)
	}
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.c.established {
		return w.c.verdict.Write(p)
	}
	whole, err := answer101(p, w.answer)
	if err == nil {
		err = writeWithin(w.c.conn, whole, w.c.transport.cfg.HandshakeTimeout)
	}
	return len(p), err
}

// answer101 returns gws's answer to a handshake, if it is the one that we expect,
// with all of the answer to an offer of compression, "" if there is none.
func answer101(p []byte, compression string) ([]byte, error) {
	switch {
	case !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")):
		return nil, errNot101
	case compression != "":
		return bytes.Replace(p, []byte(deflateAnswer), []byte(compression), 1), nil
	}
	return p, nil
}

func writeWithin(conn net.Conn, p []byte, timeout time.Duration) error {
	_ = conn.SetWriteDeadline(time.Now().Add(timeout))
	_, err := conn.Write(p)
	_ = conn.SetWriteDeadline(time.Time{})
	return err
}

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.c.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.c.conn.RemoteAddr() }

func (w *wire) reader() (Handler, bool) {
	return w.c.handler, w.c.deaf.Load() || w.c.verdict.refusal != 0
}

func (w *wire) noteClose(err error) { w.c.verdict.noteClose(err) }
func (w *wire) bound() int          { return w.c.transport.cfg.MaxMessage }
func (w *wire) inflates() bool      { return w.c.guard.window != 0 }
func (w *wire) spend(bytes int)     { w.c.spend(1, bytes) }
func (w *wire) refuse(code uint16)  { w.c.verdict.refuse(code) }
