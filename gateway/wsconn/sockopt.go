package wsconn

import (
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

// ListenConfig returns how to listen so that accepted sockets come with the options
// of our connections: Linux hands those of the listening socket on. Connections of
// other listeners get theirs one by one. The writeTimeout is Config's.
func ListenConfig(writeTimeout time.Duration) net.ListenConfig {
	return listenConfig(userTimeout(writeTimeout))
}

// randomIdle is a keepalive idle time for one connection, in whole seconds.
func randomIdle() time.Duration {
	return keepAliveIdle + rand.N(keepAliveSpread).Truncate(time.Second)
}

// setSocketOptions prepares the TCP socket under conn, if there is one, whatever
// the listener did. Failures are ignored: the connection works
// without, only less well. (TCP_NODELAY is set by package net.)
func setSocketOptions(conn net.Conn, writeTimeout time.Duration) {
	tcp := tcpUnder(conn)
	if tcp == nil {
		return
	}
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: randomIdle(), Interval: keepAliveInterval, Count: keepAliveCount,
	})
	setUserTimeout(tcp, userTimeout(writeTimeout))
}

// userTimeout is how long sent bytes may stay unacknowledged. It comes after
// the write timeout, whose error says more. It also replaces the count of lost
// keepalive probes, so a shorter one would make the first lost probe fatal.
func userTimeout(writeTimeout time.Duration) time.Duration {
	return max(2*writeTimeout, keepAliveIdle+keepAliveSpread+keepAliveCount*keepAliveInterval)
}

// tcpUnder unwraps conn as far as it says what it runs over; nil if not TCP.
func tcpUnder(conn net.Conn) *net.TCPConn {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
