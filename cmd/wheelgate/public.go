package main

import (
	"net/http"

	"github.com/wheelgate/wheelgate/gateway"
)

// publicHandler serves /ws, /echo if asked for, and nothing else. It is no ServeMux,
// which would redirect /./ws. A handshake takes few calls down to the gateway: each has
// a goroutine of net/http's, and to copy its stack to a larger one costs more than the calls.
type publicHandler struct {
	gateway  http.Handler
	echo     http.Handler // nil: not served
	panics   *panics
	withBody http.Handler // for requests that announce one, which no handshake has
}

func newPublicHandler(g *gateway.Gateway, echo bool, p *panics) *publicHandler {
	h := &publicHandler{gateway: g, panics: p}
	if echo {
		h.echo = g.Echo()
	}
	h.withBody = prompt(nil, http.HandlerFunc(h.route))
	return h
}

// ServeHTTP implements http.Handler.
func (h *publicHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.panics.ended(r)
	if r.ContentLength != 0 {
		h.withBody.ServeHTTP(w, r)
		return
	}
	h.route(w, r)
}

func (h *publicHandler) route(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ws":
		h.gateway.ServeHTTP(w, r)
	case r.URL.Path == "/echo" && h.echo != nil:
		h.echo.ServeHTTP(w, r)
	default:
		w.Header().Set("Connection", "close") // or it would keep a place
		http.NotFound(w, r)
	}
}
