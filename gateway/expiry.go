package gateway

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// waits are the configured durations in steps of the wheel.
type waits struct{ message, ping, pong, close int64 }

func (g *Gateway) newWheel() error {
	w, err := wheel.New(wheel.Config[Session]{
		Tick:     g.cfg.EffectiveTick(),
		Rate:     g.cfg.ExpiryRate,
		Deadline: func(s *Session) int64 { at, _ := s.next(s.facts()); return at },
		Fire:     g.due,
		Panicked: func(s *Session, value any) {
			g.log.Error().Str("session", s.ID()).Str("panic", fmt.Sprint(value)).Bytes("stack", debug.Stack()).
				Msg("Session expiry panicked")
		},
		Paused:   g.logPause,
		Replaced: func() { g.log.Warn().Msg("Replaced a timer engine that was stuck") },
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

// next is f.next, but a due ping waits for a peer with a backlog, which would have to
// read all that first: the write timeout judges such a peer. No other deadline waits for
// the ping. It is tried again after the lesser of a ping wait and a pong wait, since a try
// in each step would take ExpiryRate from the others where many have a backlog.
func (s *Session) next(f facts) (deadline int64, do action) {
	deadline, do = f.next()
	now := s.g.wheel.Now()
	if do != actPing || deadline > now || !s.conn.Backlogged() {
		return deadline, do
	}
	retry := now + min(f.pingWait, f.pongWait)
	f.pingWait = 0
	if deadline, do = f.next(); deadline < retry {
		return deadline, do
	}
	return retry, actPing
}

// due does what s's deadline asks for. The wheel files s again afterwards.
func (g *Gateway) due(s *Session) {
	f := s.facts()
	deadline, do := s.next(f)
	if deadline > g.wheel.Now() {
		return // touched this very moment
	}
	switch do {
	case actAbort:
		s.conn.Abort()
	case actPing:
		s.ping()
	case actMessageTimeout:
		s.close(ReasonMessageTimeout, "")
	case actPongTimeout:
		s.close(ReasonPongTimeout, "")
	case actExpire:
		timeout := time.Duration(s.timeout.Load())
		// The step is when the last activity may have been at the earliest, so
		// this is the most the session can be late.
		s.expire(g.wheel.Elapsed() - time.Duration(f.active)*g.wheel.Step() - timeout)
	}
}

// expire closes s for inactivity, late by that much.
func (s *Session) expire(late time.Duration) {
	timeout := time.Duration(s.timeout.Load())
	if !s.close(ReasonIdleTimeout, fmt.Sprintf("idle=%.0f", timeout.Seconds())) {
		return
	}
	s.g.metrics.lateness.Observe(late.Seconds())
	s.g.metrics.expired.Inc()
	s.g.expired.Add(1)
}
