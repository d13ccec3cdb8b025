package client

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers messages, pings and close frames until the client is gone.
func echo(conn net.Conn) {
	in, err := upgrade(conn)
	for err == nil {
		var op Opcode
		var payload []byte
		if op, payload, err = clientFrame(in); err != nil {
			return
		}
		if op == Ping {
			op = Pong
		}
		_, err = conn.Write(serverFrame(op, string(payload)))
		if op == Close {
			return
		}
	}
}

func TestEcho(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		x.serve(echo)
		x.dial(Config{})
		c := x.expect("opened").c
		if c.Tag() != 7 {
			t.Errorf("tag %d", c.Tag())
		}
		for _, n := range []int{0, 1, 125, 126, 1000, 65535} {
			text := strings.Repeat("x", n)
			on(c, func() {
				if err := c.Send(Text, []byte(text)); err != nil {
					t.Error(err)
				}
			})
			if e := x.expect("message"); e.op != Text || e.payload != text {
				t.Errorf("%d bytes came back as opcode %d with %d", n, e.op, len(e.payload))
			}
		}
		on(c, func() { _ = c.Send(Ping, []byte("there?")) })
		if e := x.expect("message"); e.op != Pong || e.payload != "there?" {
			t.Errorf("pong %d %q", e.op, e.payload)
		}
		on(c, func() { c.Close(4000, "enough") })
		e := x.expect("closed")
		if e.code != 4000 || e.payload != "enough" || e.err == nil || e.err.Kind != KindClosed {
			t.Errorf("closed with %d %q, %v", e.code, e.payload, e.err)
		}
		on(c, func() {
			if err := c.Send(Text, nil); err != ErrNotOpen {
				t.Errorf("Send after the end: %v", err)
			}
		})
	})
}

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

// TestByteByByte: the answer and frames come a byte at a time.
func TestByteByByte(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		x.serve(func(conn net.Conn) {
			r, _, err := request(conn)
			if err != nil {
				return
			}
			all := []byte(fmt.Sprintf("HTTP/1.1 101 OK\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", acceptOf(r)))
			all = append(all, 0x01, 2, 'a', 'b') // begin of a fragmented text
			all = append(all, serverFrame(Ping, "?")...)
			all = append(all, 0x00, 0)
			all = append(all, 0x80, 1, 'c')
			all = append(all, serverFrame(Binary, strings.Repeat("z", 300))...)
			all = append(all, serverFrame(Close, "\x0f\xa1bye")...)
			for i := range all {
				if _, err := conn.Write(all[i : i+1]); err != nil {
					return
				}
			}
			_, _ = io.Copy(io.Discard, conn)
		})
		x.dial(Config{})
		x.expect("opened")
		if e := x.expect("message"); e.op != Text || e.payload != "abc" {
			t.Errorf("%d %q", e.op, e.payload)
		}
		if e := x.expect("message"); e.op != Binary || len(e.payload) != 300 {
			t.Errorf("%d, %d bytes", e.op, len(e.payload))
		}
		if e := x.expect("closed"); e.code != 4001 || e.payload != "bye" || e.err != nil {
			t.Errorf("%d %q %v", e.code, e.payload, e.err)
		}
	})
}

