package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// linkBuffer is what a link reads at a time, in bytes.
const linkBuffer = 4 << 10

// link is the wire of a connection that epoll alone cannot serve: TLS, and
// systems without epoll. A goroutine reads; what it has read is handed to the loop, and
// it waits till the loop is done with it. Each write has a goroutine, one at a time.
type link struct {
	loop   *Loop
	c      *Conn
	target *Target
	source netip.Addr
	cancel context.CancelFunc
	taken  chan struct{}   // the loop is done with what was read
	ended  <-chan struct{} // the link is closed

	// Of the loop.
	tcp     net.Conn
	conn    net.Conn // tcp, or TLS over it; nil until connected
	sending bool
	held    func() // what came while the connection was paused
}

func startLink(c *Conn, t *Target) *link {
	ctx, cancel := context.WithCancel(context.Background())
	l := c.loop
	k := &link{loop: l, c: c, target: t, cancel: cancel, ended: ctx.Done(), taken: make(chan struct{}, 1)}
	k.source, _ = l.nextSource()
	l.links[k] = struct{}{}
	l.crowd.running.Go(func() { k.run(ctx) })
	return k
}

// run connects and reads until the link is closed.
func (k *link) run(ctx context.Context) {
	tcp, conn, err := k.dial(ctx)
	if tcp != nil {
		defer tcp.Close()
	}
	if !k.hand(func() { k.connected(tcp, conn, err) }) || err != nil {
		return
	}
	buf := make([]byte, linkBuffer)
	for {
		n, err := conn.Read(buf)
		at := time.Now()
		if !k.hand(func() { k.read(buf[:n], err, at) }) || err != nil {
			return
		}
	}
}

func (k *link) dial(ctx context.Context) (tcp, conn net.Conn, err error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { leavePortOpen(int(fd)) })
	}}
	if k.source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(k.source, 0))
	}
	if tcp, err = d.DialContext(ctx, "tcp", k.target.addr.String()); err != nil {
		return nil, nil, err
	}
	if n := k.loop.crowd.cfg.ReceiveBuffer; n > 0 {
		if err := tcp.(*net.TCPConn).SetReadBuffer(n); err != nil {
			return tcp, nil, err
		}
	}
	if !k.target.secure {
		return tcp, tcp, nil
	}
	cfg := k.loop.crowd.cfg.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = k.target.host
	}
	secure := tls.Client(tcp, cfg)
	return tcp, secure, secure.HandshakeContext(ctx)
}

// hand has f run on the loop and waits until it, or what it held back, is done.
// It reports whether to go on.
func (k *link) hand(f func()) bool {
	k.loop.Post(f)
	select {
	case <-k.taken:
		return true
	case <-k.ended:
	case <-k.loop.crowd.closing:
	}
	return false
}

func (k *link) connected(tcp, conn net.Conn, err error) {
	if tcp != nil {
		k.tcp, k.conn = tcp, conn
	}
	switch {
	case k.c.state == gone:
		k.close(nil, true) // ended while it connected
	case k.c.state == silent:
		_ = k.vanish(nil)
	case err != nil:
		k.c.ended(err)
	default:
		k.c.connected()
	}
	k.taken <- struct{}{}
}

func (k *link) read(b []byte, err error, at time.Time) {
	if k.c.paused || k.c.state == silent {
		k.held = func() { k.read(b, err, at) }
		return
	}
	if len(b) > 0 {
		k.c.input(b, at)
	}
	if err != nil && k.c.state != gone {
		k.c.ended(err)
	}
	k.taken <- struct{}{}
}

func (k *link) write(_ *Conn, b []byte) (int, error) {
	if k.sending {
		return 0, nil
	}
	k.sending = true
	b = append([]byte(nil), b...)
	k.loop.crowd.running.Go(func() { k.send(k.conn, b) })
	return len(b), nil
}

// send writes, however long that takes, and lets the connection go on.
func (k *link) send(conn net.Conn, b []byte) {
	_, err := conn.Write(b)
	k.loop.Post(func() {
		k.sending = false
		switch {
		case k.c.state == gone || k.c.state == silent:
		case err != nil:
			_ = k.c.broke(err)
		default:
			k.c.writable()
		}
	})
}

func (k *link) watch(c *Conn) {
	if !c.paused && k.held != nil {
		k.loop.Post(k.held) // not now: the handler may be at work
		k.held = nil
	}
}

func (k *link) close(_ *Conn, reset bool) {
	k.cancel()
	delete(k.loop.links, k)
	if k.tcp == nil {
		return // run closes what it has
	}
	if tcp, ok := k.tcp.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = k.tcp.Close() // TLS is not told: that could block
}

func (k *link) vanish(*Conn) error {
	if k.tcp == nil {
		return nil // there is nothing yet to be silent on
	}
	raw, err := k.tcp.(*net.TCPConn).SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) { err = silence(int(fd)) })
		if err == nil {
			err = controlErr
		}
	}
	return err
}
