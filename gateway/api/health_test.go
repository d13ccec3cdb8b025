package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/api"
)

// wantUnready fails unless /readyz is a 503 for this reason, or, without one, a 200.
func wantUnready(t *testing.T, status int, kind, body, why string) {
	t.Helper()
	if why == "" {
		if status != 200 || body != "ok\n" {
			t.Errorf("%d %s; want ok", status, body)
		}
		return
	}
	var problem struct{ Detail string }
	if err := json.Unmarshal([]byte(body), &problem); err != nil || status != 503 || kind != "application/problem+json" {
		t.Errorf("%d %s %s; want problem 503", status, kind, body)
	}
	if problem.Detail != "not ready: "+why {
		t.Errorf("not ready because %q; want %q", problem.Detail, why)
	}
}

func TestUnreadyBeforeAndAfter(t *testing.T) {
	cfg := gateway.DefaultConfig()
	cfg.DrainWindow = 0
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler := api.New(api.Options{Gateway: g})
	want := func(why string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		wantUnready(t, w.Code, w.Header().Get("Content-Type"), w.Body.String(), why)
	}
	want("starting")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Run(ctx) }()
	waitFor(t, g.Ready)
	want("")
	cancel()
	<-ended
	want("draining")
}

// TestReadyzAtCapacity: it comes back only with a twentieth of the places.
func TestReadyzAtCapacity(t *testing.T) {
	const limit = 40
	s := startWith(t, "", limit)
	want := func(why string) {
		t.Helper()
		r := s.do("GET", "/readyz", "", "")
		wantUnready(t, r.StatusCode, r.Header.Get("Content-Type"), r.body, why)
		if ready := s.do("GET", "/v1/stats", "", "").json(t)["ready"]; ready != (why == "") {
			t.Errorf("stats: ready is %v", ready)
		}
	}
	var clients []*client
	for range limit - 1 {
		clients = append(clients, s.dial())
	}
	want("")
	clients = append(clients, s.dial())
	want("at capacity")
	leave := func() {
		t.Helper()
		c := clients[0]
		clients = clients[1:]
		c.socket.WriteClose(1000, nil)
		waitFor(t, func() bool {
			return s.do("GET", "/v1/stats", "", "").json(t)["sessions"] == float64(len(clients))
		})
	}
	leave()
	want("at capacity")
	leave()
	want("")
	clients = append(clients, s.dial())
	want("")
}
