package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// linger is how long the rest of a body may take that nobody waits for. To hang up over
	// unread input would make the kernel send a reset, which destroys the answer on its way.
	linger = 500 * time.Millisecond
	// turnWait is how long a request waits for its turn.
	turnWait = 10 * time.Second
)

// prompt has next's answers go out without the rest of a request's body, for which
// net/http waits: an answer that comes before ends the connection. In a lobby, that is
// l, an answer also ends it when another connection waits for the place.
func prompt(l *lobby, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, body: &body{ReadCloser: r.Body, read: r.ContentLength == 0}}
		if l != nil {
			a.lobby, a.guest = l, guestIn(r)
		}
		r = r.WithContext(r.Context()) // a copy: net/http looks at its own body
		r.Body = a.body
		next.ServeHTTP(a, r)
		if !a.begun {
			a.WriteHeader(http.StatusOK)
		}
		if l != nil && !a.body.read {
			l.mayYield(a.guest, evictedAnswered, 0, a.guest.hurry)
		}
	})
}

// answer is an http.ResponseWriter that ends the connection where it should.
type answer struct {
	http.ResponseWriter
	body  *body
	lobby *lobby // or nil
	guest *guest
	begun bool
}

// body is a request's, and knows whether it was read to its end.
type body struct {
	io.ReadCloser
	read bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read = b.read || err == io.EOF
	return n, err
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if !a.begun && status >= http.StatusOK {
		a.begun = true
		if !a.body.read {
			// Where it fails the connection has ended.
			_ = http.NewResponseController(a.ResponseWriter).SetReadDeadline(time.Now().Add(linger))
		}
		if !a.body.read || a.lobby != nil && a.lobby.claimed(a.guest) {
			a.Header().Set("Connection", "close")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

type guestKey struct{}

// withGuest is the server's http.Server.ConnContext.
func withGuest(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, guestOf(conn))
}

func guestIn(r *http.Request) *guest { return r.Context().Value(guestKey{}).(*guest) }

// inTurn bounds the requests that next serves at a time. Health is not among them: a
// quarter of the places in the lobby has it answered while those requests take long.
func inTurn(l *lobby, next http.Handler) http.Handler {
	turns := make(chan struct{}, l.most-max(1, l.most/4))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" && r.URL.Path != "/readyz" {
			if !awaitTurn(l, turns, r) {
				refuseBusy(w)
				return
			}
			defer func() { <-turns }()
		}
		next.ServeHTTP(w, r)
	})
}

// awaitTurn reports false if r had to wait for too long: for a second if another
// connection waits for r's place in the lobby.
func awaitTurn(l *lobby, turns chan<- struct{}, r *http.Request) bool {
	select {
	case turns <- struct{}{}:
		return true
	default:
	}
	g, told, timeout := guestIn(r), make(chan struct{}), time.NewTimer(turnWait)
	defer timeout.Stop()
	l.mayYield(g, evictedWaiting, l.evictAfter, func() { close(told) })
	select {
	case turns <- struct{}{}:
		l.stays(g)
		return true
	case <-told:
	case <-timeout.C:
		l.evicted.WithLabelValues(evictedWaiting).Inc()
	case <-r.Context().Done(): // nobody is there any more
	}
	return false
}

func refuseBusy(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"title":"Service Unavailable","status":503,"detail":"as many requests as can be are being served"}`+"\n")
}
