package client

import (
	"fmt"
	"io"
	"net"
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
