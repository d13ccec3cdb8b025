package gateway

import (
	"errors"
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
		s.ping()
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

// ping asks for a sign of life. A peer that cannot be asked, as its outbox is full, is
// for the write timeout to judge, and asked again in the next step.
func (s *Session) ping() {
	now := s.g.wheel.Now()
	before := s.pinged.Swap(now) // the answer may be there before Send returns
	if errors.Is(s.conn.Send(s.g.pingFrame), wsconn.ErrFull) {
		s.pinged.CompareAndSwap(now, before)
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
