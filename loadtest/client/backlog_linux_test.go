package client

import (
	"net"
	"strings"
	"testing"
)

// fill sends on a connection whose server does not read until that is full.
func (x *fixture) fill(c *Conn) {
	x.t.Helper()
	var err error
	for payload := make([]byte, 60_000); err == nil; {
		on(c, func() { err = c.Send(Binary, payload) })
	}
	if err != ErrFull {
		x.t.Fatal(err)
	}
}

// TestPingBehindMessages: the client's own messages, which the server has not read yet,
// do not keep it from answering a ping.
func TestPingBehindMessages(t *testing.T) {
	x := newFixture(t, false)
	full, seen, pong := make(chan struct{}), make(chan struct{}, 1), make(chan string, 1)
	x.serve(func(conn net.Conn) {
		in, err := upgrade(conn)
		<-full
		_, _ = conn.Write(append(serverFrame(Ping, "there?"), serverFrame(Text, "seen")...))
		<-seen
		var op Opcode
		var payload []byte
		for op != Pong && err == nil {
			op, payload, err = clientFrame(in)
		}
		pong <- string(payload)
	})
	x.dial(Config{MaxBacklog: 1})
	x.fill(x.expect("opened").c)
	close(full)
	defer close(seen)
	x.expect("message")
	seen <- struct{}{}
	if got := <-pong; got != "there?" {
		t.Errorf("pong %q", got)
	}
}

// TestServerThatOnlyPings is called slow: it does not read the answers.
func TestServerThatOnlyPings(t *testing.T) {
	x := newFixture(t, false)
	x.serve(func(conn net.Conn) {
		_, err := upgrade(conn)
		for pings := strings.Repeat(string(serverFrame(Ping, strings.Repeat("?", maxControl))), 100); err == nil; {
			_, err = conn.Write([]byte(pings))
		}
	})
	x.dial(Config{})
	x.expect("opened")
	if e := x.expect("closed"); e.code != 1006 || e.err.Kind != KindSlow {
		t.Errorf("%d %v", e.code, e.err)
	}
}
