package wsconn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// transport is what the contract is about; every transport of the package is one.
type transport interface {
	Upgrade(w http.ResponseWriter, r *http.Request, open func(wsconn.Conn) wsconn.Handler) error
	SendAll(f *wsconn.Frame, conns []wsconn.Conn, errs []error)
	Wait()
}

var testConfig = wsconn.Config{
	MaxMessage:       64 << 10,
	OutboxMessages:   64,
	OutboxBytes:      1 << 20,
	WriteTimeout:     patience,
	HandshakeTimeout: patience,
	IOUring:          true,
}

// event is one Handler call.
type event struct {
	kind    string
	op      wsconn.Opcode
	payload string // or the reason of a close
	code    uint16
	v       wsconn.Violation
	end     wsconn.End
}

// session is a Handler that records what it is told and checks the order.
type session struct {
	heard      atomic.Int64 // calls of Heard
	unfinished atomic.Bool  // of Unfinished, the last
	begun      atomic.Int64 // calls of it with true

	t      testing.TB
	conn   wsconn.Conn
	events chan event
	react  func(event) // called within each Handler call; may be nil

	busy   atomic.Bool
	closed atomic.Bool
}

func (s *session) record(e event) {
	if !s.busy.CompareAndSwap(false, true) {
		s.t.Errorf("%s overlaps another call", e.kind)
	}
	if s.closed.Load() {
		s.t.Errorf("%s after Closed", e.kind)
	}
	s.closed.Store(e.kind == "closed")
	defer s.busy.Store(false)
	s.events <- e
	if s.react != nil {
		s.react(e)
	}
}

func (s *session) Message(op wsconn.Opcode, p []byte) {
	s.record(event{kind: "message", op: op, payload: string(p)})
}

func (s *session) Ping(p []byte) { s.record(event{kind: "ping", payload: string(p)}) }

func (s *session) Heard() { s.heard.Add(1) }
func (s *session) Unfinished(b bool) {
	s.unfinished.Store(b)
	if b {
		s.begun.Add(1)
	}
}

func (s *session) Pong(p []byte)                { s.record(event{kind: "pong", payload: string(p)}) }
func (s *session) Violation(v wsconn.Violation) { s.record(event{kind: "violation", v: v}) }
func (s *session) PeerClosed(code uint16, reason string) {
	s.record(event{kind: "peer closed", code: code, payload: reason})
}
func (s *session) Closed(end wsconn.End) { s.record(event{kind: "closed", end: end}) }

// expect waits for the next call and returns it; it must be of the kind.
func (s *session) expect(kind string) event {
	s.t.Helper()
	return s.expectWithin(kind, patience)
}

func (s *session) expectWithin(kind string, d time.Duration) event {
	s.t.Helper()
	select {
	case e := <-s.events:
		if kind != "" && e.kind != kind {
			s.t.Fatalf("handler got %+v, want %s", e, kind)
		}
		return e
	case <-time.After(d):
		s.t.Fatalf("no call came, want %q", kind)
		return event{}
	}
}

func (s *session) expectAny() event { s.t.Helper(); return s.expectWithin("", patience) }

func (s *session) send(op wsconn.Opcode, payload string) error {
	f, err := wsconn.NewFrame(op, []byte(payload))
	if err != nil {
		s.t.Errorf("NewFrame: %v", err)
		return err
	}
	return s.conn.Send(f)
}

// sendWhenRoom sends a text as soon as the outbox takes it: a peer may have read
// what a flusher has not yet heard to be written.
func (s *session) sendWhenRoom(text string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := s.send(wsconn.Text, text)
		if err == nil {
			return
		}
		if !errors.Is(err, wsconn.ErrFull) || time.Now().After(deadline) {
			s.t.Fatalf("Send: %v", err)
		}
		runtime.Gosched()
	}
}

// echo answers like an echo server.
func (s *session) echo(e event) {
	switch e.kind {
	case "message":
		_ = s.send(e.op, e.payload)
	case "ping":
		_ = s.send(wsconn.Pong, e.payload)
	case "peer closed":
		s.conn.Close(e.code, e.payload)
	case "violation":
		s.conn.Close([]uint16{1002, 1007, 1009, 1011, 1013, 1013}[e.v], "")
	}
}

// link is a kind of connection a transport can serve.
type link struct {
	name string
	half bool // the connection can be closed in one direction
	// listen returns a listener and how to connect to it.
	listen func(t testing.TB) (net.Listener, func() net.Conn)
}

var links = []link{
	{"tcp", true, listenTCP}, {"tls", true, listenTLS}, {"net.Pipe", false, listenPipe(netPipe)}, {"memory", true, listenPipe(memoryPipe)},
}

