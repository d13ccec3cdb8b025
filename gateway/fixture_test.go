package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// transport is the one that start uses; onBoth sets it.
var transport = wsconn.KindGoroutine

// onBoth runs test on each transport.
func onBoth(t *testing.T, test func(*testing.T)) {
	t.Helper()
	kinds := []wsconn.Kind{wsconn.KindGoroutine}
	if _, err := wsconn.New(wsconn.KindLoop, wsconn.Config{}); err == nil {
		kinds = append(kinds, wsconn.KindLoop)
	}
	for _, kind := range kinds {
		transport = kind
		t.Run(kind.String(), test)
	}
}

// inBubble is onBoth with time that is not real.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onBoth(t, func(t *testing.T) { synctest.Test(t, test) })
}

// fixture is a running gateway behind a real net/http server. Its network is in
// memory, so that all of it runs in a synctest bubble.
type fixture struct {
	*gateway.Gateway
	t      *testing.T
	conns  pipeListener
	cancel context.CancelFunc // starts the drain
	ended  chan struct{}      // Run has returned
}

func start(t *testing.T, change func(*gateway.Config)) *fixture {
	t.Helper()
	cfg := gateway.DefaultConfig()
	cfg.DrainWindow = 0
	cfg.Transport = transport
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fixture{Gateway: g, t: t, conns: newPipeListener(), cancel: cancel, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/ws", g)
	mux.Handle("/echo", g.Echo())
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(f.conns) })
	go func() {
		defer close(f.ended)
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	for !g.Ready() {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() {
		cancel()
		<-f.ended
		_ = server.Close()
		serving.Wait()
		if err := g.Check(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// dial connects a client whose events the test reads from the result.
func (f *fixture) dial(path string) *client {
	f.t.Helper()
	c := newClient()
	conn := f.conns.dial()
	socket, _, err := gws.NewClientFromConn(c, &gws.ClientOption{Addr: "ws://gate.test" + path}, conn)
	if err != nil {
		f.t.Fatal(err)
	}
	c.Conn = socket
	go socket.ReadLoop()
	f.t.Cleanup(func() { _ = conn.Close(); <-c.gone })
	return c
}

// client is gws's client, which answers pings and close frames by itself.
type client struct {
	*gws.Conn
	opened   time.Time
	messages chan string
	pings    chan time.Time
	mute     atomic.Bool // does not answer pings

	gone   chan struct{} // closed after the fields below are set
	code   uint16
	reason string
	at     time.Time
}

func newClient() *client {
	return &client{opened: time.Now(), messages: make(chan string, 1000), pings: make(chan time.Time, 1000), gone: make(chan struct{})}
}

func (c *client) OnOpen(*gws.Conn) {}

func (c *client) OnClose(_ *gws.Conn, err error) {
	if e, ok := err.(*gws.CloseError); ok {
		c.code, c.reason = e.Code, string(e.Reason)
	}
	c.at = time.Now()
	close(c.gone)
}

func (c *client) OnPing(s *gws.Conn, payload []byte) {
	c.pings <- time.Now()
	if !c.mute.Load() {
		_ = s.WritePong(payload)
	}
}

func (c *client) OnPong(*gws.Conn, []byte) {}

func (c *client) OnMessage(_ *gws.Conn, m *gws.Message) {
	c.messages <- string(m.Bytes())
	_ = m.Close()
}

// expectClose waits for the end and checks what the client was told.
func (c *client) expectClose(t *testing.T, code uint16, reason string) {
	t.Helper()
	<-c.gone
	if c.code != code || c.reason != reason {
		t.Errorf("closed with %d %q; want %d %q", c.code, c.reason, code, reason)
	}
}

func (c *client) open() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// one returns the only session.
func (f *fixture) one() *gateway.Session {
	f.t.Helper()
	sessions, _ := f.Sessions(0, 2)
	if len(sessions) != 1 {
		f.t.Fatalf("%d sessions; want 1", len(sessions))
	}
	return sessions[0]
}

func (f *fixture) broadcast(text string, want int) {
	f.t.Helper()
	if n, err := f.Broadcast(wsconn.Text, []byte(text)); err != nil || n != want {
		f.t.Errorf("broadcast: %d, %v; want %d sessions", n, err, want)
	}
}

// pipeListener is a net.Listener of connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

// pipeBuffer is small, so that outboxes are used as over net.Pipe, which has none.
const pipeBuffer = 16

func newPipeListener() pipeListener {
	return pipeListener{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
}

func (l pipeListener) dial() net.Conn {
	if transport == wsconn.KindLoop {
		here, there := wsconn.Pipe(pipeBuffer)
		l.conns <- there
		return here
	}
	here, there := net.Pipe()
	l.conns <- there
	return here
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// rawDial does a handshake by hand and returns the bare connection, for clients
// that do what no library does. It is closed with the test.
func (f *fixture) rawDial(path string) net.Conn {
	f.t.Helper()
	conn := f.conns.dial()
	f.t.Cleanup(func() { _ = conn.Close() })
	go func() { _, _ = io.WriteString(conn, handshake(path)) }()
	var answer []byte
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) { // and no byte of what follows
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			f.t.Fatalf("handshake: %v after %q", err, answer)
		}
		answer = append(answer, b[0])
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		f.t.Fatalf("handshake: %q", answer)
	}
	return conn
}

// handshake is RFC 6455's own example.
func handshake(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: gate.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
}
