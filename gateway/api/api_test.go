package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/api"
)

// service is a gateway with its API, on real sockets.
type service struct {
	t      *testing.T
	admin  *httptest.Server
	public *httptest.Server
	token  string

	impatient   atomic.Bool  // requests that have not come wholly time out
	description *description // nil: not yet
}

func start(t *testing.T, token string) *service { t.Helper(); return startWith(t, token, 0) }

func startWith(t *testing.T, token string, maxSessions int) *service {
	t.Helper()
	cfg := gateway.DefaultConfig()
	cfg.DrainWindow, cfg.CloseWait, cfg.MaxMessage, cfg.MaxSessions = 0, time.Minute, 1<<10, maxSessions
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Run(ctx) }()
	s := &service{t: t, public: httptest.NewServer(g), token: token}
	options := api.Options{Gateway: g, Version: "v0-test"}
	if token != "" {
		options.Tokens = func() []string { return []string{"other", token} }
	}
	handler := api.New(options)
	s.admin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.impatient.Load() {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		}
		handler.ServeHTTP(w, r)
	}))
	s.admin.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() { cancel(); <-ended; s.admin.Close(); s.public.Close() })
	waitFor(t, g.Ready)
	s.describe()
	return s
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

// json decodes the body.
func (a answer) json(t *testing.T) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

func (s *service) do(method, path, contentType, body string, header ...string) answer {
	s.t.Helper()
	return s.send(method, path, contentType, strings.NewReader(body), header...)
}

// send makes a request, and holds the answer against the API's description.
func (s *service) send(method, path, contentType string, body io.Reader, header ...string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.admin.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := s.admin.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{resp, string(b)}
	if s.description != nil {
		s.description.wantDeclared(s.t, method, r.URL.Path, a)
	}
	return a
}

// client collects what a WebSocket client is sent.
type client struct {
	gws.BuiltinEventHandler
	socket   *gws.Conn
	messages chan string // opcode and payload
	closed   chan error
}

func (c *client) OnMessage(_ *gws.Conn, m *gws.Message) {
	kind := "text "
	if m.Opcode == gws.OpcodeBinary {
		kind = "binary "
	}
	c.messages <- kind + string(m.Bytes())
}

func (c *client) OnClose(_ *gws.Conn, err error) { c.closed <- err }

func (s *service) dial() *client {
	s.t.Helper()
	c := &client{messages: make(chan string, 10), closed: make(chan error, 1)}
	var err error
	c.socket, _, err = gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.public.URL, "http")})
	if err != nil {
		s.t.Fatal(err)
	}
	go c.socket.ReadLoop()
	return c
}

const form = "application/x-www-form-urlencoded" // what curl -d sends

