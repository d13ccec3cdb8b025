package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// drainDelay is the hint in a drain's close: whole seconds to wait before coming
// back, drawn so that those closed in one instant do not return in one instant.
func drainDelay() string { return fmt.Sprintf("delay=%d", randomByte()%5+1) }

// drain closes all sessions, longest idle first, spread evenly over the drain
// window, then ends what is left the hard way. It returns when all are gone. New
// sessions must be refused already (g.draining).
func (g *Gateway) drain() {
	sessions := g.hub.all()
	g.log.Info().Int("total_connections", len(sessions)).Float64("window_seconds", g.cfg.DrainWindow.Seconds()).Msg("Draining")
	slices.SortFunc(sessions, func(a, b *Session) int { return cmp.Compare(a.lastActive(), b.lastActive()) })
	start := time.Now()
	for i, s := range sessions {
		at := time.Duration(float64(g.cfg.DrainWindow) * float64(i) / float64(len(sessions)))
		// Waits shorter than this cost more than they smooth.
		if ahead := at - time.Since(start); ahead > 5*time.Millisecond && g.goneWithin(ahead) {
			break // all left by themselves
		}
		s.close(ReasonDrain, drainDelay())
	}
	// The wheel aborts each CloseWait after its close; this is for what it missed.
	end := g.cfg.CloseWait + 2*g.cfg.EffectiveTick()
	if !g.goneWithin(end) {
		left := g.hub.all()
		g.log.Warn().Int("total_connections", len(left)).Msg("Ending sessions that did not close")
		for _, s := range left {
			s.conn.Abort()
		}
		// Upgrades still on their way must be through before Wait.
		g.goneWithin(g.cfg.HandshakeTimeout)
	}
	g.transport.Wait()
	g.log.Info().Float64("took_seconds", time.Since(start).Seconds()).Msg("Drained")
}

// goneWithin waits until no session is left, at most for d.
func (g *Gateway) goneWithin(d time.Duration) bool {
	deadline := time.Now().Add(d)
	for g.hub.places.Load() > 0 {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		time.Sleep(min(left, 10*time.Millisecond))
	}
	return true
}
