//go:build !race

package bench_test

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// vanish cuts the cable: from now on c takes nothing off the network, no
// acknowledgement either, and when it is closed by the caller no FIN goes out. The
// socket itself is closed after d; done is called then.
func vanish(c *net.TCPConn, d time.Duration, done func()) error {
	file, err := c.File() // keeps the socket open
	if err != nil {
		return err
	}
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	err = unix.SetsockoptSockFprog(int(file.Fd()), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
	time.AfterFunc(d, func() {
		_ = file.Close()
		done()
	})
	return err
}
