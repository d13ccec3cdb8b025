package wsconn_test

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"golang.org/x/sys/unix"
)

func TestSocketOptions(t *testing.T) {
	for _, l := range links[:2] {
		t.Run(l.name, func(t *testing.T) {
			cfg := testConfig
			cfg.WriteTimeout = 100 * time.Second
			var conn net.Conn
			srv := newServer(t, spy{wsconn.NewGoroutine(cfg), &conn}, l, nil)
			srv.connect()
			if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
				conn = over.NetConn()
			}
			checkOptions(t, conn)
		})
	}
}

// TestListenConfig: accepted sockets have the options before anything is done to them.
func TestListenConfig(t *testing.T) {
	cfg := wsconn.ListenConfig(100 * time.Second)
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checkOptions(t, conn)
}

// TestListenConfigOfUnix: clients may come through a proxy on this machine.
func TestListenConfigOfUnix(t *testing.T) {
	cfg := wsconn.ListenConfig(time.Second)
	l, err := cfg.Listen(t.Context(), "unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func checkOptions(t *testing.T, conn net.Conn) {
	t.Helper()
	f := func(name string, level, option, want int) {
		t.Helper()
		if got := getOption(t, conn.(*net.TCPConn), level, option); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	f("TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	f("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	f("TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60)
	f("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10)
	f("TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
	f("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 200_000)
}

func TestUserTimeout(t *testing.T) {
	f := func(write, want time.Duration) {
		t.Helper()
		if got := wsconn.UserTimeout(write); got != want {
			t.Errorf("user timeout for %v is %v, want %v", write, got, want)
		}
	}
	f(time.Second, 90*time.Second) // not before all keepalive probes
	f(time.Minute, 2*time.Minute)
}

func getOption(t *testing.T, tcp *net.TCPConn, level, option int) (value int) {
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

// spy is a transport that notes the socket before it is taken over.
type spy struct {
	*wsconn.Goroutine
	conn *net.Conn
}

func (s spy) Upgrade(w http.ResponseWriter, r *http.Request, open func(wsconn.Conn) wsconn.Handler) error {
	return s.Goroutine.Upgrade(spyWriter{w, s.conn}, r, open)
}

type spyWriter struct {
	http.ResponseWriter
	conn *net.Conn
}

func (w spyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	*w.conn = conn
	return conn, buffered, err
}
