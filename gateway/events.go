package gateway

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// inbound is the wsconn.Handler of a Session: what its connection tells it.
type inbound struct{ *Session }

var _ wsconn.Handler = inbound{}

// Message implements wsconn.Handler.
func (in inbound) Message(op wsconn.Opcode, payload []byte) {
	s := in.Session
	s.hear(ActivityIn)
	s.received.Add(1)
	s.g.metrics.received.Inc()
	if !s.life.isOpen() {
		return // read only to let the close frame through
	}
	if s.echo {
		// An error has closed the session already, or found it closed.
		_ = s.Send(op, payload)
		return
	}
	if s.g.cfg.Hooks.Message != nil {
		s.g.cfg.Hooks.Message(s, op, payload)
	}
}

// Ping implements wsconn.Handler: it answers (RFC 6455 section 5.5.2).
func (in inbound) Ping(payload []byte) {
	in.hear(ActivityPing)
	if f, err := wsconn.NewFrame(wsconn.Pong, payload); err == nil {
		// A full outbox drops the pong: a peer that pings and does not read is
		// judged by what else it is sent.
		_ = in.conn.Send(f)
	}
}

// Heard implements wsconn.Handler: bytes are a sign of life, also those of a
// message that takes long to arrive, and of a pong.
func (in inbound) Heard() { in.hear(0) }

// Unfinished implements wsconn.Handler: a message may take its time, not all of it.
func (in inbound) Unfinished(begun bool) {
	s, now := in.Session, in.g.wheel.Now()
	if begun {
		if !s.upload.begin(now) { // else the deadline has become a later one
			s.g.wheel.Reschedule(&s.entry)
		}
		return
	}
	s.upload.end(now)
	if s.facts().pongDue() {
		s.g.wheel.Reschedule(&s.entry)
	}
}

// hear stamps the session: the peer lives, and was active if kind is declared to be.
// The first sign of life after a ping brings the next ping's deadline.
func (s *Session) hear(kind Activity) {
	stamp := &s.heardOnly
	if s.g.cfg.Activity&kind != 0 {
		stamp = &s.both
	}
	s.g.wheel.CatchUp()
	if before := s.g.wheel.Touch(stamp); s.asked.isAfter(before) {
		s.g.wheel.Reschedule(&s.entry)
	}
}

var violationReasons = [...]Reason{
	wsconn.Protocol:         ReasonProtocol,
	wsconn.InvalidUTF8:      ReasonBadUTF8,
	wsconn.TooBig:           ReasonTooBig,
	wsconn.Internal:         ReasonInternal,
	wsconn.OverBudget:       ReasonPartialBudget,
	wsconn.OutboxOverBudget: ReasonOutboxBudget,
}

// Violation implements wsconn.Handler.
func (in inbound) Violation(v wsconn.Violation) { in.close(violationReasons[v], "") }

// PeerClosed implements wsconn.Handler: it echoes the code (RFC 6455 section 5.5.1).
func (in inbound) PeerClosed(code uint16, _ string) {
	in.end(closing{reason: ReasonPeerClosed, code: code})
}

// Closed implements wsconn.Handler.
func (in inbound) Closed(end wsconn.End) {
	s := in.Session
	switch {
	case errors.Is(end.Err, wsconn.ErrWriteTimeout):
		s.markClosing(ReasonSlowConsumer)
	case errors.Is(end.Err, wsconn.ErrOutboxBudget):
		s.markClosing(ReasonOutboxBudget)
	}
	s.markClosing(ReasonLost)
	s.g.wheel.Cancel(&s.entry)
	s.g.hub.remove(s)
	reason := s.Reason()
	s.g.metrics.ended(reason, s.age(), end.Unsent)
	s.g.logClosed(s, reason)
	if s.g.cfg.Hooks.Close != nil {
		s.g.cfg.Hooks.Close(s, reason)
	}
}

// newSession registers a Session for conn. The caller has reserved its place.
func (g *Gateway) newSession(conn wsconn.Conn, echo bool) *Session {
	s := &Session{
		g:         g,
		conn:      conn,
		key:       g.hub.newKey(),
		connected: time.Since(g.made),
		phase:     randomByte(),
		echo:      echo,
	}
	now := g.wheel.Now()
	s.life.open(now)
	s.asked.open(now)
	s.timeout.Store(int64(g.cfg.SessionTimeout))
	s.upload.end(0)
	for _, stamp := range []*wheel.Stamp{&s.both, &s.heardOnly, &s.activeOnly} {
		g.wheel.Touch(stamp)
	}
	// The wheel first: whoever finds the session may reschedule it.
	g.wheel.Add(&s.entry, s, s.key.slot)
	g.hub.insert(s)
	g.logOpened(s)
	if g.draining.Load() {
		// The drain may have looked over the sessions before this one was there.
		s.close(ReasonDrain, drainDelay())
	}
	if g.cfg.Hooks.Open != nil {
		g.callOpen(s)
	}
	return s
}

// callOpen keeps a panic from costing the session its end: without a Handler the
// transport could not report it.
func (g *Gateway) callOpen(s *Session) {
	defer func() {
		if v := recover(); v != nil {
			g.logPanic(v, debug.Stack())
			s.close(ReasonInternal, "")
		}
	}()
	g.cfg.Hooks.Open(s)
}
