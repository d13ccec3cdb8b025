package wsconn

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
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
	raw         syscall.RawConn
	userTimeout time.Duration
	accepted    atomic.Uint32
}

// sameIdle is how many connections that came one after another may have the same
// keepalive idle time, for the sake of a system call for each.
const sameIdle = 8

func listen(ctx context.Context, network, address string, userTimeout time.Duration) (net.Listener, error) {
	config := listenConfig(userTimeout)
	config.SetMultipathTCP(false) // it has no TCP_USER_TIMEOUT
	l, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l, nil // a Unix socket has none of them
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &listener{TCPListener: tcp, raw: raw, userTimeout: userTimeout}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	if l.accepted.Add(1)%sameIdle == 0 {
		_ = l.raw.Control(func(fd uintptr) { // else those to come keep the last one
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(randomIdle().Seconds()))
		})
	}
	return &prepared{tcp, l.userTimeout}, nil
}

func listenConfig(userTimeout time.Duration) net.ListenConfig {
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(randomIdle().Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval.Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds())},
	}
	return net.ListenConfig{
		KeepAlive: -1, // or package net sets its own on each connection
		Control: func(network, _ string, raw syscall.RawConn) (err error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil // a Unix socket has none of them
			}
			ctlErr := raw.Control(func(fd uintptr) {
				for _, o := range options {
					if err == nil {
						err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
					}
				}
			})
			if err == nil {
				err = ctlErr
			}
			return err
		},
	}
}
