//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	messageSize = 128 // bytes, echoed and broadcast
	window      = 64  // handshakes, or light echoes, at a time
	// patience is how long the server may deliver nothing that is waited for.
	patience = 20 * time.Second
)

// handshake is RFC 6455's example, so that the answer's accept is known.
const (
	handshake = "GET /echo HTTP/1.1\r\nHost: peers.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// client is one connection.
type client struct {
	fd    int
	have  int    // bytes of the frame that is arriving
	early []byte // of the answer to the handshake, nil when that has come
}

// crowd is all connections to one server, read by one thread over one epoll set.
// All messages, in both directions, are the same, so a client compares bytes.
type crowd struct {
	epoll   int
	server  unix.SockaddrInet4
	clients []*client
	up, got int // handshakes done; frames received
	payload []byte
	out, in []byte        // the frame, masked and not
	onUp    func()        // after a handshake
	onFrame func(*client) // after a whole frame
	events  []unix.EpollEvent
	buf     []byte
}

func newCrowd(listen string) (*crowd, error) {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &crowd{
		epoll:   epoll,
		server:  unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()},
		payload: bytes.Repeat([]byte("wheelgate peers "), messageSize/16),
		events:  make([]unix.EpollEvent, 256), buf: make([]byte, 16<<10),
	}
	length := binary.BigEndian.AppendUint16(nil, messageSize)
	c.in = append(append([]byte{0x82, 126}, length...), c.payload...)
	mask := []byte{0x5a, 0xa5, 0x3c, 0xc3}
	c.out = append(append([]byte{0x82, 0x80 | 126}, length...), mask...)
	for i, b := range c.payload {
		c.out = append(c.out, b^mask[i%4])
	}
	return c, nil
}

// close closes all connections, without a close frame.
func (c *crowd) close() {
	for _, p := range c.clients {
		_ = unix.Close(p.fd)
	}
	_ = unix.Close(c.epoll)
	c.clients = nil
}

// connect opens connections, window at a time, until there are n, and returns when all
// have been answered.
func (c *crowd) connect(ctx context.Context, n int) error {
	var failed error
	dial := func() {
		if failed == nil && len(c.clients) < n {
			failed = c.dial()
		}
	}
	c.onUp = dial
	for range window {
		dial()
	}
	return errors.Join(c.pump(ctx, func() bool { return failed != nil || c.up == n }), failed)
}

func (c *crowd) dial() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p := &client{fd: fd, early: []byte{}}
	c.clients = append(c.clients, p)
	if err := unix.Connect(fd, &c.server); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte(handshake)); err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(c.clients) - 1)}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &event)
}

// pump reads what arrives until done, for as long as something does.
func (c *crowd) pump(ctx context.Context, done func() bool) error {
	last := time.Now()
	for !done() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := c.turn(50)
		if err != nil {
			return err
		}
		if n > 0 {
			last = time.Now()
		} else if time.Since(last) > patience {
			return fmt.Errorf("nothing came for %v: %d of %d connected, %d frames", patience, c.up, len(c.clients), c.got)
		}
	}
	return nil
}

