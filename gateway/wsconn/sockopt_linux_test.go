package wsconn_test

import (
	"bufio"
	"context"
	"math"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"golang.org/x/sys/unix"
)

// TestSocketOptions: connections have them, whatever the listener did.
func TestSocketOptions(t *testing.T) {
	cfg := testConfig
	cfg.WriteTimeout = 200 * time.Second
	over := func(listen func(context.Context, string, string) (net.Listener, error)) func(testing.TB) (net.Listener, func() net.Conn) {
		return func(t testing.TB) (net.Listener, func() net.Conn) { return listenWith(t, listen) }
	}
	own := over(func(ctx context.Context, network, address string) (net.Listener, error) {
		return wsconn.Listen(ctx, network, address, &cfg)
	})
	for _, l := range []link{
		{name: "a listener of Listen", listen: own},
		{name: "TLS on it", listen: func(t testing.TB) (net.Listener, func() net.Conn) { return withTLS(own(t)) }},
		{name: "another transport's", listen: over(listenOwn)},
		{name: "a listener of package net", listen: over(new(net.ListenConfig).Listen)},
	} {
		for name, tr := range map[string]transport{"goroutine": wsconn.NewGoroutine(cfg), "loop": newLoop(t)(cfg)} {
			t.Run(name+" on "+l.name, func(t *testing.T) {
				var sockets []*os.File
				srv := newServer(t, spy{tr, &sockets}, l, nil)
				idle := map[int]bool{}
				for i := range 40 {
					srv.connect()
					checkOptions(t, sockets[i])
					idle[getOption(t, sockets[i], unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)] = true
					_ = sockets[i].Close()
				}
				if len(idle) < 20 { // of 240
					t.Errorf("40 connections have %d idle times: they would be probed together", len(idle))
				}
			})
		}
	}
}

// TestListenOnUnix: clients may come through a proxy on this machine.
func TestListenOnUnix(t *testing.T) {
	l, err := wsconn.Listen(t.Context(), "unix", t.TempDir()+"/socket", &testConfig)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func checkOptions(t *testing.T, tcp *os.File) {
	t.Helper()
	f := func(name string, level, option, want int) {
		t.Helper()
		if got := getOption(t, tcp, level, option); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	f("TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	f("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	if idle := getOption(t, tcp, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); idle < 60 || idle >= 300 {
		t.Errorf("TCP_KEEPIDLE is %d, want 60 to 300", idle)
	}
	f("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10)
	f("TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
	f("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 400_000)
}

func TestUserTimeout(t *testing.T) {
	f := func(write, want time.Duration) {
		t.Helper()
		if got := wsconn.UserTimeout(write); got != want {
			t.Errorf("user timeout for %v is %v, want %v", write, got, want)
		}
	}
	f(time.Second, 330*time.Second) // not before all keepalive probes
	f(time.Hour, 2*time.Hour)
	f(10_000*time.Hour, math.MaxInt32*time.Millisecond) // what the kernel takes
}

func getOption(t *testing.T, tcp *os.File, level, option int) (value int) {
	t.Helper()
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, option) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// spy is a transport that keeps a descriptor of each socket it takes over.
type spy struct {
	transport
	sockets *[]*os.File
}

func (s spy) Upgrade(w http.ResponseWriter, r *http.Request, open func(wsconn.Conn) wsconn.Handler) error {
	return s.transport.Upgrade(spyWriter{w, s.sockets}, r, open)
}

type spyWriter struct {
	http.ResponseWriter
	sockets *[]*os.File
}

func (w spyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	under := conn
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		under = over.NetConn()
	}
	file, err := under.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, nil, err
	}
	*w.sockets = append(*w.sockets, file) // not a net.FileConn, which would set options
	return conn, buffered, nil
}