// TestEndings: what the server does to an open connection, and what it is called.
func TestEndings(t *testing.T) {
	after := func(b []byte, then func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			if _, err := upgrade(conn); err == nil {
				_, _ = conn.Write(b)
				then(conn)
			}
		}
	}
	hangUp, wait := func(net.Conn) {}, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for _, test := range []struct {
		name, kind string
		code       int
		serve      func(net.Conn)
	}{
		{"close without code", "", 1005, after(serverFrame(Close, ""), wait)},
		{"close and gone", "", 4202, after(serverFrame(Close, "\x10\x6aidle"), hangUp)},
		{"hang-up", KindHungUp, 1006, after(nil, hangUp)},
		{"hang-up within a frame", KindHungUp, 1006, after([]byte{0x82, 5, 1}, hangUp)},
		{"reset", KindReset, 1006, after(nil, reset)},
		{"masked", KindProtocol, 1006, after([]byte{0x82, 0x81, 1, 2, 3, 4, 5}, wait)},
		{"reserved bit", KindProtocol, 1006, after([]byte{0xc2, 0}, wait)},
		{"reserved opcode", KindProtocol, 1006, after([]byte{0x83, 0}, wait)},
		{"long ping", KindProtocol, 1006, after([]byte{0x89, 126, 0, 126}, wait)},
		{"fragmented ping", KindProtocol, 1006, after([]byte{0x09, 0}, wait)},
		{"continuation of nothing", KindProtocol, 1006, after([]byte{0x80, 0}, wait)},
		{"message within a message", KindProtocol, 1006, after([]byte{0x01, 0, 0x81, 0}, wait)},
		{"length not the shortest", KindProtocol, 1006, after([]byte{0x82, 126, 0, 125}, wait)},
		{"length of 2^63", KindProtocol, 1006, after([]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, wait)},
		{"half a code", KindProtocol, 1006, after([]byte{0x88, 1, 3}, wait)},
		{"code 1005", KindProtocol, 1006, after([]byte{0x88, 2, 3, 0xed}, wait)},
		{"no UTF-8", KindProtocol, 1006, after([]byte{0x81, 1, 0xff}, wait)},
		{"too big", KindTooBig, 1006, after([]byte{0x82, 126, 16, 0}, wait)},
		{"too big together", KindTooBig, 1006, after([]byte{0x02, 1, 0, 0x80, 126, 4, 0}, wait)},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, x *fixture) {
				x.serve(test.serve)
				x.dial(Config{MaxMessage: 1024})
				x.expect("opened")
				e := x.expect("closed")
				kind := ""
				if e.err != nil {
					kind = e.err.Kind
				}
				if kind != test.kind || e.code != test.code {
					t.Errorf("%d, %v; want %d, %q", e.code, e.err, test.code, test.kind)
				}
			})
		})
	}
}

// TestAnswers: a ping is answered, a close frame too, and TCP is left to the server
// to close.
func TestAnswers(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		result := make(chan string, 1)
		x.serve(func(conn net.Conn) {
			in, err := upgrade(conn)
			if err != nil {
				return
			}
			_, _ = conn.Write(append(serverFrame(Ping, "one"), serverFrame(Close, "\x10\x05drain")...))
			op1, pong, _ := clientFrame(in)
			op2, code, _ := clientFrame(in)
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, err = in.ReadByte()
			result <- fmt.Sprintf("%x %s %x %x %v", op1, pong, op2, code, err == io.EOF)
		})
		x.dial(Config{})
		x.expect("opened")
		x.expect("closed")
		if got := <-result; got != "a one 8 1005 false" {
			t.Error(got)
		}
	})
}

// TestNoAnswerToClose: a server that ignores our close frame does not hold us.
func TestNoAnswerToClose(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		x.serve(func(conn net.Conn) { _, _ = upgrade(conn); _, _ = io.Copy(io.Discard, conn) })
		x.dial(Config{CloseTimeout: 200 * time.Millisecond})
		c := x.expect("opened").c
		on(c, func() { c.Close(1000, "") })
		if e := x.expect("closed"); e.code != 1006 || e.err.Kind != KindTimeout {
			t.Errorf("%d %v", e.code, e.err)
		}
	})
}

func TestAbort(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		seen := make(chan error, 1)
		x.serve(func(conn net.Conn) {
			in, _ := upgrade(conn)
			_, err := in.ReadByte()
			seen <- err
		})
		x.dial(Config{})
		c := x.expect("opened").c
		on(c, func() { c.Abort(); c.Abort(); c.Close(1000, ""); c.Vanish() })
		if e := x.expect("closed"); e.code != 1006 || e.err.Kind != KindAborted {
			t.Errorf("%d %v", e.code, e.err)
		}
		if err := <-seen; kindOf(err) != KindReset {
			t.Errorf("the server sees %v; want a reset", err)
		}
		on(c, func() {})
		if len(x.events) > 0 {
			t.Errorf("a second end: %v", <-x.events)
		}
	})
}

