package client

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
	"unicode/utf8"
)

// The states of a connection:
//
//	state       event                        next
//	connecting  TCP (and TLS) connected      upgrading: the request is sent
//	upgrading   101 that fits                open: Opened
//	either      error, timeout, method       gone: Failed
//	open        Close                        closing: our close frame is sent
//	open        the server's close frame     leaving: answered, Closed
//	closing     the server's close frame     leaving: Closed
//	leaving     the server's FIN, timeout    gone
//	any         Vanish                       silent: Failed or Closed, unless called before
//	silent      Abort                        gone
//	others      error, Abort                 gone: Failed or Closed, unless called before
const (
	connecting state = iota
	upgrading
	open
	closing
	leaving
	silent
	gone
)

type (
	state    uint8
	stateSet uint8
)

func (s stateSet) has(st state) bool { return s&(1<<st) != 0 }

const (
	inHandshake = stateSet(1<<connecting | 1<<upgrading)
	inClosing   = stateSet(1<<closing | 1<<leaving)
	hasInput    = stateSet(1<<upgrading | 1<<open | 1<<closing | 1<<leaving)
)

// controlRoom is what control frames of the client's own may have in the backlog, whatever
// else is there.
const controlRoom = 4 << 10

// Conn is one connection. Its methods are for its loop only, that is within Handler
// calls and functions run by Loop.Post and Loop.At.
type Conn struct {
	loop    *Loop
	wire    wire // the loop's poller, or a link of its own
	tag     int
	hello   *handshake // nil when open
	in      *inbox     // nil when no message is begun
	backlog []byte     // what the socket did not take; nil when it took all
	fd      int32      // of the poller's; -1 for a link
	age     int32      // tells events of the descriptor's last owner from its own
	answers int32      // bytes of control frames queued since the backlog was empty
	state   state
	paused  bool
	told    bool   // the handler knows, or will, that it ended
	failed  bool   // a write said that the connection is broken
	watched uint32 // what the poller waits for
}

// handshake is what a connection needs until it is open.
type handshake struct {
	target *Target
	began  time.Time // then of TCP connected
	took   time.Duration
	head   []byte // of the answer, incomplete
}

// wire is what carries a connection's bytes. Its methods do not block and call no method
// of c that calls the handler.
type wire interface {
	write(c *Conn, b []byte) (int, error) // 0 and no error: not now, writable will be called
	watch(c *Conn)                        // reading or the backlog has changed
	close(c *Conn, reset bool)
	vanish(c *Conn) error
}

// Dial begins a connection to t; on the loop only. It neither blocks nor fails: the
// outcome comes through Handler. tag is the caller's, for Conn.Tag.
func (l *Loop) Dial(t *Target, tag int) *Conn {
	now := time.Now()
	c := &Conn{loop: l, tag: tag, fd: -1, hello: &handshake{target: t, began: now}}
	l.handshakes.add(c, now.Add(l.crowd.cfg.HandshakeTimeout), inHandshake)
	var err error
	if t.secure || !hasEpoll {
		c.wire = startLink(c, t)
	} else {
		c.wire = l.poller
		err = l.poller.dial(c, t)
	}
	if err != nil {
		c.drop(true)
		c.reportLater(1006, "", failure(err))
	}
	return c
}

// nextSource returns the local address whose turn it is, if there are any.
func (l *Loop) nextSource() (source netip.Addr, ok bool) {
	n := len(l.crowd.cfg.Sources)
	if n == 0 {
		return source, false
	}
	source = l.crowd.cfg.Sources[l.source]
	l.source = (l.source + 1) % n
	return source, true
}

// Tag is what Dial was given.
func (c *Conn) Tag() int { return c.tag }

// Loop owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Send sends a message as one masked frame. What the socket does not take is queued,
// up to Config.MaxBacklog bytes of frames begun before: beyond, ErrFull. The payload
// may be reused at once. Ping is allowed with at most 125 bytes; pongs come to
// Handler.Message.
func (c *Conn) Send(op Opcode, payload []byte) error {
	switch {
	case c.state != open:
		return ErrNotOpen
	case op != Text && op != Binary && op != Ping:
		return errors.New("client: an opcode that is not for sending")
	case op == Ping && len(payload) > maxControl:
		return errors.New("client: a ping of more than 125 bytes")
	case len(c.backlog) > 0 && len(c.backlog)+maxHead+len(payload) > c.loop.crowd.cfg.MaxBacklog:
		return ErrFull
	}
	return c.write(op, payload)
}

func (c *Conn) write(op Opcode, payload []byte) error {
	l := c.loop
	l.output = appendFrame(l.output[:0], op, l.key, payload)
	err := c.writeBytes(l.output)
	if cap(l.output) > inputBuffer {
		l.output = nil // one large message does not stay
	}
	return err
}

func (c *Conn) writeBytes(b []byte) error {
	if c.failed {
		return ErrNotOpen
	}
	if len(c.backlog) > 0 {
		c.backlog = append(c.backlog, b...)
		return nil
	}
	n, err := c.wire.write(c, b)
	if err != nil {
		return c.broke(err)
	}
	if n < len(b) {
		c.backlog = append([]byte(nil), b[n:]...)
		c.wire.watch(c)
	}
	return nil
}

