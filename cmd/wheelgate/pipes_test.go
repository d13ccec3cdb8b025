package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// pipes is a listener on nothing; the server's ends of connections are sent to it.
type pipes struct {
	come     chan net.Conn
	done     chan struct{}
	once     sync.Once
	accepted atomic.Int64
}

func newPipes() *pipes { return &pipes{come: make(chan net.Conn, 10_000), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.come:
		p.accepted.Add(1)
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// dial returns the client's end of a connection that is waiting to be accepted.
func (p *pipes) dial(t *testing.T) net.Conn { return p.dialFrom(t, "192.0.2.1") }

func (p *pipes) dialFrom(t *testing.T, addr string) net.Conn {
	here, there := net.Pipe()
	p.come <- &addressed{here, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))}
	t.Cleanup(func() { _ = there.Close() })
	return there
}

// addressed is a pipe whose other end has an address.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (a *addressed) RemoteAddr() net.Addr { return a.remote }

// Read fails like a socket's when this end is closed.
func (a *addressed) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if err == io.ErrClosedPipe {
		err = net.ErrClosed
	}
	return n, err
}

// request sends a request and returns the status of the answer, 0 if there is none.
func request(t *testing.T, conn net.Conn, method, path, body string) int {
	t.Helper()
	go func() {
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	}()
	return status(conn)
}

// status reads an answer.
func status(conn net.Conn) int {
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// ended reports whether the other end has been closed, which the test knows to be still.
func ended(conn net.Conn) bool {
	_, err := conn.Read(make([]byte, 1))
	return err == io.EOF
}
