package client

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// dial begins to connect c: a non-blocking connect(2) that epoll tells the end of.
func (p *poller) dial(c *Conn, t *Target) error {
	family := unix.AF_INET
	if t.addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	for fd >= len(p.conns) {
		p.conns = append(p.conns, nil)
	}
	p.age++
	c.fd, c.age = int32(fd), p.age
	p.conns[fd] = c
	if err := c.loop.prepare(fd); err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr(t.addr)); err != nil && err != unix.EINPROGRESS {
		return os.NewSyscallError("connect", err)
	}
	c.watched = unix.EPOLLOUT
	return os.NewSyscallError("epoll_ctl", p.control(unix.EPOLL_CTL_ADD, c.fd, c.age, unix.EPOLLOUT))
}

// prepare sets a socket's options before it connects.
func (l *Loop) prepare(fd int) error {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only speed
	stamp(fd)
	if n := l.crowd.cfg.ReceiveBuffer; n > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	source, ok := l.nextSource()
	if !ok {
		return nil
	}
	leavePortOpen(fd)
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
		// Not wrapped: no port is chosen here, so EADDRNOTAVAIL speaks of the address.
		return fmt.Errorf("source %v: bind: %v", source, err)
	}
	return nil
}

// leavePortOpen has bind(2) leave the choice of the port to connect(2), which knows
// the destination: a port is then taken only together with that, not for all of them.
func leavePortOpen(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // before Linux 4.2 ports run out early
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Unmap().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// silence has the kernel drop all that arrives for a socket. What had arrived is
// acknowledged now: an acknowledgement that was delayed would go out after.
func silence(fd int) error {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return os.NewSyscallError("setsockopt",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop}))
}
