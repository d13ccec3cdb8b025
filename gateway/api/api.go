// Package api serves a gateway's operators and backends over HTTP: health,
// metrics, and the API described by its own /openapi.json. It belongs on a
// listener of its own that clients cannot reach.
package api

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wheelgate/wheelgate/gateway"
)

// Options is what New needs.
type Options struct {
	Gateway *gateway.Gateway
	// Tokens returns the bearer tokens (RFC 6750) of which everything but health asks
	// for one; they may change. If it is nil only requests to a loopback name are
	// served, so that no web page can reach the API by pointing a name of its own at
	// this machine.
	Tokens func() []string
	// Version is told in the API's description and in wheelgate_build_info.
	Version string
}

// New returns the handler, and registers the process's metrics beside the
// gateway's, so it is called once for a gateway.
func New(o Options) http.Handler {
	registerProcess(o)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gateway.Registry(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	registerOperations(mux, o)
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(denyCrossOrigin))
	registerProfiles(mux, crossOrigin)
	guarded := crossOrigin.Handler(problems(mux))
	health := healthHandler(o.Gateway)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/livez" || r.URL.Path == "/readyz":
			health.ServeHTTP(w, r)
		case o.Tokens == nil && !isLoopback(r.Host):
			writeProblem(w, http.StatusForbidden, "without an admin token only loopback host names are served")
		case o.Tokens != nil && !hasToken(r, o.Tokens()):
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, http.StatusUnauthorized, "the admin token is needed: Authorization: Bearer <token>")
		case !validQuery(r):
			writeProblem(w, http.StatusBadRequest, "the query is malformed: "+r.URL.RawQuery)
		default:
			guarded.ServeHTTP(w, r)
		}
	})
}

// validQuery reports whether all of the query can be read: what cannot be is not left out.
func validQuery(r *http.Request) bool {
	_, err := url.ParseQuery(r.URL.RawQuery)
	return err == nil
}

func denyCrossOrigin(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, http.StatusForbidden, "web pages of other origins may not use this API")
}

func registerOperations(mux *http.ServeMux, o Options) {
	config := huma.DefaultConfig("wheelgate", o.Version)
	config.DocsPath = ""    // its page loads scripts from elsewhere
	config.SchemasPath = "" // they are in openapi.json; of any other name it serves null
	config.CreateHooks = nil
	config.RejectUnknownQueryParameters = true
	if o.Tokens != nil {
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
		config.Security = []map[string][]string{{"token": {}}}
	}
	a := humago.New(mux, config)
	s := server{o.Gateway, o.Tokens != nil, newCursors()}
	s.registerSending(a)
	s.registerSessions(a)
}

func registerProcess(o Options) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "wheelgate", Name: "build_info", Help: "Always 1; the version is a label.",
		ConstLabels: prometheus.Labels{"version": o.Version},
	})
	build.Set(1)
	o.Gateway.Registry().MustRegister(build, collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// healthHandler answers /livez with 503 when something in the process has stopped for
// good, and /readyz with 503 and the reason when no new session is to be sent here.
func healthHandler(g *gateway.Gateway) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.Alive(); err != nil {
			writeProblem(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := unready(g); why != "" {
			writeProblem(w, http.StatusServiceUnavailable, "not ready: "+why)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return problems(mux)
}

// Health serves /livez and /readyz alone, to anybody: for a listener of its own.
func Health(g *gateway.Gateway) http.Handler { return healthHandler(g) }

// unready is why g should get no new session, as the refused handshake says it, or "".
func unready(g *gateway.Gateway) string {
	switch {
	case g.Ready() && !g.Full():
		return ""
	case g.Ready():
		return "at capacity"
	case g.Stats().Leaving:
		return "draining"
	default:
		return "starting"
	}
}

// hasToken compares with all tokens, in a time that tells nothing of them but their lengths.
func hasToken(r *http.Request, tokens []string) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	same := 0
	for _, token := range tokens {
		same |= subtle.ConstantTimeCompare([]byte(given), []byte(token))
	}
	return strings.EqualFold(scheme, "Bearer") && same == 1
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// problems turns the mux's own answers to what it has no pattern for into problem
// documents: 405, and 404 for the rest. It is not asked about "//x", which it would
// redirect to "/x".
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusNotFound
		if isClean(r.URL.EscapedPath()) {
			h, pattern := mux.Handler(r)
			if pattern != "" {
				mux.ServeHTTP(w, r)
				return
			}
			answer := statusOnly{header: http.Header{}}
			h.ServeHTTP(&answer, r)
			if answer.status == http.StatusMethodNotAllowed {
				status = answer.status
				w.Header().Set("Allow", answer.header.Get("Allow"))
			}
		}
		writeProblem(w, status, r.Method+" "+r.URL.Path+" is not part of this API")
	})
}

// isClean reports whether p has no empty, "." or ".." part but an empty last one.
func isClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}

// statusOnly is a response writer that keeps the status and header and forgets
// the body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// writeProblem answers with a problem document (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.NewError(status, detail))
}
