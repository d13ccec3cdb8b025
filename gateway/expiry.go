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
		Deadline: func(s *Session) int64 { at, _ := s.facts().next(); return at },
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

// due does what s's deadline asks for. The wheel files s again afterwards.
func (g *Gateway) due(s *Session) {
	f := s.facts()
	deadline, do := f.next()
	if do == actPing && s.conn.Backlogged() {
		f.pingWait = 0 // the ping has to wait, and no other deadline waits for it
		deadline, do = f.next()
	}
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
