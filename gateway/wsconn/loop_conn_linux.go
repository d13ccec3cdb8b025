package wsconn

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// loopConn is a connection of Loop. An idle one is this and its descriptor.
//
// Lock order: mu, then loop.mu or the locks of its slots and poller. Under mu nothing
// blocks and no Handler is called. Only a sender has the mu of several, and then waits for none.
type loopConn struct {
	// Static after serve.
	loop    *loop
	handler Handler
	remote  netip.Addr // zero if there is none

	// Owned by the loop; by serve before it has joined.
	guard   guard
	partial *partial // nil when there is none; before the first turn, what net/http had read

	// Guarded by mu; fd is changed by the loop only (by serve before it has joined), which
	// reads it without. What a send needs stands together: of 100,000 receivers nothing
	// is in a cache.
	out    *outbox // nil when nothing waits
	ending *ending // nil until something has ended the connection
	fd     int32   // -1 when released
	mu     sync.Mutex

	deaf atomic.Bool // input no longer matters: after a close or a loss
	slot int32       // the loop's: in its table; -1 when in none
	age  int32       // the loop's: of the slot's owners
	port uint16      // of remote

	input     inputState // the loop's
	joining   bool       // guarded by mu, as what follows: the 101 is not out yet: queue, do not write
	attending bool       // posted to the loop and not looked at yet
	cork      cork       // set by the loop only
	farewell  farewell   // of ours: accept no more
	lost      bool       // to be released
}

// farewell is how far our close frame has got.
type farewell uint8

const (
	farewellNone farewell = iota
	farewellQueued
	farewellWritten
)

// ending is what ended a connection, for End.Err.
type ending struct{ err error }

func newLoopConn(l *loop, fd int32, remote netip.AddrPort) *loopConn {
	return &loopConn{
		loop: l, fd: fd, remote: remote.Addr(), port: remote.Port(), slot: -1, joining: true,
		guard: guard{maxMessage: int32(l.t.cfg.MaxMessage)},
	}
}

// openWith calls open; a panic must not leave the socket, which net/http has
// given away, open.
func (c *loopConn) openWith(open func(Conn) Handler) {
	defer func() {
		if c.handler == nil {
			c.Abort()
			c.mu.Lock()
			c.out.discard()
			c.mu.Unlock()
			c.loop.close(c.fd)
			c.loop.t.ended()
		}
	}()
	c.handler = open(c)
	if c.handler == nil {
		panic(errors.New("wsconn: open returned no Handler"))
	}
}

// answer writes the 101 (RFC 6455 section 4.2.2): at once, or else through conn, which
// is of the same socket, with a deadline. gws's would make a connection of its own
// for it, to be thrown away.
func (c *loopConn) answer(conn net.Conn, request http.Header, extension string) error {
	key := request.Get("Sec-Websocket-Key")
	if key == "" || request.Get("Sec-Websocket-Version") != "13" {
		return errNot101
	}
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum([]byte(key + guid))
	p := make([]byte, 0, 256)
	p = append(p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	p = base64.StdEncoding.AppendEncode(p, sum[:])
	if extension != "" {
		p = append(append(p, "\r\nSec-WebSocket-Extensions: "...), extension...)
	}
	p = append(p, "\r\n\r\n"...)
	n, _ := c.loop.write(c.fd, p) // an error shows again
	if n == len(p) {
		return nil
	}
	return writeWithin(conn, p[n:], c.loop.t.cfg.HandshakeTimeout)
}

// join hands c to its loop: the 101 is out. The loop is not woken if all there is
// to do is to wait for input.
func (c *loopConn) join(early []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joining = false
	if len(early) > 0 {
		c.partial = &partial{bytes: early}
	}
	if c.partial != nil || c.out != nil || c.lost {
		c.attendLocked()
	} else if err := c.loop.register(c); err != nil {
		c.loseLocked(err)
	}
}

// RemoteAddr implements Conn.
func (c *loopConn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return pipeAddr{}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.remote, c.port))
}

// Send implements Conn. It allocates nothing when the socket takes all of f.
func (c *loopConn) Send(f *Frame) error {
	_, err := c.send(c.encoded(f))
	return err
}

// encoded is f as c's peer has agreed to get it.
func (c *loopConn) encoded(f *Frame) *Frame {
	if c.guard.window != 0 {
		return f.compressed(c.loop.t.cfg.CompressionThreshold, c.guard.window)
	}
	return f
}

// SendMessage implements Conn. It allocates nothing when the socket takes all.
func (c *loopConn) SendMessage(op Opcode, payload []byte) error {
	if c.guard.window != 0 || len(payload) > maxReused {
		return sendNew(c, op, payload)
	}
	f := c.loop.t.frames.Get().(*Frame)
	if err := f.encode(op, payload); err != nil {
		return err
	}
	written, err := c.send(f)
	if written {
		c.loop.t.frames.Put(f) // nobody else has it
	}
	return err
}

// send reports whether f is written wholly: if not, the outbox may have it.
func (c *loopConn) send(f *Frame) (written bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(f)
}

