package main

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// live is what changes while the program runs: certificates and tokens, whose files are
// looked at once a second, and on SIGHUP the settings that applies names.
type live struct {
	public, admin *certificate       // nil: no TLS
	tokens        *watched[[]string] // nil: none are needed
	log           zerolog.Logger
	out           *logWriter
	current       *resolved
	resolve       func(context.Context) (*resolved, error) // reads the settings again
}

// newLive starts with the settings r.
func newLive(r *resolved, again func(context.Context) (*resolved, error), out *logWriter) *live {
	l := &live{current: r, resolve: again, out: out, log: newLogger(out, &r.options)}
	if r.pair != nil {
		l.public = newCertificate(r.pair, r.tlsCert, r.tlsKey, "public", l.log)
	}
	if r.adminPair != nil {
		l.admin = newCertificate(r.adminPair, r.adminTLSCert, r.adminTLSKey, "admin", l.log)
	}
	if r.tokens != nil {
		l.tokens = &watched[[]string]{
			kind: "Admin tokens", parse: parseTokens, accept: func(_, _ *[]string) error { return nil }, log: l.log,
		}
		l.tokens.replace(&r.tokens, r.tokenFiles()...)
	}
	return l
}

// adminTokens returns what reads the tokens that are good now; nil: none are needed.
func (l *live) adminTokens() func() []string {
	if l.tokens == nil {
		return nil
	}
	return func() []string { return *l.tokens.value.Load() }
}

// during runs serve, and itself meanwhile.
func (l *live) during(serve func() error) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Ignore(syscall.SIGHUP) // while the rest ends
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx, hangups) })
	defer running.Wait()
	defer stop()
	return serve()
}

// run looks at files until ctx ends, and reads the settings again at each hangup. A read
// that hangs does not keep it beyond ctx.
func (l *live) run(ctx context.Context, hangups <-chan os.Signal) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			l.reload(ctx)
		case <-ticker.C:
			l.look(ctx)
		}
	}
}

func (l *live) look(ctx context.Context) {
	for _, c := range l.certificates() {
		c.look(ctx)
	}
	if l.tokens != nil {
		l.tokens.look(ctx)
	}
}

func (l *live) certificates() (all []*certificate) {
	for _, c := range []*certificate{l.public, l.admin} {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// metrics tell of what is live.
func (l *live) metrics() []prometheus.Collector {
	all := []prometheus.Collector{l.out.metric()}
	for _, c := range l.certificates() {
		all = append(all, c.metric())
	}
	return all
}

// reload reads the settings again. It applies those that can change, and names those
// that have changed and cannot. If one is bad, nothing changes.
func (l *live) reload(ctx context.Context) {
	next, err := l.resolve(ctx)
	if ctx.Err() != nil {
		return // the program ends, and the settings need not be wrong
	}
	if err == nil {
		err = errors.Join(l.acceptable(l.public, next.pair), l.acceptable(l.admin, next.adminPair))
	}
	if err != nil {
		l.log.Error().Err(err).Msg("Settings not reloaded, the old ones stay")
		return
	}
	applied, kept := []string{}, []string{}
	for i := range settings {
		switch name := settings[i].name; {
		case l.current.values[i].text == next.values[i].text:
		case l.applies(name, next):
			applied = append(applied, name)
			l.current.values[i] = next.values[i]
		default:
			kept = append(kept, name)
		}
	}
	l.apply(next)
	l.log.Info().Strs("changed", applied).Msg("Settings reloaded")
	if len(kept) > 0 {
		l.log.Warn().Strs("settings", kept).Msg("Settings that changed and need a restart")
	}
}

// applies reports whether the setting's new value can be taken while the program runs.
// TLS and tokens can change, but not begin or end.
func (l *live) applies(name string, next *resolved) bool {
	switch name {
	case "log-level":
		return true
	case "tls-cert", "tls-key":
		return l.public != nil && next.pair != nil
	case "admin-tls-cert", "admin-tls-key":
		return l.admin != nil && next.adminPair != nil
	case "admin-token", "admin-token-file":
		return l.tokens != nil && next.tokens != nil
	}
	return false
}

func (l *live) acceptable(c *certificate, next *tls.Certificate) error {
	if c == nil || next == nil {
		return nil
	}
	return acceptPair(c.value.Load(), next)
}

func (l *live) apply(next *resolved) {
	setLogLevel(&next.options)
	if l.public != nil && next.pair != nil {
		l.public.renew(next.pair, next.tlsCert, next.tlsKey)
	}
	if l.admin != nil && next.adminPair != nil {
		l.admin.renew(next.adminPair, next.adminTLSCert, next.adminTLSKey)
	}
	if l.tokens != nil && next.tokens != nil {
		l.tokens.replace(&next.tokens, next.tokenFiles()...)
	}
}