// turn reads what has arrived, and waits for it for some milliseconds. It returns for
// how many clients something had.
func (c *crowd) turn(milliseconds int) (int, error) {
	n, err := unix.EpollWait(c.epoll, c.events, milliseconds)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, err
	}
	for i := range max(n, 0) {
		if err := c.read(c.clients[c.events[i].Fd]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// read takes what has arrived for p; epoll tells when there is more.
func (c *crowd) read(p *client) error {
	n, err := unix.Read(p.fd, c.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("reading: %w", err)
	case n == 0:
		return errors.New("the server closed a connection")
	case p.early != nil:
		return c.readAnswer(p, c.buf[:n])
	}
	for b := c.buf[:n]; len(b) > 0; {
		take := min(len(b), len(c.in)-p.have)
		if !bytes.Equal(b[:take], c.in[p.have:p.have+take]) {
			return fmt.Errorf("not the frame that was sent: % x", b[:take])
		}
		b, p.have = b[take:], p.have+take
		if p.have == len(c.in) {
			p.have = 0
			c.got++
			c.onFrame(p)
		}
	}
	return nil
}

// readAnswer takes a part of the answer to the handshake.
func (c *crowd) readAnswer(p *client, b []byte) error {
	p.early = append(p.early, b...)
	if !bytes.HasSuffix(p.early, []byte("\r\n\r\n")) {
		return nil
	}
	if !bytes.HasPrefix(p.early, []byte("HTTP/1.1 101 ")) || !bytes.Contains(p.early, []byte(accept)) {
		return fmt.Errorf("refused: %q", p.early)
	}
	p.early = nil
	c.up++
	c.onUp()
	return nil
}

// send sends the message from p. The socket takes it, since p awaits the echo
// before it sends again.
func (c *crowd) send(p *client) error {
	n, err := unix.Write(p.fd, c.out)
	if err == nil && n < len(c.out) {
		err = errors.New("partial write")
	}
	return err
}

// echo sends total messages and awaits their echoes: as many at a time as there
// are from, each by the client that next returns for the one just answered.
func (c *crowd) echo(ctx context.Context, from []*client, total int, next func(*client) *client) error {
	var failed error
	left, until := total, c.got+total
	send := func(p *client) {
		if left > 0 && failed == nil {
			left--
			failed = c.send(p)
		}
	}
	c.onFrame = func(p *client) { send(next(p)) }
	for _, p := range from {
		send(p)
	}
	return errors.Join(c.pump(ctx, func() bool { return failed != nil || c.got >= until }), failed)
}

// echoAll makes every client echo times messages, window at a time.
func (c *crowd) echoAll(ctx context.Context, times int) error {
	i := min(window, len(c.clients))
	return c.echo(ctx, c.clients[:i], times*len(c.clients), func(*client) *client {
		p := c.clients[i%len(c.clients)]
		i++
		return p
	})
}

// echoBusy makes busy clients, spread over all, echo total messages, each the
// next when it has the last.
func (c *crowd) echoBusy(ctx context.Context, busy, total int) error {
	var from []*client
	for i := range busy {
		from = append(from, c.clients[i*len(c.clients)/busy])
	}
	return c.echo(ctx, from, total, func(p *client) *client { return p })
}

// echoPaced makes busy clients, spread over all, echo rate messages a second for d,
// one of them after the other, and awaits the last echo. It sleeps on its thread: what
// it sends is some 50 us late, by the kernel's slack, and mostly alone.
func (c *crowd) echoPaced(ctx context.Context, busy, rate int, d time.Duration) error {
	c.onFrame = func(*client) {}
	total := int(d.Seconds() * float64(rate))
	begin, until, sent := time.Now(), c.got+total, 0
	due := func() time.Duration { return time.Duration(sent) * time.Second / time.Duration(rate) }
	for sent < total {
		for ; sent < total && due() <= time.Since(begin); sent++ {
			if err := c.send(c.clients[sent%busy*len(c.clients)/busy]); err != nil {
				return err
			}
		}
		if _, err := c.turn(0); err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if wait := due() - time.Since(begin); wait > 0 {
			spec := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&spec, nil)
		}
	}
	return c.pump(ctx, func() bool { return c.got >= until })
}

// broadcast awaits times messages to all, which post requests one after another.
// At most ahead of them are on their way at a time, and one in every interval
// begins.
func (c *crowd) broadcast(ctx context.Context, times, ahead int, interval time.Duration, post func() error) error {
	n, start := len(c.clients), c.got
	c.onFrame = func(*client) {}
	posted := make(chan error, 1)
	places := make(chan struct{}, times) // one for each broadcast that may begin
	for range min(ahead, times) {
		places <- struct{}{}
	}
	go func() { posted <- postAll(ctx, times, interval, places, post) }()
	given, finished, failed := ahead, false, error(nil)
	err := c.pump(ctx, func() bool {
		for given < times && c.got-start >= (given-ahead+1)*n {
			places <- struct{}{}
			given++
		}
		select {
		case failed = <-posted:
			finished = true
		default:
		}
		return failed != nil || finished && c.got-start >= times*n
	})
	return errors.Join(err, failed)
}

func postAll(ctx context.Context, times int, interval time.Duration, places <-chan struct{}, post func() error) error {
	for range times {
		select {
		case <-places:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		next := time.Now().Add(interval)
		if err := post(); err != nil {
			return err
		}
		time.Sleep(time.Until(next))
	}
	return nil
}
