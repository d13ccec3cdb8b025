package wsconn

import (
	"net"
	"os"
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

// completeInherited does what a listening socket of listenConfig cannot do for those
// it accepts, and reports whether fd is one of them.
func completeInherited(fd int, userTimeout time.Duration) bool {
	if !hasUserTimeout(fd, userTimeout) {
		return false
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(randomIdle().Seconds()))
	return true
}

func hasUserTimeout(fd int, d time.Duration) bool {
	ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	return err == nil && ms == int(d.Milliseconds())
}

// listenConfig sets TCP_USER_TIMEOUT last: it stands for all of them. See completeInherited.
func listenConfig(userTimeout time.Duration) net.ListenConfig {
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle.Seconds())},
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