func listenTCP(t testing.TB) (net.Listener, func() net.Conn) { return listenWith(t, listenOwn) }

// listenOwn is Listen for testConfig.
func listenOwn(ctx context.Context, network, address string) (net.Listener, error) {
	return wsconn.Listen(ctx, network, address, &testConfig)
}

func listenWith(t testing.TB, listen func(ctx context.Context, network, address string) (net.Listener, error)) (net.Listener, func() net.Conn) {
	l, err := listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return narrow{l}, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(kernelBuffer)
		return conn
	}
}

// kernelBuffer keeps what the kernel takes far below testConfig.OutboxBytes, so
// that an outbox which is full stays so while nobody reads.
const kernelBuffer = 64 << 10

// narrow is a TCP listener whose connections have a small send buffer.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		_ = conn.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(kernelBuffer)
	}
	return conn, err
}

// testCertificate is httptest's, valid for 127.0.0.1.
var testCertificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
})

func listenTLS(t testing.TB) (net.Listener, func() net.Conn) {
	return withTLS(listenTCP(t))
}

func withTLS(l net.Listener, dial func() net.Conn) (net.Listener, func() net.Conn) {
	server := &tls.Config{Certificates: []tls.Certificate{testCertificate()}}
	return tls.NewListener(l, server), func() net.Conn {
		return tls.Client(dial(), &tls.Config{InsecureSkipVerify: true})
	}
}

func listenPipe(pipe func() (server, client net.Conn)) func(testing.TB) (net.Listener, func() net.Conn) {
	return func(testing.TB) (net.Listener, func() net.Conn) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		return l, func() net.Conn {
			server, client := pipe()
			l.conns <- server
			return client
		}
	}
}

func netPipe() (server, client net.Conn) { return net.Pipe() }

func memoryPipe() (server, client net.Conn) { return wsconn.Pipe(kernelBuffer) }

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// server serves one transport over one kind of link.
type server struct {
	t        testing.TB
	dial     func() net.Conn
	opened   chan *session
	upgraded chan error     // what Upgrade returned, one per request
	setup    func(*session) // within open; may be nil
	mu       sync.Mutex     // guards sessions
	sessions []*session     // to abort in the end
	stop     func()         // idempotent: ends all and waits
}

// newServer starts a server; the test's end stops it, and so checks that every
// goroutine of the transport ends.
func newServer(t testing.TB, tr transport, l link, setup func(*session)) *server {
	listener, dial := l.listen(t)
	s := &server{t: t, dial: dial, setup: setup, opened: make(chan *session, 1000), upgraded: make(chan error, 1000)}
	httpServer := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.upgraded <- tr.Upgrade(w, r, s.open) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = httpServer.Serve(listener)
	}()
	s.stop = sync.OnceFunc(func() {
		_ = httpServer.Close()
		<-served
		s.mu.Lock()
		for _, session := range s.sessions {
			session.conn.Abort()
		}
		s.mu.Unlock()
		tr.Wait()
		for _, session := range s.sessions {
			if !session.closed.Load() {
				t.Error("Wait returned before Closed")
			}
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) open(conn wsconn.Conn) wsconn.Handler {
	session := &session{t: s.t, conn: conn, events: make(chan event, 10000)}
	s.mu.Lock()
	s.sessions = append(s.sessions, session)
	s.mu.Unlock()
	if s.setup != nil {
		s.setup(session)
	}
	s.opened <- session
	return session
}

// connect opens one connection; extra goes out with the request.
func (s *server) connect(extra ...[]byte) (*client, *session) {
	s.t.Helper()
	return s.connectWith(request, extra...)
}

func (s *server) connectWith(request string, extra ...[]byte) (*client, *session) {
	s.t.Helper()
	c := handshake(s.t, s.dial(), request, extra...)
	session := <-s.opened
	if err := <-s.upgraded; err != nil {
		s.t.Fatalf("Upgrade: %v", err)
	}
	return c, session
}

// echoing is a setup for newServer.
func echoing(s *session) { s.react = s.echo }

// fill sends until the outbox is full and stays so: the kernel may take more
// for a moment. It returns how many frames were accepted.
func fill(t testing.TB, s *session, payload string) (accepted int) {
	t.Helper()
	f, err := wsconn.NewFrame(wsconn.Binary, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	const settled = 20 * time.Millisecond
	for full := time.Now(); time.Since(full) < settled; {
		switch err := s.conn.Send(f); {
		case err == nil:
			accepted++
			full = time.Now()
		case errors.Is(err, wsconn.ErrFull):
			time.Sleep(settled / 20)
		default:
			t.Fatalf("Send: %v", err)
		}
	}
	return accepted
}