// TestPause: a paused connection's server is held up; nothing is lost by it.
func TestPause(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		const messages, size = 400, 60_000
		var sent atomic.Int32
		x.serve(func(conn net.Conn) {
			in, err := upgrade(conn)
			if err == nil {
				_, _, err = clientFrame(in) // it is paused now
			}
			for m := serverFrame(Binary, strings.Repeat("m", size)); err == nil && sent.Load() < messages; sent.Add(1) {
				_, err = conn.Write(m)
			}
			_, _ = io.Copy(io.Discard, conn)
		})
		x.dial(Config{})
		c := x.expect("opened").c
		on(c, func() { c.Pause(); _ = c.Send(Text, []byte("go")) })
		before := int32(-1)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			now := sent.Load()
			if now > 0 && now == before {
				break
			}
			before = now
		}
		if n := sent.Load(); n == 0 || n == messages || len(x.events) > 0 {
			t.Fatalf("%d of %d sent to a paused client, %d events", n, messages, len(x.events))
		}
		on(c, func() { c.Resume() })
		for range messages {
			if e := x.expect("message"); len(e.payload) != size {
				t.Fatalf("%d bytes", len(e.payload))
			}
		}
	})
}

// TestBacklog: what a server that does not read is sent is queued up to the bound, then
// refused; when it reads again all that was accepted arrives, in order.
func TestBacklog(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		accepted, read := make(chan int, 1), make(chan error, 1)
		x.serve(func(conn net.Conn) {
			in, err := upgrade(conn)
			if err != nil {
				return
			}
			for i := range <-accepted {
				var payload []byte
				_, payload, err = clientFrame(in)
				if want := fmt.Sprintf("%08d", i); err != nil || string(payload[:8]) != want {
					err = fmt.Errorf("message %s: %.8s %w", want, payload, err)
					break
				}
			}
			read <- err
		})
		x.dial(Config{MaxBacklog: 100_000})
		c := x.expect("opened").c
		n := 0
		var err error
		for err == nil {
			payload := []byte(fmt.Sprintf("%08d%s", n, strings.Repeat("p", 30_000)))
			on(c, func() { err = c.Send(Binary, payload) })
			if err == nil {
				n++
			}
			if n > 10_000 {
				t.Fatal("300 MB are queued")
			}
		}
		if err != ErrFull {
			t.Fatal(err)
		}
		accepted <- n
		if err := <-read; err != nil {
			t.Error(err)
		}
	})
}

// TestCloseOfCrowd: nothing is called after it, whatever the connections do.
func TestCloseOfCrowd(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		x.serve(echo)
		crowd, target := x.crowd(Config{}), x.target()
		l := crowd.Loops()[0]
		l.Post(func() {
			for range 20 {
				l.Dial(target, 0)
			}
		})
		x.expect("opened")
		crowd.Close()
		n := len(x.events)
		l.Post(func() { t.Error("posted after Close") })
		l.At(time.Now(), func(time.Time) { t.Error("timer after Close") })
		crowd.Close()
		if len(x.events) != n {
			t.Error("the handler is called after Close")
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

func TestTimers(t *testing.T) {
	x := newFixture(t, false)
	l := x.crowd(Config{}).Loops()[0]
	got := make(chan int, 10)
	base := time.Now()
	for _, ms := range []int{30, 10, 20, 0, 10} {
		due := base.Add(time.Duration(ms) * time.Millisecond)
		l.At(due, func(now time.Time) {
			if now.Before(due) || time.Now().Before(due) {
				t.Errorf("%v early", due.Sub(now))
			}
			got <- ms
		})
	}
	for _, want := range []int{0, 10, 10, 20, 30} {
		if ms := <-got; ms != want {
			t.Errorf("timer %d; want %d", ms, want)
		}
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
