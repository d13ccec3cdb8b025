package gateway

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// waits are the configured durations in steps of the wheel.
type waits struct{ message, ping, pong, close int64 }

func (g *Gateway) newWheel() error {
	w, err := wheel.New(wheel.Config[Session]{
		Tick:     g.cfg.EffectiveTick(),
		Rate:     g.cfg.ExpiryRate,
		Deadline: func(s *Session) int64 { at, _ := s.facts().next(); return at },
		Fire:     g.due,
		Panicked: func(s *Session, value any) {
			g.log.Error().Str("session", s.ID()).Interface("panic", value).Bytes("stack", debug.Stack()).
				Msg("Session expiry panicked")
		},
	})
	if err != nil {
		return err
	}
	g.wheel = w
	g.waits = waits{message: w.Steps(g.cfg.MessageTimeout), pong: w.Steps(g.cfg.PongTimeout), close: w.Steps(g.cfg.CloseWait)}
	if g.cfg.PingInterval > 0 {
		g.waits.ping = w.Steps(g.cfg.PingInterval)
	}
	return nil
}

// due does what s's deadline asks for. The wheel files s again afterwards.
func (g *Gateway) due(s *Session) {
	f := s.facts()
	deadline, do := f.next()
	if deadline > g.wheel.Now() {
		return // touched this very moment
	}
	switch do {
	case actAbort:
		s.conn.Abort()
	case actPing:
		s.pinged.Store(g.wheel.Now())
		// If the outbox is full the peer is not reading: the pong wait, or the
		// write timeout before it, ends the session.
		_ = s.conn.Send(g.pingFrame)
	case actMessageTimeout:
		s.close(ReasonMessageTimeout, "")
	case actPongTimeout:
		s.close(ReasonPongTimeout, "")
	case actExpire:
		timeout := time.Duration(s.timeout.Load())
		if !s.close(ReasonIdleTimeout, fmt.Sprintf("idle=%.0f", timeout.Seconds())) {
			return
		}
		// The step is when the last activity may have been at the earliest, so
		// this is the most the session can be late.
		g.metrics.lateness.Observe((g.wheel.Elapsed() - time.Duration(f.active)*g.wheel.Step() - timeout).Seconds())
		g.metrics.expired.Inc()
		g.expired.Add(1)
	}
}

// newPing builds the frame all pings share; its payload is empty because an
// answer is told from silence, not from another answer.
func newPing() *wsconn.Frame {
	f, err := wsconn.NewFrame(wsconn.Ping, nil)
	if err != nil {
		panic(err) // an empty ping is always valid
	}
	return f
}
