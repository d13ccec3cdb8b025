package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServersThatLetNobodyIn has one that refuses, one that hangs up, one that says
// nothing, and the schemes mixed up: each is one line that says what was wrong.
func TestServersThatLetNobodyIn(t *testing.T) {
	f := func(want string, s *httptest.Server, scheme string, args ...string) {
		t.Helper()
		_, addr, _ := strings.Cut(s.URL, "://")
		url := scheme + "://" + addr + "/x"
		try(t, append([]string{"run", "idle", "--url=" + url}, args...)...).wantFault(t, exitUsage, "--url: cannot connect to "+url+": "+want)
	}
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(status)
		})
	}
	refusing := func(status int) *httptest.Server {
		s := httptest.NewServer(answer(status))
		t.Cleanup(s.Close)
		return s
	}
	f("the server answers 200 OK, not 101 Switching Protocols: is the path right?", refusing(200), "ws")
	f("the server answers 404 Not Found, not 101 Switching Protocols: is the path right?", refusing(404), "ws")
	f("the server answers 403 Forbidden, not 101 Switching Protocols: does it ask for a token, a cookie or an origin (--header)?", refusing(403), "ws")
	f("the server answers 503 Service Unavailable, not 101 Switching Protocols: is it full, or does it limit connects?", refusing(503), "ws")
	f("the server answers 302 Found, not 101 Switching Protocols: redirects are not followed", refusing(302), "ws")
	f("the server answers 599, not 101 Switching Protocols: what does its log say?", refusing(599), "ws")

	hangUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(hangUp.Close)
	f("the server closed the connection without an answer: perhaps it wants wss://", hangUp, "ws")

	release := make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); mute.Close() })
	f("no answer within 100ms (--handshake-timeout)", mute, "ws", "--handshake-timeout=100ms")

	secure := httptest.NewUnstartedServer(answer(404))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f("its certificate is not trusted: x509: certificate signed by unknown authority (--insecure takes any)", secure, "wss")
	f("the server answers 404 Not Found, not 101 Switching Protocols: is the path right?", secure, "wss", "--insecure")
	f("the server does not speak TLS there: perhaps it wants ws://", refusing(404), "wss")
	f("the server answers 400 Bad Request, not 101 Switching Protocols: is the path right?", secure, "ws") // net/http says so itself
}
