package wsconn

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"time"
)

// Keepalive finds peers that vanished without a word, behind the owner's own
// pings: rarely, because a probe wakes a sleeping phone.
//
// Each connection has an idle time of its own. The kernel's timers are seconds
// coarse that far ahead, so connections that came, or fell silent, together would be
// probed in one burst; loopback and veth drop what exceeds 1,000 packets of it
// (net.core.netdev_max_backlog), time and again, and the connection with it.
const (
	keepAliveIdle     = 60 * time.Second // and up to keepAliveSpread more
	keepAliveSpread   = 4 * time.Minute
	keepAliveInterval = 10 * time.Second
	keepAliveCount    = 3
)

// Listen is net.ListenConfig.Listen for sockets whose accepted ones come with what
// options our connections have alike: Linux hands those of the listening socket on.
// Connections of other listeners get theirs one by one. Of cfg it needs WriteTimeout and
// SendBuffer.
func Listen(ctx context.Context, network, address string, cfg *Config) (net.Listener, error) {
	return listen(ctx, network, address, cfg.socketOptions())
}

// socketOptions are those of which a Config decides.
type socketOptions struct {
	userTimeout time.Duration
	sendBuffer  int // bytes; 0 is the kernel's own
}

func (cfg *Config) socketOptions() socketOptions {
	return socketOptions{userTimeout(cfg.WriteTimeout), cfg.SendBuffer}
}

// prepared is a connection of Listen on Linux.
type prepared struct {
	*net.TCPConn
	options socketOptions
}

// bare is conn without the mark of Listen: what it is matters from here on.
func bare(conn net.Conn) net.Conn {
	if p, ok := conn.(*prepared); ok {
		return p.TCPConn
	}
	return conn
}

// setSocketOptions sets what is missing of the options of the TCP socket under conn, if
// there is one. Failures are ignored: the connection works without, only less well.
// (TCP_NODELAY is set by package net.)
func setSocketOptions(conn net.Conn, cfg *Config) {
	tcp, done := tcpUnder(conn)
	if tcp == nil {
		return
	}
	idle := keepAliveIdle + rand.N(keepAliveSpread).Truncate(time.Second)
	want := cfg.socketOptions()
	if done == want {
		_ = tcp.SetKeepAlivePeriod(idle)
		return
	}
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: idle, Interval: keepAliveInterval, Count: keepAliveCount})
	setUserTimeout(tcp, want.userTimeout)
	if want.sendBuffer > 0 {
		_ = tcp.SetWriteBuffer(want.sendBuffer)
	}
}

// userTimeout is how long sent bytes may stay unacknowledged. It comes after
// the write timeout, whose error says more. It also replaces the count of lost
// keepalive probes, so a shorter one would make the first lost probe fatal. The
// kernel counts milliseconds in 31 bits.
func userTimeout(writeTimeout time.Duration) time.Duration {
	const least, most = keepAliveIdle + keepAliveSpread + keepAliveCount*keepAliveInterval, math.MaxInt32 * time.Millisecond
	return min(max(writeTimeout, least/2), most/2) * 2
}

// tcpUnder unwraps conn as far as it says what it runs over; nil if not TCP. If it is
// prepared, that is with these options.
func tcpUnder(conn net.Conn) (tcp *net.TCPConn, done socketOptions) {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c, done
		case *prepared:
			return c.TCPConn, c.options
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, done
		}
	}
}
