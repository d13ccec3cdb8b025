package gateway

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// Errors of Session.Send and Gateway.Broadcast, besides wsconn.ErrInvalidUTF8.
var (
	// ErrGone: the session is closing or closed.
	ErrGone = errors.New("gateway: session is closed")
	// ErrSlow: the peer does not read; the session is being closed for it.
	ErrSlow = errors.New("gateway: session's outbox is full")
	// ErrTooBig: the message exceeds Config.MaxMessage.
	ErrTooBig = errors.New("gateway: message is too big")
)

// Hooks are an embedding program's callbacks; any may be nil. They run on the
// connection's goroutine or loop, in order for one session, and must not block.
type Hooks struct {
	// Open is called before anything is read from the session; it may send, set a
	// timeout and keep the Session.
	Open func(*Session)
	// Message is called for each data message; payload is valid during the call.
	Message func(s *Session, op wsconn.Opcode, payload []byte)
	// Close is called once when the session is gone.
	Close func(*Session, Reason)
}

// Session is one client's connection. All methods may be called from any
// goroutine and do not block.
//
//	state    event                         next
//	open     close by anyone               closing: close frame sent, reason fixed
//	open     connection lost               closed
//	closing  peer hangs up, or CloseWait   closed
type Session struct {
	// What a broadcast needs stands together: of 100,000 receivers nothing is in a cache.
	g        *Gateway // static after open, as conn
	conn     wsconn.Conn
	life     life
	sent     atomic.Uint64
	received atomic.Uint64

	// An event stores in one stamp only, whatever it counts as: both, or the one
	// of the two it is evidence of.
	both, heardOnly, activeOnly wheel.Stamp

	asked  asked
	upload upload

	entry   wheel.Entry[Session]
	timeout atomic.Int64 // nanoseconds

	// Static after open.
	connected time.Duration // after Gateway.made
	key       sessionKey
	phase     uint8
	echo      bool
}

// life is a session's state in a word: while it is open the step in which it
// opened, as -1-step; from then on the step in which it was closed and why, as
// step<<8 | Reason. It leaves the first state once.
type life struct{ word atomic.Int64 }

func (l *life) open(step int64) { l.word.Store(-1 - step) }

func (l *life) isOpen() bool { return l.word.Load() < 0 }

// close reports whether this call was the one that ended the open state.
func (l *life) close(step int64, r Reason) bool {
	word := l.word.Load()
	return word < 0 && l.word.CompareAndSwap(word, step<<8|int64(r))
}

// steps returns when the session was opened and closed. What is in the future or
// not known any more is never.
func (l *life) steps() (opened, closed int64) {
	word := l.word.Load()
	if word >= 0 {
		return never, word >> 8
	}
	return -1 - word, never
}

func (l *life) reason() Reason {
	if word := l.word.Load(); word >= 0 {
		return Reason(word & 0xff)
	}
	return ReasonNone
}

// upload is the state of the message that is arriving, in a word: the step in which it
// began, or if there is none the step in which the last one ended, as -1-step.
type upload struct{ word atomic.Int64 }

// begin reports whether there was one under way already.
func (u *upload) begin(step int64) bool { return u.word.Swap(step) >= 0 }

func (u *upload) end(step int64) { u.word.Store(-1 - step) }

// steps returns when it began, or never, and when the last one ended, or 0.
func (u *upload) steps() (begun, ended int64) {
	word := u.word.Load()
	if word < 0 {
		return never, -1 - word
	}
	return word, 0
}

// ID returns the session's id: 32 characters of A-Z2-7, never used again.
func (s *Session) ID() string { return s.key.String() }

// RemoteAddr returns the peer's address as the socket has it, host:port.
func (s *Session) RemoteAddr() string { return s.conn.RemoteAddr().String() }

// age is how long ago the session was opened, by the monotonic clock.
func (s *Session) age() time.Duration { return time.Since(s.g.made) - s.connected }

// SetTimeout changes the inactivity timeout, measured from the last activity; it
// may expire the session at once. More than 0, up to MaxTimeout.
func (s *Session) SetTimeout(d time.Duration) error {
	if d <= 0 || d > MaxTimeout {
		return fmt.Errorf("gateway: session timeout is %v: must be more than 0, up to %v", d, MaxTimeout)
	}
	s.timeout.Store(int64(d))
	// What is overdue since before this call is not late: it ends here and now.
	if at, do := s.facts().next(); do == actExpire && at < s.g.wheel.Now() {
		s.expire(0)
		return nil
	}
	s.g.wheel.Reschedule(&s.entry)
	return nil
}

// Send sends a message to this session's client: accepted, not yet received, when
// it returns nil. A client that does not read is closed as slow (ErrSlow).
func (s *Session) Send(op wsconn.Opcode, payload []byte) error {
	if len(payload) > s.g.cfg.MaxMessage {
		return ErrTooBig
	}
	if !s.life.isOpen() {
		return ErrGone
	}
	if err := s.accepted(s.conn.SendMessage(op, payload)); err != nil {
		return err
	}
	s.g.metrics.sent.Inc()
	if s.g.cfg.Activity&ActivityOut != 0 {
		s.g.wheel.Touch(&s.activeOnly)
	}
	return nil
}

