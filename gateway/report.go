package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// How many connect, and how many disconnect, lines are logged in a second, and at once,
// and how many of refusals; the rest are counted.
const (
	linesPerSecond    = 100
	refusalsPerSecond = 10
)

// sampler leaves lines out, and counts them. It goes by the monotonic clock:
// zerolog's own is silent until a wall clock that was set back has caught up.
type sampler struct {
	limiter *rate.Limiter
	g       *Gateway
}

// Sample implements zerolog.Sampler.
func (s sampler) Sample(zerolog.Level) bool {
	if s.limiter.Allow() {
		return true
	}
	s.g.omitted.Add(1)
	s.g.metrics.logLines.Inc()
	return false
}

func (g *Gateway) sampled(perSecond int) zerolog.Logger {
	return g.log.Sample(sampler{rate.NewLimiter(rate.Limit(perSecond), perSecond), g})
}

// logPause reports time in which the process did not run. Shorter pauses than a second are
// summed up.
func (g *Gateway) logPause(d time.Duration) {
	if g.pause += d; g.pause < time.Second {
		return
	}
	g.log.Warn().Float64("paused_seconds", g.pause.Seconds()).
		Msgf("Did not run for %.1f s; no timeout counts this time", g.pause.Seconds())
	g.pause = 0
}

// logPanic reports a panic of a Hook.
func (g *Gateway) logPanic(value any, stack []byte) {
	g.log.Error().Str("panic", fmt.Sprint(value)).Bytes("stack", stack).Msg("Session handler panicked")
}

func (g *Gateway) logOpened(s *Session) {
	if e := g.openedLog.Info(); e != nil {
		e.Str("session", s.ID()).Str("remote", s.RemoteAddr()).
			Int64("total_connections", g.hub.count.Load()).Msg("WebSocket connected")
	}
}

func (g *Gateway) logClosed(s *Session, r Reason) {
	if e := g.closedLog.Info(); e != nil {
		e.Str("session", s.ID()).Str("remote", s.RemoteAddr()).Str("reason", r.String()).
			Float64("duration_seconds", s.age().Seconds()).Uint64("received", s.received.Load()).Uint64("sent", s.sent.Load()).
			Int64("total_connections", g.hub.count.Load()).Msg("WebSocket disconnected")
	}
}

// logRejected says whom we refused, and why. Of what the client chose a line has little.
func (g *Gateway) logRejected(r *http.Request, no *rejection) {
	e := g.refusedLog.Info()
	if e == nil {
		return
	}
	e.Str("reason", no.label).Str("remote", r.RemoteAddr)
	switch no {
	case rejectOrigin:
		e.Str("origin", excerpt(strings.Join(r.Header["Origin"], ", "))).Str("host", excerpt(r.Host))
	case rejectOther:
		e.Str("host", excerpt(r.Host))
	}
	e.Msg("Handshake rejected")
}

// excerpt is the beginning of text.
func excerpt(text string) string {
	const most = 128
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// report sums up, a line per tick if there is something to say, until ctx ends.
func (g *Gateway) report(ctx context.Context) {
	ticker := time.NewTicker(g.cfg.EffectiveTick())
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		if n := g.expired.Swap(0); n > 0 {
			g.log.Info().Int64("expired", n).Int64("total_connections", g.hub.count.Load()).
				Msgf("Cleaned up %d inactive session(s)", n)
		}
		if n := g.omitted.Swap(0); n > 0 {
			g.log.Info().Int64("lines", n).Msg("Connect, disconnect and refusal lines left out")
		}
	}
}
