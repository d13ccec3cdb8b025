package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// Gateway holds the sessions. Mount it where clients connect and call Run.
type Gateway struct {
	// Static after New.
	cfg        Config
	made       time.Time // sessions measure their beginning from it
	log        zerolog.Logger
	openedLog  zerolog.Logger // sampled
	closedLog  zerolog.Logger // sampled
	refusedLog zerolog.Logger // sampled
	hosts      []hostName     // of cfg.AllowHosts
	transport  wsconn.Transport
	budgets    *wsconn.Budgets // of transport
	wheel      *wheel.Wheel[Session]
	waits      waits
	pinger     *pinger
	metrics    *metrics

	hub           hub
	publish       sync.Mutex // one broadcast after the other
	lastBroadcast wheel.Stamp

	ran      atomic.Bool // Run was called
	started  atomic.Bool // sessions are accepted, until draining
	leaving  atomic.Bool // not ready any more; sessions are accepted until draining
	draining atomic.Bool
	expired  atomic.Int64 // since the last report
	omitted  atomic.Int64 // since the last report
	vitals   vitals

	pause time.Duration // not logged yet; the wheel's turner has it
}

// New checks cfg and builds a Gateway that starts nothing until Run.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, made: time.Now(), log: cfg.Logger, hosts: allowedHosts(cfg.AllowHosts), pinger: newPinger(),
		budgets: wsconn.NewBudgets(int64(cfg.PartialBudget), int64(cfg.OutboxBudget)),
	}
	times := newLoopTimes()
	transport, err := wsconn.New(cfg.Transport, wsconn.Config{
		MaxMessage:           cfg.MaxMessage,
		OutboxMessages:       cfg.OutboxMessages,
		OutboxBytes:          cfg.OutboxBytes,
		Budgets:              g.budgets,
		WriteTimeout:         cfg.WriteTimeout,
		SendBuffer:           cfg.SendBuffer,
		HandshakeTimeout:     cfg.HandshakeTimeout,
		Compression:          cfg.Compression,
		CompressionThreshold: cfg.CompressionThreshold,
		IOUring:              cfg.IOUring,
		OnPanic:              g.logPanic,
		Turn:                 func(d time.Duration) { times.turn.Observe(d.Seconds()) },
		Lag:                  func(d time.Duration) { times.lag.Observe(d.Seconds()) },
	})
	if err != nil {
		return nil, err
	}
	g.transport = transport
	g.hub.limit = int64(cfg.MaxSessions)
	if g.hub.node = cfg.Node; g.hub.node == 0 {
		g.hub.node = randomNode()
	}
	if err := g.newWheel(); err != nil {
		return nil, err
	}
	g.metrics = newMetrics(g)
	g.metrics.registry.MustRegister(newTransportFigures(g.transport), times.turn, times.lag)
	g.openedLog, g.closedLog = g.sampled(linesPerSecond), g.sampled(linesPerSecond)
	g.refusedLog = g.sampled(refusalsPerSecond)
	return g, nil
}

// Run accepts sessions until Config.DrainWait after ctx has ended, then drains and returns
// when the last session has gone: after Config.DrainWindow, CloseWait and two ticks, and if
// an upgrade hangs HandshakeTimeout, and if the process paused drainGrace, at the most. It
// may be called once.
func (g *Gateway) Run(ctx context.Context) error {
	if g.ran.Swap(true) {
		return errors.New("gateway: Run was called before")
	}
	if _, goroutines := g.transport.(*wsconn.Goroutine); g.cfg.IOUring && !goroutines {
		if err := wsconn.IOUring(); err != nil {
			g.log.Info().Err(err).Msg("Each send is a system call of its own")
		}
	}
	g.wheel.Start()
	g.started.Store(true)
	g.log.Info().Float64("tick_seconds", g.cfg.EffectiveTick().Seconds()).
		Msgf("Started session expiry with %.1f minute timeout", g.cfg.SessionTimeout.Minutes())
	reporting, stopReport := context.WithCancel(context.WithoutCancel(ctx))
	var reporter sync.WaitGroup
	reporter.Go(func() { g.report(reporting) })
	watching, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { g.watchVitals(watching) })

	<-ctx.Done()
	g.leave()
	g.drain()
	g.budgets.Wait()
	stopWatch()
	watcher.Wait()
	g.wheel.Stop()
	stopReport()
	reporter.Wait()
	g.log.Info().Msg("Stopped session expiry")
	return nil
}

// Ready reports whether new sessions are to be sent here: Run is on and its context has
// not ended. For Config.DrainWait after that they are accepted all the same.
func (g *Gateway) Ready() bool { return g.started.Load() && !g.leaving.Load() }

// Full reports whether Config.MaxSessions sessions are open. Once it has, it does so
// until it sees a twentieth of them free, at least one: a balancer that asks every few
// seconds does not see each client that comes or goes.
func (g *Gateway) Full() bool { return g.hub.full() }

// ServeHTTP upgrades a request to a session, or answers why not: 400, 403, 405,
// 421, 426, 503 with Retry-After, or 500 where w has no connection to give away (see
// http.Hijacker). It returns at once; the session lives on.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.upgrade(w, r, false) }

// Echo is like ServeHTTP for sessions that are sent back what they send, on the
// same paths: for conformance and load tests.
func (g *Gateway) Echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.upgrade(w, r, true) })
}

// Session returns the session with this id, or nil when there is none (any more).
func (g *Gateway) Session(id string) *Session { return g.hub.find(id) }

// Sessions returns up to limit sessions, and a cursor to go on with; cursor 0
// begins. A next of 0 is the end. Each session that stays open is listed once.
func (g *Gateway) Sessions(cursor uint32, limit int) (sessions []*Session, next uint32) {
	sessions, next, more := g.hub.page(cursor, limit)
	if !more {
		return sessions, 0
	}
	return sessions, next
}

// Stats are the gateway's figures at a glance; see Registry for all of them.
type Stats struct {
	Sessions int   // open now
	Opened   int64 // since the start
	Limit    int   // 0: none
	Leaving  bool  // Run's context has ended: no new session is to be sent here
	Draining bool  // sessions are being closed for that
	Wheel    wheel.Stats
}

// Stats returns a snapshot.
func (g *Gateway) Stats() Stats {
	return Stats{
		Sessions: int(g.hub.count.Load()),
		Opened:   g.hub.opened.Load(),
		Limit:    int(g.hub.limit),
		Leaving:  g.leaving.Load(),
		Draining: g.draining.Load(),
		Wheel:    g.wheel.Stats(),
	}
}

// Registry holds the gateway's metrics; callers may register their own too.
func (g *Gateway) Registry() *prometheus.Registry { return g.metrics.registry }

// MaxMessage is the longest message either direction takes, in bytes.
func (g *Gateway) MaxMessage() int { return g.cfg.MaxMessage }
