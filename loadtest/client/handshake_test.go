package client

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHandshakeFailures: each way to fail has a kind of its own.
func TestHandshakeFailures(t *testing.T) {
	answer := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			if r, _, err := request(conn); err == nil {
				_, _ = io.WriteString(conn, strings.ReplaceAll(text, "ACCEPT", acceptOf(r)))
			}
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, upgrade\r\n"
	for _, test := range []struct {
		name, kind string
		status     int
		serve      func(net.Conn)
	}{
		{"503", "refused 503", 503, answer("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy")},
		{"200", "refused 200", 200, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
		{"wrong accept", KindWrongAccept, 101, answer(head + "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")},
		{"no accept", KindWrongAccept, 101, answer(head + "\r\n")},
		{"no upgrade", KindBadHandshake, 101, answer("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n")},
		{"extension", KindBadHandshake, 101, answer(head + "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")},
		{"subprotocol", KindBadHandshake, 101, answer(head + "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: other\r\n\r\n")},
		{"garbage", KindBadHandshake, 0, answer("SSH-2.0-OpenSSH_9.6\r\n")},
		{"no header", KindBadHandshake, 0, answer("HTTP/1.1 101 X\r\nno header at all\r\n\r\n")},
		{"endless head", KindBadHandshake, 0, answer("HTTP/1.1 101 X\r\nX: " + strings.Repeat("y", maxResponse))},
		{"silence", KindTimeout, 0, answer("")},
		{"half an answer", KindTimeout, 0, answer(head)},
		{"hang-up", KindHungUp, 0, func(conn net.Conn) { _, _, _ = request(conn) }},
		{"reset", KindReset, 0, func(conn net.Conn) { _, _, _ = request(conn); reset(conn) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, x *fixture) {
				x.serve(test.serve)
				cfg := Config{}
				if test.kind == KindTimeout {
					cfg.HandshakeTimeout = 300 * time.Millisecond
				}
				x.dial(cfg)
				e := x.expect("failed")
				if e.err.Kind != test.kind || e.err.Status != test.status {
					t.Errorf("%q with status %d (%v); want %q", e.err.Kind, e.err.Status, e.err, test.kind)
				}
			})
		})
	}
}

func TestNobodyListens(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		_ = x.listener.Close()
		x.dial(Config{})
		if e := x.expect("failed"); e.err.Kind != KindConnectionRefused {
			t.Errorf("%v", e.err)
		}
	})
}

// TestMethodsWithinHandshake: they fail it.
func TestMethodsWithinHandshake(t *testing.T) {
	for kind, end := range map[string]func(c *Conn){
		KindAborted: (*Conn).Abort, KindVanished: (*Conn).Vanish, KindClosed: func(c *Conn) { c.Close(1000, "") },
	} {
		both(t, func(t *testing.T, x *fixture) {
			x.serve(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
			crowd, target := x.crowd(Config{}), x.target()
			l := crowd.Loops()[0]
			l.Post(func() { end(l.Dial(target, 0)) })
			if e := x.expect("failed"); e.err.Kind != kind {
				t.Errorf("%v; want %s", e.err, kind)
			}
		})
	}
}

func TestTargetErrors(t *testing.T) {
	for _, test := range []struct {
		url, want string
		header    http.Header
		protocols []string
	}{
		{url: "http://127.0.0.1/", want: "scheme"},
		{url: "ws:///x", want: "host"},
		{url: "ws://127.0.0.1/#a", want: "fragment"},
		{url: "ws://127.0.0.1:99999/", want: "99999"},
		{url: "ws://127.0.0.1/", header: http.Header{"Sec-WebSocket-Key": {"x"}}, want: "Sec-WebSocket-Key"},
		{url: "ws://127.0.0.1/", protocols: []string{"a b"}, want: "a b"},
	} {
		if _, err := NewTarget(test.url, test.header, test.protocols); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.url, err, test.want)
		}
	}
}
