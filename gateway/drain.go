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

// leave is the time before a drain: whoever asks is told that we are not ready, and who
// has not heard of it yet can still connect.
func (g *Gateway) leave() {
	g.leaving.Store(true)
	if g.cfg.DrainWait > 0 {
		g.log.Info().Float64("wait_seconds", g.cfg.DrainWait.Seconds()).Msg("Not ready any more; the drain begins after drain-wait")
		time.Sleep(g.cfg.DrainWait)
	}
	g.draining.Store(true)
}

// drain closes all sessions, longest idle first, spread evenly over the drain
// window (see pace), then ends what is left the hard way. It returns when all are gone. New
// sessions must be refused already (g.draining).
func (g *Gateway) drain() {
	sessions := g.hub.all()
	g.log.Info().Int("total_connections", len(sessions)).Float64("window_seconds", g.cfg.DrainWindow.Seconds()).Msg("Draining")
	slices.SortFunc(sessions, func(a, b *Session) int { return cmp.Compare(a.lastActive(), b.lastActive()) })
	start := time.Now()
	closes := newPace(g.cfg.DrainWindow, len(sessions))
	for _, s := range sessions {
		// Waits shorter than this cost more than they smooth.
		if ahead := closes.ahead(time.Since(start)); ahead > 5*time.Millisecond && g.goneWithin(ahead) {
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

const (
	// drainGrace is how much longer than its window a drain may take to go on at its pace
	// after a pause. It is of the five seconds that docs/operations.md adds to the time to stop.
	drainGrace = 4 * time.Second
	// drainLag is what a drain makes up for at once: a processor that was busy.
	drainLag = 50 * time.Millisecond
)

// pace spreads closes evenly. Times are since the drain's beginning.
type pace struct {
	every time.Duration // between two
	end   time.Duration // when the last is due at the latest
	at    time.Duration // when the next is due
	left  int           // from the next on
}

func newPace(window time.Duration, n int) pace {
	return pace{every: window / time.Duration(max(n, 1)), end: window + drainGrace, left: n}
}

// ahead returns how long from now on the next close has to wait, and moves on to the one
// after it. What was missed, in a pause of the process, is not made up for in a burst: the
// rest keeps its distances, or as much of them as there is time for.
func (p *pace) ahead(now time.Duration) time.Duration {
	if now-p.at > drainLag {
		p.at = now
	}
	wait := p.at - now
	p.at += min(p.every, max(0, p.end-p.at)/time.Duration(max(p.left, 1)))
	p.left--
	return wait
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
