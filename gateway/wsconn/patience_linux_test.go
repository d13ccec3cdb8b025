package wsconn

import (
	"crypto/tls"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// expiring is a connection whose write meets its deadline after the peer has acknowledged
// something, and after the timer has seen that.
type expiring struct {
	net.Conn
	tcp      *net.TCPConn
	patience *patience
}

func (e *expiring) NetConn() net.Conn { return e.tcp }

func (e *expiring) Write([]byte) (int, error) {
	before := e.patience.acked
	if _, err := e.tcp.Write([]byte("x")); err != nil {
		return 0, err
	}
	for begun := time.Now(); e.patience.acked == before && time.Since(begun) < faultConfig.WriteTimeout; {
		e.patience.look()
		runtime.Gosched()
	}
	return 0, os.ErrDeadlineExceeded
}

// TestTimerSeesProgressFirst: that a write meets its deadline means nothing if the timer has
// given the peer more time meanwhile, as both come together after a pause.
func TestTimerSeesProgressFirst(t *testing.T) {
	server, _ := tcpPair(t)
	defer func() { _ = server.Close() }()
	c := newGoroutineConn(NewGoroutine(faultConfig), server)
	conn := &expiring{Conn: server, tcp: server}
	c.conn = conn
	conn.patience = new(patience)
	conn.patience.begin(c)
	conn.patience.timer.Stop() // the test is the timer
	conn.patience.look()
	defer conn.patience.end()
	if n, err := c.writeWaiting([]byte("hello"), conn.patience); n != 0 || err != nil {
		t.Errorf("writing: %d, %v", n, err)
	}
}

// TestPatienceIsFree: under TLS each message has a flusher, which asks the kernel nothing
// and allocates nothing for its patience unless the peer needs it.
func TestPatienceIsFree(t *testing.T) {
	server, _ := tcpPair(t)
	defer func() { _ = server.Close() }()
	c := newGoroutineConn(NewGoroutine(faultConfig), tls.Server(server, nil))
	p := new(patience)
	flush := func() {
		p.begin(c)
		p.next()
		p.end()
	}
	flush()
	if n := testing.AllocsPerRun(100, flush); n != 0 || p.known {
		t.Errorf("%v allocations; asked: %t", n, p.known)
	}
}
