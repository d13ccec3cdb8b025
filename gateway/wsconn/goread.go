package wsconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/lxzan/gws"
)

// Errors that end gws's ReadLoop; none leaves the package.
var (
	errGuarded = errors.New("wsconn: input ends here") // a refused frame, or the close frame
	errDeaf    = errors.New("wsconn: input is dropped")
)

var errNot101 = errors.New("wsconn: gws refused the request")

// read is the reader goroutine: input, its end, what comes after, Closed.
func (c *goroutineConn) read(socket *gws.Conn) {
	defer c.finish() // also if a Handler calls runtime.Goexit
	panicked := !c.guarded(socket.ReadLoop)
	c.early = nil
	if !c.deaf.Load() {
		if !c.guarded(func() { c.report(panicked) }) {
			c.Abort() // nobody is left to do it
		}
	}
	c.linger()
}

// report tells the Handler why there is no more input, if it was not the network.
// What gws objected to comes before what the guard did: it stands earlier in the input.
func (c *goroutineConn) report(panicked bool) {
	switch {
	case panicked:
		c.handler.Violation(Internal)
	case c.refusal == 1002:
		c.handler.Violation(Protocol)
	case c.refusal == 1007:
		c.handler.Violation(InvalidUTF8)
	case c.refusal == 1009:
		c.handler.Violation(TooBig)
	case c.peerClose != nil:
		code := c.peerClose.Code
		if code == 0 { // gws: an empty payload; it refuses a real 0
			code = NoStatus
		}
		c.handler.PeerClosed(code, string(c.peerClose.Reason))
	case c.guard.end == stepRefused:
		c.handler.Violation(c.guard.violation)
	}
}

// guarded calls f and reports whether it returned without a panic.
func (c *goroutineConn) guarded(f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		value := recover() // nil if it was runtime.Goexit
		if hook := c.transport.cfg.OnPanic; hook != nil && value != nil {
			hook(value, debug.Stack())
		}
	}()
	f()
	return true
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
	}
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
	c.guarded(func() { c.handler.Closed(end) })
}

// wire is the connection as gws sees it: input has passed the guard, output is
// the 101 and then nothing. Without it gws would write its own 400, close
// codes, and Go's error texts to the client.
type wire goroutineConn

// Read implements net.Conn: first what net/http had read, then the socket.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.guard.end != stepMore:
		return 0, errGuarded
	case w.readErr != nil:
		return 0, w.readErr
	}
	var n int
	if len(w.early) > 0 {
		n = copy(p, w.early)
		if w.early = w.early[n:]; len(w.early) == 0 {
			w.early = nil
		}
	} else {
		n, w.readErr = w.conn.Read(p)
	}
	if w.deaf.Load() {
		return 0, errDeaf
	}
	if n == 0 {
		return 0, w.readErr
	}
	w.handler.Heard()
	if n = w.guard.admit(p[:n]); n == 0 {
		return 0, errGuarded
	}
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.established {
		// The one thing gws writes is a close frame: its code says what gws met.
		if len(p) >= 4 && p[0] == finBit|byte(opClose) {
			w.refusal = binary.BigEndian.Uint16(p[2:])
		}
		return len(p), nil
	}
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
		return 0, errNot101
	}
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.transport.cfg.HandshakeTimeout))
	n, err := w.conn.Write(p)
	_ = w.conn.SetWriteDeadline(time.Time{})
	return n, err
}

// Close implements net.Conn; the socket is not gws's to close.
func (w *wire) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// events is gws's handler, shared by all connections. All calls come from ReadLoop.
type events struct{}

func connOf(socket *gws.Conn) *goroutineConn {
	return (*goroutineConn)(socket.NetConn().(*wire))
}

// OnOpen implements gws.Event.
func (events) OnOpen(*gws.Conn) {}

// OnMessage implements gws.Event.
func (events) OnMessage(socket *gws.Conn, message *gws.Message) {
	if c := connOf(socket); !c.deaf.Load() {
		c.handler.Message(Opcode(message.Opcode), message.Bytes())
	}
	_ = message.Close()
}

// OnPing implements gws.Event.
func (events) OnPing(socket *gws.Conn, payload []byte) {
	if c := connOf(socket); !c.deaf.Load() {
		c.handler.Ping(payload)
	}
}

// OnPong implements gws.Event.
func (events) OnPong(socket *gws.Conn, payload []byte) {
	if c := connOf(socket); !c.deaf.Load() {
		c.handler.Pong(payload)
	}
}

// OnClose implements gws.Event. It only notes what read reports afterwards,
// outside of gws.
func (events) OnClose(socket *gws.Conn, err error) {
	_ = errors.As(err, &connOf(socket).peerClose)
}
