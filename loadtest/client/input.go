package client

import (
	"errors"
	"time"
)

// connected is called by the wire when TCP, and TLS, stand.
func (c *Conn) connected() {
	now := time.Now()
	c.hello.took = now.Sub(c.hello.began)
	c.hello.began = now
	c.state = upgrading
	_ = c.writeBytes(c.hello.target.request) // a broken connection ends by its input
}

// ended is called by the wire when there is no more input: EOF, or an error.
func (c *Conn) ended(err error) {
	e := failure(err)
	if e.Kind == KindHungUp {
		e.Err = nil
		if c.failed {
			e.Kind = KindReset // the write that noticed took the error
		}
	}
	if c.state == leaving {
		c.drop(false) // as it should be
		return
	}
	c.lost(e)
}

// input takes what was read; called by the wire. It goes on while the connection is
// there: the handler may have ended it.
func (c *Conn) input(b []byte, at time.Time) {
	if c.state == upgrading {
		var ok bool
		if b, ok = c.answer(b, at); !ok {
			return
		}
	}
	max := c.loop.crowd.cfg.MaxMessage
	for len(b) > 0 && (c.state == open || c.state == closing) {
		op, payload, rest, ok, err := next(&c.in, b, max)
		if err == nil && ok {
			err = c.frame(op, payload, at)
		}
		if err != nil {
			c.violated(err)
			return
		}
		b = rest
	}
}

// answer takes the server's answer to the handshake, and returns what follows it
// when that is complete and good.
func (c *Conn) answer(b []byte, at time.Time) (rest []byte, ok bool) {
	h := c.hello
	if h.head != nil {
		h.head = append(h.head, b...)
		b = h.head
	}
	n, err := responseHead(b)
	if err == nil && n == 0 {
		if h.head == nil {
			h.head = append([]byte(nil), b...)
		}
		return nil, false
	}
	if err == nil {
		err = h.target.judge(b[:n], c.loop.head)
	}
	if err != nil {
		c.lost(err)
		return nil, false
	}
	c.hello = nil
	c.state = open
	c.loop.crowd.handler.Opened(c, h.took, at.Sub(h.began))
	return b[n:], true
}

// frame takes one message or control frame.
func (c *Conn) frame(op Opcode, payload []byte, at time.Time) error {
	switch op {
	case Ping:
		if c.state == open {
			c.control(Pong, payload)
		}
	case Close:
		return c.closedByServer(payload, at)
	default:
		c.loop.crowd.handler.Message(c, op, payload, at)
	}
	return nil
}

// closedByServer answers the server's close frame, tells the handler, and waits for
// the server to close TCP: the side that closes first keeps the port (TIME_WAIT).
func (c *Conn) closedByServer(payload []byte, at time.Time) error {
	code, reason, err := parseClose(payload)
	if err != nil {
		return err
	}
	c.told = true // whatever becomes of the write
	var cause *Error
	if c.state == closing {
		cause = &Error{Kind: KindClosed}
	} else {
		_ = c.write(Close, payload[:min(len(payload), 2)])
	}
	c.leave()
	c.tell(code, reason, cause, at)
	return nil
}

// leave has nothing more to say or to hear, but for the server's FIN.
func (c *Conn) leave() {
	if c.state == gone {
		return // the last write failed
	}
	c.Resume()
	if c.state == open {
		c.loop.closings.add(c, time.Now().Add(c.loop.crowd.cfg.CloseTimeout), inClosing)
	}
	c.state = leaving
	c.in = nil
}

// violated ends a connection whose server broke the protocol: it is told by a close
// frame (RFC 6455 section 7.1.7), and what else it sends is not looked at.
func (c *Conn) violated(err error) {
	var e *protocolError
	if !errors.As(err, &e) {
		e = &protocolError{kind: KindProtocol, code: 1002}
	}
	c.told = true // whatever becomes of this write
	if c.state == open {
		_ = c.write(Close, closePayload(e.code, ""))
	}
	c.leave()
	c.tell(1006, "", &Error{Kind: e.kind, Err: err}, time.Now())
}
