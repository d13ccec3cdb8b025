package main

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// panics logs and counts what an HTTP handler panics with, and ends the connection.
// net/http would write it to ErrorLog, among the noise of bad requests.
type panics struct {
	log   zerolog.Logger
	total prometheus.Counter
}

func newPanics(registry prometheus.Registerer, log zerolog.Logger) *panics {
	p := &panics{log: log, total: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "wheelgate", Name: "http_panics_total",
		Help: "Panics of HTTP handlers, each of which ended its request's connection.",
	})}
	registry.MustRegister(p.total)
	return p
}

// guard is next with its panics logged at error level.
func (p *panics) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer p.ended(r)
		next.ServeHTTP(w, r)
	})
}

// ended is to be deferred while r is served. http.ErrAbortHandler is no fault: a handler
// ends a connection with it.
func (p *panics) ended(r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		p.total.Inc()
		p.log.Error().Str("panic", fmt.Sprint(v)).Str("method", r.Method).Str("path", r.URL.Path).
			Bytes("stack", debug.Stack()).Msg("HTTP handler panicked")
	}
	panic(http.ErrAbortHandler)
}
