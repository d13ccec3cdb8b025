package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

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

// audible is a wire that cannot be silenced.
type audible struct{ wire }

func (audible) vanish(*Conn) error { return errors.ErrUnsupported }

// TestNotVanished: what could not be silenced is not called so.
func TestNotVanished(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		x.serve(func(conn net.Conn) { _, _ = upgrade(conn); _, _ = io.Copy(io.Discard, conn) })
		x.dial(Config{})
		c := x.expect("opened").c
		on(c, func() { c.wire = audible{c.wire}; c.Vanish() })
		if e := x.expect("closed"); e.err.Kind != KindNotVanished || !errors.Is(e.err, errors.ErrUnsupported) {
			t.Errorf("%v", e.err)
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
