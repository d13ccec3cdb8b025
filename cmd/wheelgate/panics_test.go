package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// A panic of a handler is an error in the log, once, and the client's connection ends.
func TestHandlerPanic(t *testing.T) {
	var log transcript
	p := newPanics(prometheus.NewRegistry(), zerolog.New(&log).Level(zerolog.InfoLevel))
	server := httptest.NewServer(p.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic(errors.New("no such luck")) // has no exported field
	})))
	defer server.Close()
	for _, path := range []string{"/abort", "/v1/stats"} {
		if resp, err := http.Get(server.URL + path); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: answered %d after a panic", path, resp.StatusCode)
		}
	}
	if n := testutil.ToFloat64(p.total); n != 1 {
		t.Errorf("%v panics are counted; want 1", n)
	}
	for _, want := range []string{`"level":"error"`, "no such luck", "/v1/stats", "TestHandlerPanic"} {
		if strings.Count(log.String(), "no such luck") != 1 || !strings.Contains(log.String(), want) {
			t.Errorf("%q is missing in the log:\n%s", want, log.String())
		}
	}
}