func (c *loopConn) sendLocked(f *Frame) (written bool, err error) {
	if c.farewell != farewellNone || c.lost || c.ending != nil || c.out.isEvicted() {
		return false, ErrClosed
	}
	if !c.out.admits(f, &c.loop.t.cfg) {
		return false, ErrFull
	}
	written, err = c.putLocked(f)
	if err != nil && !errors.Is(err, ErrFull) {
		c.loseLocked(err)
		err = ErrClosed
	}
	return written, err
}

// Close implements Conn.
func (c *loopConn) Close(code uint16, reason string) { c.close(code, reason, false) }

// CloseNow implements Conn.
func (c *loopConn) CloseNow(code uint16, reason string) { c.close(code, reason, true) }

func (c *loopConn) close(code uint16, reason string, now bool) {
	f := closeFrame(code, reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.farewell != farewellNone || c.lost || c.ending != nil {
		return
	}
	c.farewell = farewellQueued
	c.deaf.Store(true)
	if now && c.out != nil {
		c.out.drop()
	}
	written, err := c.putLocked(f)
	switch {
	case err != nil:
		c.loseLocked(err)
	case written:
		c.farewellLocked()
	}
}

// Backlogged implements Conn.
func (c *loopConn) Backlogged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out != nil && !c.out.empty()
}

// Abort implements Conn.
func (c *loopConn) Abort() { c.lose(nil) }

// farewellLocked ends our direction: the close frame is written.
func (c *loopConn) farewellLocked() {
	c.farewell = farewellWritten
	c.loop.halfClose(c.fd)
}

// putLocked writes f if nothing is before it, and queues what is left of it. It
// reports whether f is written wholly, or copied to where it will be. After an error
// f counts as not accepted.
func (c *loopConn) putLocked(f *Frame) (written bool, err error) {
	n, idle := 0, c.out.empty()
	if c.cork == corkOn && idle && f.op != opClose && c.loop.batch.add(c, f.wire) {
		return true, nil
	}
	if err := c.uncorkLocked(); err != nil {
		return false, err
	}
	if c.out.empty() && !c.joining {
		if n, err = c.writeNowLocked(f.wire); err != nil {
			return false, err
		}
		if n == len(f.wire) {
			return true, nil
		}
	} else if idle && c.out != nil {
		c.attendLocked() // of the part something was queued
		if f.op != opClose && !c.out.admits(f, &c.loop.t.cfg) {
			return false, ErrFull
		}
	}
	c.queueLocked(f, nil, n)
	if idle {
		c.attendLocked()
	}
	return false, nil
}

// writeOn goes on with the outbox. It reports whether the peer took anything and
// whether the outbox is empty now; buf is for gathering small frames.
func (c *loopConn) writeOn(buf []byte) (progress, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.lost && c.out != nil {
		chunk := c.out.claim(buf)
		if chunk == nil {
			break
		}
		n, err := c.writeNowLocked(chunk)
		c.out.wrote(n)
		progress = progress || n > 0
		if err != nil || n < len(chunk) {
			return progress, false, err
		}
	}
	if c.out.spent() {
		c.out = nil
	}
	if c.farewell == farewellQueued && !c.lost {
		c.farewellLocked()
	}
	return progress, true, nil
}

// writeNowLocked writes what the connection takes without waiting.
func (c *loopConn) writeNowLocked(p []byte) (int, error) {
	n, errno := c.loop.write(c.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		return 0, os.NewSyscallError("write", errno)
	}
	c.loop.meter.byOthers.Add(uint64(n))
	return n, nil
}

// hasFarewell reports whether a close frame still waits to be written.
func (c *loopConn) hasFarewell() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.farewell == farewellQueued && !c.lost
}

// end makes err what ended the connection if nothing did before.
func (c *loopConn) end(err error) {
	c.mu.Lock()
	c.endLocked(err)
	c.mu.Unlock()
}

func (c *loopConn) endLocked(err error) {
	if c.ending == nil {
		c.ending = &ending{err}
	}
}

// lose has the loop release c, for err unless it had ended before.
func (c *loopConn) lose(err error) {
	c.mu.Lock()
	c.loseLocked(err)
	c.mu.Unlock()
}

func (c *loopConn) loseLocked(err error) {
	c.endLocked(err)
	if c.lost || c.fd < 0 {
		return
	}
	c.lost = true
	c.deaf.Store(true)
	if c.farewell != farewellWritten { // or its frame might be destroyed on its way
		c.loop.reset(c.fd)
	}
	if c.joining {
		c.loop.shut(c.fd) // wakes the writer of the 101
	}
	c.attendLocked()
}

// attendLocked has the loop look at c, once it has joined.
func (c *loopConn) attendLocked() {
	if c.joining || c.attending || c.fd < 0 {
		return
	}
	c.attending = true
	c.loop.post(c)
}

// ended is the end of a connection.
func (t *Loop) ended() {
	t.open.Add(-1)
	t.conns.Done()
}

// release closes the descriptor and calls Closed: c is in no table any more.
func (c *loopConn) release(err error) {
	defer c.loop.t.ended() // also if Closed calls runtime.Goexit
	c.deaf.Store(true)
	c.loop.forget(c)
	c.mu.Lock()
	c.endLocked(err)
	c.loop.close(c.fd)
	c.fd = -1
	end := End{Err: c.ending.err, Unsent: c.out.discard()}
	c.mu.Unlock()
	c.loop.t.cfg.guarded(func() { c.handler.Closed(end) })
}
