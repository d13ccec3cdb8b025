package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
)

// request sends a raw request and returns the answer.
func (f *fixture) request(raw string) *http.Response {
	f.t.Helper()
	conn := f.conns.dial()
	f.t.Cleanup(func() { _ = conn.Close() })
	go func() { _, _ = io.WriteString(conn, raw) }()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer
}

func TestHandshake(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		with := func(header string) string {
			return strings.Replace(handshake("/ws"), "\r\n\r\n", "\r\n"+header+"\r\n\r\n", 1)
		}
		instead := func(old, new string) string {
			if !strings.Contains(handshake("/ws"), old) {
				t.Fatalf("%q is not in the handshake", old)
			}
			return strings.Replace(handshake("/ws"), old, new, 1)
		}
		for _, c := range []struct {
			name, raw string
			status    int
			header    string // that the answer must have
		}{
			{"RFC 6455's example", handshake("/ws"), 101, ""},
			{"headers split and in other case", instead("Connection: Upgrade", "connection: keep-alive\r\nConnection: UPGRADE"), 101, ""},
			{"own origin", with("Origin: https://gate.test"), 101, ""},
			{"plain GET", "GET /ws HTTP/1.1\r\nHost: gate.test\r\n\r\n", 426, "Sec-WebSocket-Version"},
			{"no Connection token", instead("Connection: Upgrade", "Connection: keep-alive"), 426, "Upgrade"},
			{"POST", instead("GET", "POST"), 405, "Allow"},
			{"version 8", instead("Version: 13", "Version: 8"), 426, "Sec-WebSocket-Version"},
			{"no version", instead("Sec-WebSocket-Version: 13\r\n", ""), 426, "Sec-WebSocket-Version"},
			{"two versions", with("Sec-WebSocket-Version: 13"), 426, "Sec-WebSocket-Version"},
			{"no key", instead("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, ""},
			{"two keys", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, ""},
			{"short key", instead("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400, ""},
			{"key not base64", instead("dGhlIHNhbXBsZSBub25jZQ==", "the sample nonce of it.."), 400, ""},
			{"HTTP/1.0", instead("HTTP/1.1", "HTTP/1.0"), 400, ""},
			{"no Host", instead("Host: gate.test\r\n", ""), 400, ""},
			{"empty Host", instead("Host: gate.test", "Host:"), 400, ""},
			{"a body", with("Content-Length: 4") + "body", 400, ""},
			{"another origin", with("Origin: https://evil.test"), 403, ""},
			{"own origin as a prefix", with("Origin: https://gate.test.evil.test"), 403, ""},
			{"opaque origin", with("Origin: null"), 403, ""},
			{"two origins", with("Origin: https://gate.test\r\nOrigin: https://gate.test"), 403, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				answer := f.request(c.raw)
				if answer.StatusCode != c.status {
					t.Errorf("status %d; want %d", answer.StatusCode, c.status)
				}
				if c.status != 101 && !answer.Close {
					t.Error("the connection is kept")
				}
				if c.header != "" && answer.Header.Get(c.header) == "" {
					t.Errorf("no %s header", c.header)
				}
			})
		}
	})
}

// TestUpgradeIsAConnectionOption, as RFC 9110 section 7.8 wants it.
func TestUpgradeIsAConnectionOption(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f, answer := start(t, nil), httptest.NewRecorder()
		f.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/ws", nil))
		if got := answer.Header()["Connection"]; answer.Code != http.StatusUpgradeRequired || !slices.Equal(got, []string{"close", "Upgrade"}) {
			t.Errorf("%d, Connection: %q", answer.Code, got)
		}
	})
}

func TestOriginList(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		for _, c := range []struct {
			allowed, origin string
			want            int
		}{
			{"https://app.test", "https://app.test", 101},
			{"https://app.test", "https://APP.test", 101},
			{"https://app.test", "http://app.test", 403},
			{"https://app.test", "https://gate.test", 403},
			{"*", "https://anything.test", 101},
			{"HTTPS://App.test", "https://app.test", 101},
			{"*", "null", 101},
		} {
			f := start(t, func(cfg *gateway.Config) { cfg.AllowOrigins = []string{c.allowed} })
			raw := strings.Replace(handshake("/ws"), "\r\n\r\n", "\r\nOrigin: "+c.origin+"\r\n\r\n", 1)
			if got := f.request(raw).StatusCode; got != c.want {
				t.Errorf("allowed %s, origin %s: status %d; want %d", c.allowed, c.origin, got, c.want)
			}
		}
	})
}

func TestOriginsThatNoBrowserSendsAreRefused(t *testing.T) {
	for _, c := range []struct {
		origin string
		ok     bool
	}{
		{"*", true},
		{"https://example.com", true},
		{"HTTPS://Example.COM:8443", true},
		{"http://example.com:443", true},
		{"https://example.com:80", true},
		{"https://example.com.", true},
		{"https://localhost", true},
		{"https://xn--mnchen-3ya.example_1", true},
		{"http://192.0.2.1:8080", true},
		{"http://[2001:DB8::1]:8080", true},
		{"chrome-extension://abcdefgh", true},
		{"app://.", true},
		{"https://*.example.com", false},
		{"https://.example.com", false},
		{"https://*", false},
		{"https://example.com:443", false},
		{"http://example.com:80", false},
		{"http://[2001:db8::1]:80", false},
		{"https://example.com:", false},
		{"https://example.com:08443", false},
		{"https://example.com:65536", false},
		{"https://m\u00fcnchen.example", false},
		{"wss://example.com", false},
		{"http://127.1", false},
		{"http://192.0.2.01", false},
		{"http://[2001:db8:0::1]", false},
		{"http://[fe80::1%25eth0]", false},
		{"https://user@example.com", false},
		{"https://example.com/", false},
		{"//example.com", false},
		{"example.com", false},
		{"null", false},
		{"", false},
	} {
		err := gateway.CheckOrigin(c.origin)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.origin, err)
		}
		if err != nil && !strings.Contains(err.Error(), strconv.Quote(c.origin)) {
			t.Errorf("%q is not in: %v", c.origin, err)
		}
	}
}

func TestCapacity(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.MaxSessions = 2 })
		a := f.dial("/ws")
		f.dial("/echo")
		answer := f.request(handshake("/ws"))
		if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("status %d, Retry-After %q; want 503 with one", answer.StatusCode, answer.Header.Get("Retry-After"))
		}
		_ = a.WriteClose(1000, nil)
		<-a.gone
		waitFor(t, "the place to be free again", func() bool { return f.Stats().Sessions == 1 })
		f.dial("/ws")
	})
}

// waitFor polls for at most ten seconds: for what real goroutines do.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