func TestProblems(t *testing.T) {
	s := start(t, "")
	s.dial()
	none := strings.Repeat("A", 32)
	for _, c := range []struct {
		method, path, contentType, body string
		status                          int
	}{
		{"POST", "/v1/broadcast", form, "\xff", 400},
		{"GET", "/v1/broadcast", "", "", 405},
		{"GET", "/v1/nothing", "", "", 404},
		{"GET", "//nothing", "", "", 404},
		{"GET", "//v1/stats", "", "", 404},
		{"GET", "/v1//sessions", "", "", 404},
		{"GET", "/v1/./sessions", "", "", 404},
		{"GET", "/v1/sessions/", "", "", 404},
		{"GET", "/v1/%2e%2e/v1/stats", "", "", 404},
		{"DELETE", "/v1//stats", "", "", 404},
		{"DELETE", "/v1/stats", "", "", 405},
		{"GET", "/x/../livez", "", "", 404},
		{"POST", "/v1/../nothing", form, "x", 404},
		{"POST", "/livez", form, "x", 405},
		{"GET", "/v1/sessions/" + none, "", "", 404},
		{"GET", "/v1/sessions/short", "", "", 404},
		{"POST", "/v1/sessions/" + none + "/messages", form, "x", 404},
		{"DELETE", "/v1/sessions/" + none, "", "", 404},
		{"GET", "/v1/sessions?limit=0", "", "", 422},
		{"GET", "/v1/sessions?limit=1001", "", "", 422},
		{"GET", "/v1/sessions?limit=x", "", "", 422},
		{"GET", "/v1/sessions?limt=1", "", "", 422},
		{"DELETE", "/v1/sessions/" + none + "?cod=4000", "", "", 422},
		{"POST", "/v1/broadcast?to=one", form, "x", 422},
		{"GET", "/v1/stats?x", "", "", 422},
		{"GET", "/v1/sessions?limit=%zz", "", "", 400},
		{"GET", "/v1/sessions?limit=1;cursor=x", "", "", 400},
		{"GET", "/v1/stats?%", "", "", 400},
		{"GET", "/schemas/x", "", "", 404},
	} {
		r := s.do(c.method, c.path, c.contentType, c.body)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s %s; want problem %d", c.method, c.path, r.StatusCode, r.Header.Get("Content-Type"), r.body, c.status)
		}
		if r.json(t)["status"] != float64(c.status) {
			t.Errorf("%s %s: body %s", c.method, c.path, r.body)
		}
		if (r.Header.Get("Allow") != "") != (c.status == 405) || r.Header.Get("Location") != "" {
			t.Errorf("%s %s: header %v", c.method, c.path, r.Header)
		}
	}
}

// ids lists all sessions, page by page.
func (s *service) ids(query string) (ids []string) {
	s.t.Helper()
	for cursor, more := "", true; more; {
		page := s.do("GET", "/v1/sessions?"+query+cursor, "", "").json(s.t)
		for _, v := range page["sessions"].([]any) {
			ids = append(ids, v.(map[string]any)["id"].(string))
		}
		var next string
		if next, more = page["next_cursor"].(string); more {
			cursor = "&cursor=" + next
		}
	}
	return ids
}