// broke notes a failed write. When the connection is dead its input ends too, but
// what came before that, a close frame perhaps, is still to be read.
func (c *Conn) broke(err error) error {
	c.failed = true
	c.backlog = nil
	c.wire.watch(c)
	if k := kindOf(err); k != KindReset && k != KindTimeout {
		c.drop(true)
		c.reportLater(1006, "", failure(err))
	}
	return err
}

// writable goes on with the backlog; called by the wire.
func (c *Conn) writable() {
	if len(c.backlog) == 0 || c.failed {
		return
	}
	n, err := c.wire.write(c, c.backlog)
	if err != nil {
		_ = c.broke(err)
		return
	}
	if c.backlog = c.backlog[n:]; len(c.backlog) == 0 {
		c.backlog, c.answers = nil, 0
		c.wire.watch(c)
	}
}

// control sends a control frame of the client's own.
func (c *Conn) control(op Opcode, payload []byte) {
	if c.answers > controlRoom {
		c.drop(true)
		c.reportLater(1006, "", &Error{Kind: KindSlow})
		return
	}
	_ = c.write(op, payload) // a broken connection ends by its input
	if len(c.backlog) > 0 {
		c.answers += int32(maxHead + len(payload))
	}
}

// Close begins the close handshake (RFC 6455 section 7): Closed comes with the
// server's answer, or after Config.CloseTimeout. Messages that arrive before are still
// handed out. code 0 sends a frame without one; reason is cut to 123 bytes. A
// connection that is still in its handshake is dropped, one that is closing goes on.
func (c *Conn) Close(code int, reason string) {
	switch {
	case inHandshake.has(c.state):
		c.end(KindClosed)
	case c.state == open:
		c.state = closing
		c.loop.closings.add(c, time.Now().Add(c.loop.crowd.cfg.CloseTimeout), inClosing)
		c.Resume()
		c.control(Close, closePayload(code, reason))
	}
}

func closePayload(code int, reason string) []byte {
	if code == 0 {
		return nil
	}
	if len(reason) > maxControl-2 {
		reason = reason[:maxControl-2]
		for !utf8.ValidString(reason) && reason != "" {
			reason = reason[:len(reason)-1]
		}
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// Abort ends the connection at once by RST.
func (c *Conn) Abort() { c.end(KindAborted) }

// end is what a method of ours does to a connection.
func (c *Conn) end(kind string) {
	if c.state == gone {
		return
	}
	c.drop(true)
	c.reportLater(1006, "", &Error{Kind: kind})
}

// Vanish makes the connection go silent as if the cable were cut: the kernel drops what
// arrives, so that nothing is acknowledged, and nothing is sent, no FIN and no RST. The
// descriptor is kept until Abort or Crowd.Close, which send RST. What was sent before
// and is not acknowledged yet is still repeated by TCP. Where there is no socket
// filter (not Linux), the client only stops reading: KindNotVanished.
func (c *Conn) Vanish() {
	if c.state == gone || c.state == silent {
		return
	}
	kind := KindVanished
	err := c.wire.vanish(c)
	if err != nil {
		kind = KindNotVanished
	}
	c.state = silent
	c.in, c.backlog = nil, nil
	c.reportLater(1006, "", &Error{Kind: kind, Err: err})
}

// Pause stops reading, once what has been read is handed out: the server's bytes stay in
// the socket. The server's end may go unnoticed until Resume.
func (c *Conn) Pause() {
	if c.state == open && !c.paused {
		c.paused = true
		c.wire.watch(c)
	}
}

// Resume goes on reading.
func (c *Conn) Resume() {
	if c.paused && hasInput.has(c.state) {
		c.paused = false
		c.wire.watch(c)
	}
}

// drop lets go of the socket and all else.
func (c *Conn) drop(reset bool) {
	if c.state == gone {
		return
	}
	c.state = gone
	c.in, c.backlog = nil, nil
	c.wire.close(c, reset)
}

// report tells the handler how it ended, unless it knows.
func (c *Conn) report(code int, reason string, err *Error) {
	if !c.told {
		c.told = true
		c.tell(code, reason, err, time.Now())
	}
}

// tell calls Failed when the connection was never open.
func (c *Conn) tell(code int, reason string, err *Error, at time.Time) {
	if c.hello != nil {
		c.loop.crowd.handler.Failed(c, err)
		return
	}
	c.loop.crowd.handler.Closed(c, code, reason, err, at)
}

// reportLater is for where the handler may be at work, or the caller not yet know c.
func (c *Conn) reportLater(code int, reason string, err *Error) {
	if !c.told {
		c.told = true
		at := time.Now()
		c.loop.Post(func() { c.tell(code, reason, err, at) })
	}
}

func (c *Conn) handshakeTimeout() { c.lost(&Error{Kind: KindTimeout}) }

// closeTimeout: the server does not answer our close frame, or not close TCP after it.
func (c *Conn) closeTimeout() {
	c.lost(&Error{Kind: KindTimeout, Err: errors.New("no close frame in answer to ours")})
}

// lost ends a connection that nobody asked to end; not from within the handler.
func (c *Conn) lost(err *Error) {
	c.drop(true)
	c.report(1006, "", err)
}