// accepted counts a message that the connection took, and judges why it did not.
func (s *Session) accepted(err error) error {
	switch {
	case err == nil:
		s.sent.Add(1)
		return nil
	case errors.Is(err, wsconn.ErrFull):
		s.g.metrics.dropped[ReasonSlowConsumer].Inc()
		s.close(ReasonSlowConsumer, "")
		return ErrSlow
	case errors.Is(err, wsconn.ErrClosed):
		return ErrGone
	}
	return err
}

// Disconnect closes the session as kicked. Code 0 is the code of that reason;
// others must be ones a server may send (ValidCloseCode), with a text of UTF-8 and
// at most 123 bytes. It reports whether this call ended the session.
func (s *Session) Disconnect(code uint16, text string) (bool, error) {
	c := s.g.cfg.closing(ReasonKicked, "")
	if code != 0 {
		if !ValidCloseCode(code) {
			return false, fmt.Errorf("gateway: close code %d: must be 1000, 1001, 1008, 1011 to 1014 or 3000 to 4999", code)
		}
		c.code, c.text = code, ""
	}
	if text != "" {
		c.text = text
	}
	if len(c.text) > 123 || !utf8.ValidString(c.text) {
		return false, errors.New("gateway: close reason: must be UTF-8 of at most 123 bytes")
	}
	return s.end(c), nil
}

// ValidCloseCode reports whether an application may close with code.
func ValidCloseCode(code uint16) bool {
	switch code {
	case 1000, 1001, 1008, 1011, 1012, 1013, 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}

// close ends the session with a reason of the table.
func (s *Session) close(r Reason, detail string) bool {
	return s.end(s.g.cfg.closing(r, detail))
}

// end is the one way from open to closing: the first caller's reason stays.
func (s *Session) end(c closing) bool {
	if !s.markClosing(c.reason) {
		return false
	}
	if c.reason == ReasonSlowConsumer {
		s.conn.CloseNow(c.code, c.text)
	} else {
		s.conn.Close(c.code, c.text)
	}
	s.g.wheel.Reschedule(&s.entry)
	return true
}

func (s *Session) markClosing(r Reason) bool {
	return s.life.close(s.g.wheel.Now(), r)
}

// Reason returns why the session ended, ReasonNone while it is open.
func (s *Session) Reason() Reason { return s.life.reason() }

// facts gathers what the session's deadline depends on.
func (s *Session) facts() facts {
	w := &s.g.waits
	both := s.both.Step()
	opened, closed := s.life.steps()
	pinged, answered := s.asked.steps(s.g.wheel.Now)
	begun, ended := s.upload.steps()
	return facts{
		opened:      opened,
		heard:       max(both, s.heardOnly.Step()),
		active:      s.lastActive(),
		pinged:      pinged,
		answered:    answered,
		begun:       begun,
		ended:       ended,
		closed:      closed,
		idleWait:    s.g.wheel.Steps(time.Duration(s.timeout.Load())),
		messageWait: w.message,
		pingWait:    w.ping,
		pongWait:    w.pong,
		closeWait:   w.close,
		phase:       s.phase,
	}
}

// lastActive is the step of the last activity; a broadcast to all counts for all.
func (s *Session) lastActive() int64 {
	active := max(s.both.Step(), s.activeOnly.Step())
	if s.g.cfg.Activity&ActivityOut != 0 {
		active = max(active, s.g.lastBroadcast.Step())
	}
	return active
}

// SessionInfo is what can be told about a session.
type SessionInfo struct {
	ID           string
	RemoteAddr   string
	ConnectedAt  time.Time     // by the wall clock as it is now, like LastActivity
	LastActivity time.Time     // to within a step, half a tick
	Timeout      time.Duration // of inactivity
	ExpiresIn    time.Duration // if nothing happens; 0 when it is due or closing
	Closing      bool
	Reason       Reason
	Received     uint64 // data messages from the client
	Sent         uint64 // data messages accepted for it
}

// Info returns a snapshot.
func (s *Session) Info() SessionInfo {
	timeout := time.Duration(s.timeout.Load())
	idle := max(0, s.g.wheel.Elapsed()-time.Duration(s.lastActive())*s.g.wheel.Step())
	now := time.Now()
	info := SessionInfo{
		ID:           s.ID(),
		RemoteAddr:   s.RemoteAddr(),
		ConnectedAt:  now.Add(-s.age()),
		LastActivity: now.Add(-idle),
		Timeout:      timeout,
		Reason:       s.Reason(),
		Received:     s.received.Load(),
		Sent:         s.sent.Load(),
	}
	info.Closing = info.Reason != ReasonNone
	if !info.Closing {
		info.ExpiresIn = max(0, timeout-idle)
	}
	return info
}
