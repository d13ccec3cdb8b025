package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/api"
)

// serveUntilSignal serves until the first SIGTERM or SIGINT, or the end of ctx, and
// returns after the drain. A second signal makes it return exitCode 128+signal at
// once, with everything still running: the caller exits.
func serveUntilSignal(ctx context.Context, o *options, l *live) error {
	log := l.log
	// A closed stderr does not end us, nor does a hangup that comes before or after live
	// has ears for it. This lasts beyond the return, until the process has ended.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	ended := make(chan error, 1)
	go func() { ended <- l.during(func() error { return serve(ctx, o, l) }) }()
	for {
		select {
		case err := <-ended:
			return err
		case got := <-signals:
			if ctx.Err() != nil {
				log.Warn().Stringer("signal", got).Msg("Second signal, ending at once")
				number, _ := got.(syscall.Signal)
				return exitCode(128 + int(number))
			}
			log.Info().Stringer("signal", got).Msg("Stopping; a second signal ends at once")
			stop()
		}
	}
}

// serve opens the listeners, runs the gateway until ctx ends or a listener fails,
// drains, and closes the listeners after that: who comes during the drain is told
// so. Nothing it started is left when it returns.
func serve(ctx context.Context, o *options, l *live) error {
	files, log := o.files(), l.log
	s, err := open(ctx, o, files.handshakes(), log)
	if err != nil {
		return err
	}
	defer s.closeListeners()
	if err := limitSessions(o, newCapacity(o, files, systemMemory().limit), log); err != nil {
		return err
	}
	limitMemory(log)
	setOutboxBudget(o)
	warnOfAnyHost(o, log)
	warnOfSmallBudget(o, log)
	defer runtime.KeepAlive(newBallast())
	o.gateway.Logger = log
	g, err := gateway.New(o.gateway)
	if err != nil {
		return err
	}
	g.Registry().MustRegister(l.metrics()...)
	s.live = l
	return s.run(ctx, g, o)
}

// warnOfAnyHost speaks of DNS rebinding: a page whose own name leads to this machine.
func warnOfAnyHost(o *options, log zerolog.Logger) {
	if !isLoopback(o.listen) && len(o.gateway.AllowHosts) == 0 && len(o.gateway.AllowOrigins) == 0 {
		log.Warn().Msg("Any web page can connect under a host name that points to this machine (DNS rebinding); set allow-host or allow-origin")
	}
}

// warnOfSmallBudget speaks of a budget that the first long message exceeds by itself.
func warnOfSmallBudget(o *options, log zerolog.Logger) {
	if budget, longest := o.gateway.PartialBudget, o.gateway.MaxMessage; budget != 0 && budget < longest {
		log.Warn().Int("partial_budget", budget).Int("max_message", longest).
			Msg("The partial budget is less than one message of max-message: clients that send one slowly are closed")
	}
}

// listeners are the addresses.
type listeners struct {
	public        *handshakes
	admin, health *lobby // health is nil if admin serves it alone
	live          *live
	metrics       *doorMetrics
	log           zerolog.Logger
}

// open takes all addresses, or none.
func open(ctx context.Context, o *options, mostHandshakes int, log zerolog.Logger) (*listeners, error) {
	s := &listeners{metrics: newDoorMetrics(), log: log}
	public, err := s.take(ctx, "listen", o.listen, o.gateway.Listen)
	if err != nil {
		return nil, err
	}
	s.public = newHandshakes(public, mostHandshakes, o, s.metrics, log)
	if s.admin, err = s.takeLobby(ctx, "admin-listen", o.adminListen, o.maxAdminConnections, adminEvictAfter); err == nil && o.healthListen != "" {
		s.health, err = s.takeLobby(ctx, "health-listen", o.healthListen, healthFiles, healthEvictAfter)
	}
	if err != nil {
		s.closeListeners()
		return nil, err
	}
	return s, nil
}

// take listens on the address of a setting.
func (s *listeners) take(ctx context.Context, setting, addr string,
	listen func(ctx context.Context, network, addr string) (net.Listener, error),
) (net.Listener, error) {
	l, err := listen(ctx, "tcp", addr)
	if err != nil {
		return nil, listenFault(setting, addr, err)
	}
	return persist(l, setting, s.metrics.acceptErrors, s.log), nil
}

func (s *listeners) takeLobby(ctx context.Context, setting, addr string, most int, evictAfter time.Duration) (*lobby, error) {
	l, err := s.take(ctx, setting, addr, new(net.ListenConfig).Listen)
	if err != nil {
		return nil, err
	}
	return newLobby(l, most, evictAfter, s.metrics.evicted), nil
}

// listenFault says why addr cannot be had, once.
func listenFault(setting, addr string, err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("%s: cannot listen on %q: %w", setting, addr, err)
}