func TestSessions(t *testing.T) {
	s := start(t, "")
	clients := []*client{s.dial(), s.dial(), s.dial()}
	ids := s.ids("limit=2")
	if len(ids) != 3 {
		t.Fatalf("listed %v", ids)
	}
	one := s.do("GET", "/v1/sessions/"+ids[0], "", "").json(t)
	if one["state"] != "open" || one["timeout_seconds"] != 1800.0 || !strings.HasPrefix(one["remote_address"].(string), "127.0.0.1:") {
		t.Errorf("session: %v", one)
	}
	if left := one["expires_in_seconds"].(float64); left < 1700 || left > 1800 {
		t.Errorf("expires in %v s", left)
	}
	if r := s.do("POST", "/v1/sessions/"+ids[0]+"/messages", form, "you"); r.StatusCode != 200 {
		t.Errorf("send: %d %s", r.StatusCode, r.body)
	}
	received := 0
	for _, c := range clients {
		select {
		case m := <-c.messages:
			received++
			if m != "text you" {
				t.Errorf("received %q", m)
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	if received != 1 {
		t.Errorf("%d clients received a message to one", received)
	}
}

// TestCursors: only what this process gave out, as it gave it out, goes on.
func TestCursors(t *testing.T) {
	s, other := start(t, ""), start(t, "")
	next := func(s *service) string {
		s.dial()
		s.dial()
		return s.do("GET", "/v1/sessions?limit=1", "", "").json(t)["next_cursor"].(string)
	}
	ours, theirs := next(s), next(other)
	for cursor, status := range map[string]int{
		"": 200, ours: 200, theirs: 400, "bogus": 400, "!": 400, "0": 400, "00000000": 400,
		ours + "0": 400, ours[:15]: 400, "1" + ours[1:]: 400, "0000000000000000": 400, "+" + ours[1:]: 400,
	} {
		r := s.do("GET", "/v1/sessions?cursor="+url.QueryEscape(cursor), "", "")
		if r.StatusCode != status || status == 400 && r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d %s; want %d", cursor, r.StatusCode, r.body, status)
		}
	}
}

func TestDisconnect(t *testing.T) {
	s := start(t, "")
	for _, c := range []struct {
		query, want string
		status      int
	}{
		{"?code=1005", "", 422},
		{"?code=70000", "", 422},
		{"?reason=" + strings.Repeat("x", 124), "", 422},
		{"", "code=4503, reason=kicked", 204},
		{"?code=1014", "code=1014, reason=", 204},
		{"?code=3001&reason=bye", "code=3001, reason=bye", 204},
	} {
		cl := s.dial()
		var id string
		waitFor(t, func() bool {
			list := s.do("GET", "/v1/sessions", "", "").json(t)["sessions"].([]any)
			for _, v := range list {
				if v := v.(map[string]any); v["state"] == "open" {
					id = v["id"].(string)
				}
			}
			return id != ""
		})
		if r := s.do("DELETE", "/v1/sessions/"+id+c.query, "", ""); r.StatusCode != c.status {
			t.Errorf("%q: %d %s; want %d", c.query, r.StatusCode, r.body, c.status)
		}
		if c.status != 204 {
			s.do("DELETE", "/v1/sessions/"+id, "", "")
			<-cl.closed
			continue
		}
		if err := <-cl.closed; !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: closed with %v; want %s", c.query, err, c.want)
		}
	}
}

func TestDocuments(t *testing.T) {
	s := start(t, "")
	doc := s.do("GET", "/openapi.json", "", "").json(t)
	paths := doc["paths"].(map[string]any)
	for _, p := range []string{"/v1/broadcast", "/v1/sessions", "/v1/sessions/{id}", "/v1/sessions/{id}/messages", "/v1/stats"} {
		if paths[p] == nil {
			t.Errorf("openapi.json does not describe %s", p)
		}
	}
	metrics := s.do("GET", "/metrics", "", "").body
	for _, name := range []string{"wheelgate_sessions 0", `wheelgate_build_info{version="v0-test"} 1`, "go_goroutines", "process_open_fds"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	if stats := s.do("GET", "/v1/stats", "", "").json(t); stats["ready"] != true {
		t.Errorf("stats: %v", stats)
	}
}

func TestToken(t *testing.T) {
	s := start(t, "s3cret")
	for _, c := range []struct {
		path, authorization string
		status              int
	}{
		{"/livez", "", 200},
		{"/readyz", "", 200},
		{"/v1/stats", "", 401},
		{"/metrics", "", 401},
		{"/openapi.json", "", 401},
		{"/v1/stats", "Bearer wrong", 401},
		{"/v1/stats", "Basic s3cret", 401},
		{"/v1/stats", "bearer s3cret", 200},
		{"/metrics", "Bearer s3cret", 200},
	} {
		if r := s.do("GET", c.path, "", "", "Authorization", c.authorization); r.StatusCode != c.status {
			t.Errorf("%s with %q: %d; want %d", c.path, c.authorization, r.StatusCode, c.status)
		}
	}
}

// TestBrowsersAreKeptOut: a web page anywhere must not drive an open API on
// this machine, neither by a cross-site request nor by rebinding its own name.
func TestBrowsersAreKeptOut(t *testing.T) {
	s := start(t, "")
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Origin", "https://evil.test", 403},
		{"Sec-Fetch-Site", "cross-site", 403},
		{"Host", "evil.test", 403},
		{"Host", "localhost:8081", 200},
		{"Host", "[::1]:8081", 200},
	} {
		r := s.do("POST", "/v1/broadcast", form, "x", c.header, c.value)
		if r.StatusCode != c.status {
			t.Errorf("%s: %s: %d; want %d", c.header, c.value, r.StatusCode, c.status)
		}
		if c.status == 403 && (r.Header.Get("Content-Type") != "application/problem+json" || r.json(t)["status"] != 403.0) {
			t.Errorf("%s: %s: no problem document: %s %s", c.header, c.value, r.Header.Get("Content-Type"), r.body)
		}
	}
}
