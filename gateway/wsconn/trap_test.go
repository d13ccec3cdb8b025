package wsconn_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// These tests first show a trap of gws on its own, so that an upgrade of gws
// that removes it is noticed, and then that it cannot be met through us.

// rawGWS is a net.Conn in memory under a gws server without a guard.
type rawGWS struct {
	net.Conn // nil: what is not below must not be called
	in       io.Reader
	out      bytes.Buffer
}

func (c *rawGWS) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *rawGWS) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *rawGWS) Close() error                { return nil }
func (c *rawGWS) SetDeadline(time.Time) error { return nil }

type rawEvents struct {
	gws.BuiltinEventHandler
	messages []string
	closed   bool
}

func (e *rawEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.messages = append(e.messages, string(m.Bytes()))
}

func (e *rawEvents) OnClose(*gws.Conn, error) { e.closed = true }

// runRaw feeds input to gws alone. Out is what it wrote after the 101.
func runRaw(t *testing.T, in io.Reader) (events *rawEvents, out string, panicked any) {
	t.Helper()
	events, conn := new(rawEvents), &rawGWS{in: in}
	// As a gateway might well set it, so that recovery is not what is missing.
	up := gws.NewUpgrader(events, &gws.ServerOption{Recovery: gws.Recovery, ReadMaxPayloadSize: testConfig.MaxMessage})
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	socket, err := up.UpgradeFromConn(conn, bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	conn.out.Reset()
	defer func() { panicked, out = recover(), conn.out.String() }()
	socket.ReadLoop()
	return
}

var hugeFrame = append(binary.BigEndian.AppendUint64([]byte{fin | opBinary, 0x80 | 127}, 1<<63), 0, 0, 0, 0)

func TestTrapHugeLengthPanics(t *testing.T) {
	events, _, panicked := runRaw(t, bytes.NewReader(hugeFrame))
	if panicked == nil || events.closed {
		t.Error("gws no longer panics at a length of 2^63: is the trap gone?")
	}

	srv := newServer(t, wsconn.NewGoroutine(testConfig), links[0], echoing)
	other, _ := srv.connect()
	c, s := srv.connect(hugeFrame)
	if e := s.expect("violation"); e.v != wsconn.Protocol {
		t.Errorf("violation %d, want Protocol", e.v)
	}
	c.expect(fin|opClose, closePayload(1002, ""))
	c.expectEOF()
	other.send(clientFrame(fin|opText, "unharmed"))
	other.expect(fin|opText, "unharmed")
}

func TestTrapLongLengthsAreAccepted(t *testing.T) {
	events, _, _ := runRaw(t, strings.NewReader("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00a"))
	if len(events.messages) != 1 || events.messages[0] != "a" {
		t.Error("gws no longer accepts 1 byte in 64 bits: is the trap gone?")
	}
	// Ours refuses it: "length too long" in contractViolations.
}

func TestTrapBadGatewayIsRefused(t *testing.T) {
	_, out, _ := runRaw(t, bytes.NewReader(clientFrame(fin|opClose, closePayload(1014, ""))))
	if !strings.HasPrefix(out, "\x88\x02"+closePayload(1002, "")) {
		t.Errorf("gws answers 1014 with %q: is the trap gone?", out)
	}
	// Ours takes it: contractCloseByPeer.
}

func TestTrapErrorTextIsSent(t *testing.T) {
	const secret = "read tcp 10.0.0.1:80: connection reset"
	_, out, _ := runRaw(t, io.MultiReader(strings.NewReader("\x81"), errorReader(secret)))
	if !strings.Contains(out, secret) {
		t.Error("gws no longer sends error texts to the peer: is the trap gone?")
	}

	srv := newServer(t, wsconn.NewGoroutine(testConfig), links[0], nil)
	c, s := srv.connect()
	c.send([]byte{0x81})
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil { // an unexpected EOF for gws
		t.Fatal(err)
	}
	c.expectGone() // and not a byte before
	s.expect("closed")
}

type errorReader string

func (e errorReader) Read([]byte) (int, error) { return 0, e }
func (e errorReader) Error() string            { return string(e) }

// TestWithGWSClient is the one test with a client that knows the rules.
func TestWithGWSClient(t *testing.T) {
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) {
			srv := newServer(t, wsconn.NewGoroutine(testConfig), l, echoing)
			events := &clientEvents{messages: make(chan string, 1), closed: make(chan error, 1)}
			socket, _, err := gws.NewClientFromConn(events, &gws.ClientOption{Addr: "ws://test/"}, srv.dial())
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { defer close(done); socket.ReadLoop() }()
			for _, text := range []string{"hello", repeat(60_000)} {
				if err := socket.WriteString(text); err != nil {
					t.Fatal(err)
				}
				if got := <-events.messages; got != text {
					t.Errorf("got %.20q, want %.20q", got, text)
				}
			}
			(<-srv.opened).conn.Close(4101, "drain")
			var end *gws.CloseError
			if err := <-events.closed; !errors.As(err, &end) || end.Code != 4101 || string(end.Reason) != "drain" {
				t.Errorf("the client saw %v, want 4101 drain", err)
			}
			<-done
		})
	}
}

type clientEvents struct {
	gws.BuiltinEventHandler
	messages chan string
	closed   chan error
}

func (e *clientEvents) OnMessage(_ *gws.Conn, m *gws.Message) { e.messages <- string(m.Bytes()) }
func (e *clientEvents) OnClose(_ *gws.Conn, err error)        { e.closed <- err }