// closeListeners may find them closed by their servers; so be it.
func (s *listeners) closeListeners() {
	_ = s.public.Close()
	for _, l := range []*lobby{s.admin, s.health} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// run serves g on all listeners until ctx ends or one fails.
func (s *listeners) run(ctx context.Context, g *gateway.Gateway, o *options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	panics := newPanics(g.Registry(), s.log)
	public, admin := s.publicServer(g, o, panics), s.adminServer(g, panics)
	servers := []*http.Server{public, admin}
	s.metrics.register(g.Registry(), s.public, s.admin)

	var drained, scavenging sync.WaitGroup
	faults := make(chan error, 4) // as many as there are senders
	drained.Go(func() {
		faults <- g.Run(ctx)
		stop() // in case it never began
	})
	scavenger := newScavenger(g, s.log)
	scavenging.Go(func() { scavenger.run(ctx) })
	awaitReady(ctx, g) // so that nobody is refused for coming early

	var serving sync.WaitGroup
	accept := func(name string, serve func() error) {
		serving.Go(func() {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				faults <- fmt.Errorf("%s: %w", name, err)
				stop()
			}
		})
	}
	accept("listen", func() error { return serveOn(s.public, public) })
	accept("admin-listen", func() error { return serveOn(s.admin, admin) })
	if s.health != nil {
		health := s.lobbyServer(s.health, prompt(s.health, panics.guard(api.Health(g))))
		servers = append(servers, health)
		accept("health-listen", func() error { return serveOn(s.health, health) })
		s.log.Info().Stringer("addr", s.health.Addr()).Msg("listening for health checks")
	}
	s.log.Info().Stringer("addr", s.public.Addr()).Stringer("admin", s.admin.Addr()).
		Bool("tls", s.live.public != nil).Bool("admin_tls", s.live.admin != nil).Str("version", metricsVersion()).Msg("listening")

	drained.Wait()
	shutDown(servers...)
	serving.Wait()
	scavenging.Wait()
	close(faults)
	var all []error
	for fault := range faults {
		all = append(all, fault)
	}
	return errors.Join(all...)
}

// serveOn speaks TLS if the server has it.
func serveOn(l net.Listener, server *http.Server) error {
	if server.TLSConfig != nil {
		return server.ServeTLS(l, "", "")
	}
	return server.Serve(l)
}

// awaitReady returns when g accepts sessions, which it does right after Run began.
func awaitReady(ctx context.Context, g *gateway.Gateway) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !g.Ready() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// shutDown ends servers that have no session left: answers on their way have a
// second, with a context of their own since the program's has ended.
func shutDown(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		})
	}
	all.Wait()
}

// publicServer serves the clients. It has no timeouts of its own: the listener ends
// what has not become a session in time.
func (s *listeners) publicServer(g *gateway.Gateway, o *options, p *panics) *http.Server {
	server := s.server(newPublicHandler(g, o.echo, p))
	server.MaxHeaderBytes = 4096 // net/http adds 4096: the header limit is 8 KiB
	server.ConnState = s.public.changed
	server.TLSConfig = s.live.public.config()
	return server
}

// adminServer serves operators and their programs.
func (s *listeners) adminServer(g *gateway.Gateway, p *panics) *http.Server {
	handler := api.New(api.Options{Gateway: g, Tokens: s.live.adminTokens(), Version: metricsVersion()})
	server := s.lobbyServer(s.admin, prompt(s.admin, inTurn(s.admin, p.guard(handler))))
	server.TLSConfig = s.live.admin.config()
	server.MaxHeaderBytes = adminHeaderBytes
	server.ReadTimeout = 30 * time.Second
	return server
}

// adminHeaderTimeout is how long a request's header may take.
const adminHeaderTimeout = 5 * time.Second

// lobbyServer serves the connections of l.
func (s *listeners) lobbyServer(l *lobby, handler http.Handler) *http.Server {
	server := s.server(handler)
	server.MaxHeaderBytes = 4096
	server.ReadHeaderTimeout = adminHeaderTimeout
	server.ReadTimeout = adminHeaderTimeout
	server.WriteTimeout = time.Minute
	server.IdleTimeout = 2 * time.Minute // longer than between two scrapes
	server.ConnState = l.state
	server.ConnContext = withGuest
	return server
}

// server is what all have in common. HTTP/2 has no upgrade that we know.
func (s *listeners) server(handler http.Handler) *http.Server {
	server := &http.Server{
		Handler:                      handler,
		Protocols:                    new(http.Protocols),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a 404 like the rest
		ErrorLog:                     slog.NewLogLogger(newDebugHandler(s.log), slog.LevelDebug),
	}
	server.Protocols.SetHTTP1(true)
	return server
}
