package client

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// patience bounds what should take no time.
const patience = 20 * time.Second

// both runs a test on the event loop (where there is one) and on links.
func both(t *testing.T, f func(t *testing.T, x *fixture)) {
	t.Run("ws", func(t *testing.T) { f(t, newFixture(t, false)) })
	t.Run("wss", func(t *testing.T) { f(t, newFixture(t, true)) })
}

// fixture is a listener with a server by hand, and a crowd.
type fixture struct {
	t        *testing.T
	secure   bool
	listener net.Listener
	roots    *x509.CertPool
	events   chan event
	serving  sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

// event is a call of the handler.
type event struct {
	call    string
	c       *Conn
	op      Opcode
	payload string
	code    int
	err     *Error
}

func newFixture(t *testing.T, secure bool) *fixture {
	t.Helper()
	x := &fixture{t: t, secure: secure, events: make(chan event, 1000)}
	var err error
	if x.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if secure {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		defer s.Close()
		x.roots = x509.NewCertPool()
		x.roots.AddCert(s.Certificate())
		x.listener = tls.NewListener(x.listener, &tls.Config{Certificates: s.TLS.Certificates})
	}
	t.Cleanup(func() {
		_ = x.listener.Close()
		x.mu.Lock()
		for _, c := range x.conns {
			_ = c.Close()
		}
		x.mu.Unlock()
		x.serving.Wait()
	})
	return x
}

// serve has f serve each connection, and closes it then.
func (x *fixture) serve(f func(conn net.Conn)) {
	x.serving.Go(func() {
		for {
			conn, err := x.listener.Accept()
			if err != nil {
				return
			}
			x.mu.Lock()
			x.conns = append(x.conns, conn)
			x.mu.Unlock()
			x.serving.Go(func() { defer conn.Close(); f(conn) })
		}
	})
}

func (x *fixture) target() *Target {
	x.t.Helper()
	scheme := "ws"
	if x.secure {
		scheme = "wss"
	}
	target, err := NewTarget(scheme+"://"+x.listener.Addr().String()+"/ws", nil, []string{"chat", "talk"})
	if err != nil {
		x.t.Fatal(err)
	}
	return target
}

func (x *fixture) crowd(cfg Config) *Crowd {
	x.t.Helper()
	cfg.Loops = 1
	if x.roots != nil {
		cfg.TLS = &tls.Config{RootCAs: x.roots}
	}
	crowd, err := New(cfg, x)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(crowd.Close)
	return crowd
}

func (x *fixture) dial(cfg Config) {
	x.t.Helper()
	crowd, target := x.crowd(cfg), x.target()
	l := crowd.Loops()[0]
	l.Post(func() { l.Dial(target, 7) })
}

func (x *fixture) Opened(c *Conn, _, _ time.Duration) { x.events <- event{call: "opened", c: c} }
func (x *fixture) Failed(c *Conn, err *Error)         { x.events <- event{call: "failed", c: c, err: err} }

func (x *fixture) Message(c *Conn, op Opcode, payload []byte, _ time.Time) {
	x.events <- event{call: "message", c: c, op: op, payload: string(payload)}
}

func (x *fixture) Closed(c *Conn, code int, reason string, err *Error, _ time.Time) {
	x.events <- event{call: "closed", c: c, code: code, payload: reason, err: err}
}

func (x *fixture) expect(call string) event {
	x.t.Helper()
	select {
	case e := <-x.events:
		if e.call != call {
			x.t.Fatalf("%s (%v, %d %q); want %s", e.call, e.err, e.code, e.payload, call)
		}
		return e
	case <-time.After(patience):
		x.t.Fatalf("no %s", call)
	}
	panic("not reached")
}

// on runs f on c's loop and waits for it.
func on(c *Conn, f func()) {
	done := make(chan struct{})
	c.Loop().Post(func() { defer close(done); f() })
	<-done
}

// request reads the client's request.
func request(conn net.Conn) (*http.Request, *bufio.Reader, error) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	return r, in, err
}

func acceptOf(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgrade does the server's part of the handshake.
func upgrade(conn net.Conn) (*bufio.Reader, error) {
	r, in, err := request(conn)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: talk\r\n\r\n", acceptOf(r))
	return in, err
}

// serverFrame is a whole, unmasked frame with a payload of up to 65,535 bytes.
func serverFrame(op Opcode, payload string) []byte {
	if n := len(payload); n > 125 {
		return append([]byte{0x80 | byte(op), 126, byte(n >> 8), byte(n)}, payload...)
	}
	return append([]byte{0x80 | byte(op), byte(len(payload))}, payload...)
}

// clientFrame reads a frame of up to 65,535 bytes and takes its mask off.
func clientFrame(in io.Reader) (op Opcode, payload []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 == 0 {
		return 0, nil, fmt.Errorf("frame begins with %x", head[:2])
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		if _, err := io.ReadFull(in, head[2:]); err != nil {
			return 0, nil, err
		}
		n = int(head[2])<<8 | int(head[3])
	}
	rest := make([]byte, 4+n)
	if _, err := io.ReadFull(in, rest); err != nil {
		return 0, nil, err
	}
	for i := range n {
		rest[4+i] ^= rest[i%4]
	}
	return Opcode(head[0] & 0xf), rest[4:], nil
}

func reset(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
