package wsconn

import (
	"context"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout sets TCP_USER_TIMEOUT (RFC 5482).
func setUserTimeout(tcp *net.TCPConn, d time.Duration) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// listener is a TCP listener of Listen.
type listener struct {
	*net.TCPListener
	options socketOptions
}

func (l *listener) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &prepared{tcp, l.options}, nil
}

func listen(ctx context.Context, network, address string, options socketOptions) (net.Listener, error) {
	var failed bool
	config := net.ListenConfig{
		KeepAlive: -1, // or package net sets its own on each connection
		Control: func(network, _ string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil // a Unix socket has none of them
			}
			return raw.Control(func(fd uintptr) { failed = !prepare(int(fd), options) })
		},
	}
	config.SetMultipathTCP(false) // it has no TCP_USER_TIMEOUT
	l, err := config.Listen(ctx, network, address)
	if tcp, ok := l.(*net.TCPListener); ok && !failed {
		return &listener{tcp, options}, nil
	}
	return l, err
}

// prepare sets what all connections have alike. It reports whether the system has it all.
func prepare(fd int, o socketOptions) bool {
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval.Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.userTimeout.Milliseconds())},
	} {
		if unix.SetsockoptInt(fd, option.level, option.name, option.value) != nil {
			return false
		}
	}
	return o.sendBuffer == 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, o.sendBuffer) == nil
}
