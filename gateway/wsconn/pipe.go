package wsconn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pipe returns the two ends of a connection in memory. Unlike those of net.Pipe,
// each holds up to buffer bytes, at least one, that it has not read yet, so that a write need
// not meet a read; and Loop serves an end without a goroutine, as it does a socket.
func Pipe(buffer int) (*PipeEnd, *PipeEnd) {
	p := &pipe{buffer: int32(buffer)}
	for i := range p.ends {
		p.ends[i] = PipeEnd{pipe: p, peer: &p.ends[1-i], fd: -1}
	}
	return &p.ends[0], &p.ends[1]
}

// pipe is one allocation, so that a million of them are cheap.
type pipe struct {
	mu     sync.Mutex // a leaf but for the observers' locks
	buffer int32
	ends   [2]PipeEnd
}

// PipeEnd is one end of a Pipe: a net.Conn, with the calls that do not wait beside.
// A Close that leaves input unread, as one after SetLinger(0), resets the peer.
type PipeEnd struct {
	pipe *pipe
	peer *PipeEnd

	// All guarded by pipe.mu.
	in       []byte   // nil when there is none
	observer observer // of changes; nil when there is none
	fd       int32    // by which observer knows the end
	finished bool     // writes no more
	closed   bool
	linger0  bool
	reset    bool      // by the peer
	blocking *blocking // nil until somebody waits
}

// observer is told that an end's readiness may have changed; with pipe.mu held.
type observer interface{ changed(fd int32) }

// blocking is what an end needs for calls that wait.
type blocking struct {
	changed     chan struct{} // closed at the next change
	read, write time.Time     // deadlines
}

// TryRead reads what has come: EAGAIN if nothing, ECONNRESET, or 0 and no error at
// the end of the peer's direction, as read(2).
func (e *PipeEnd) TryRead(p []byte) (int, syscall.Errno) {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	switch {
	case e.closed:
		return 0, syscall.EBADF
	case len(e.in) > 0:
		n := copy(p, e.in)
		if e.in = e.in[n:]; len(e.in) == 0 {
			e.in = nil
		}
		e.peer.tellLocked()
		return n, 0
	case e.reset:
		return 0, syscall.ECONNRESET
	case e.peer.finished || len(p) == 0:
		return 0, 0
	}
	return 0, syscall.EAGAIN
}

// TryWrite writes what the peer has room for: EAGAIN if for nothing, EPIPE when
// the peer is gone or this end is finished, as write(2).
func (e *PipeEnd) TryWrite(p []byte) (int, syscall.Errno) {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	switch {
	case e.closed:
		return 0, syscall.EBADF
	case e.finished || e.peer.closed:
		return 0, syscall.EPIPE
	}
	n := min(len(p), int(e.pipe.buffer)-len(e.peer.in))
	if n == 0 && len(p) > 0 {
		return 0, syscall.EAGAIN
	}
	e.peer.in = append(e.peer.in, p[:n]...)
	e.peer.tellLocked()
	return n, 0
}

// Read implements net.Conn.
func (e *PipeEnd) Read(p []byte) (n int, err error) {
	err = e.await(func(b *blocking) time.Time { return b.read }, func() (errno syscall.Errno) {
		n, errno = e.TryRead(p)
		return errno
	})
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// Write implements net.Conn.
func (e *PipeEnd) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		err = e.await(func(b *blocking) time.Time { return b.write }, func() syscall.Errno {
			n, errno := e.TryWrite(p[written:])
			written += n
			return errno
		})
	}
	return written, err
}

// await repeats try while it says EAGAIN, until a deadline.
func (e *PipeEnd) await(deadline func(*blocking) time.Time, try func() syscall.Errno) error {
	for {
		e.pipe.mu.Lock()
		b := e.blockingLocked()
		until, changed := deadline(b), b.changed
		e.pipe.mu.Unlock()
		var late <-chan time.Time
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(left)
			defer timer.Stop()
			late = timer.C
		}
		switch errno := try(); errno {
		case 0:
			return nil
		case syscall.EBADF:
			return net.ErrClosed
		case syscall.EAGAIN:
		default:
			return errno
		}
		select {
		case <-changed:
		case <-late:
		}
	}
}

func (e *PipeEnd) blockingLocked() *blocking {
	if e.blocking == nil {
		e.blocking = new(blocking)
	}
	if e.blocking.changed == nil {
		e.blocking.changed = make(chan struct{})
	}
	return e.blocking
}

// tellLocked tells whoever observes or waits at e that something is different.
func (e *PipeEnd) tellLocked() {
	if e.observer != nil {
		e.observer.changed(e.fd)
	}
	if e.blocking != nil && e.blocking.changed != nil {
		close(e.blocking.changed)
		e.blocking.changed = nil
	}
}

// observe has o told of changes under the name fd; a nil o ends that. Who takes an
// end over waits there no more.
func (e *PipeEnd) observe(o observer, fd int32) {
	e.pipe.mu.Lock()
	e.observer, e.fd, e.blocking = o, fd, nil
	e.pipe.mu.Unlock()
}

// ready reports whether a read and a write would not have to wait.
func (e *PipeEnd) ready() (in, out bool) {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	gone := e.closed || e.reset || e.peer.closed
	return gone || len(e.in) > 0 || e.peer.finished, gone || len(e.peer.in) < int(e.pipe.buffer)
}

// Close implements net.Conn.
func (e *PipeEnd) Close() error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.peer.reset = e.peer.reset || e.linger0 || len(e.in) > 0
	e.closed, e.finished, e.in = true, true, nil
	e.tellLocked()
	e.peer.tellLocked()
	return nil
}

// CloseWrite ends this end's direction; the peer reads what is left, then io.EOF.
func (e *PipeEnd) CloseWrite() error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	e.finished = true
	e.peer.tellLocked()
	return nil
}

// SetLinger with 0 makes Close reset the peer, as that of net.TCPConn does. Other
// values have no meaning here.
func (e *PipeEnd) SetLinger(sec int) error {
	e.pipe.mu.Lock()
	e.linger0 = sec == 0
	e.pipe.mu.Unlock()
	return nil
}

// SetDeadline implements net.Conn.
func (e *PipeEnd) SetDeadline(t time.Time) error {
	return e.setDeadline(func(b *blocking) { b.read, b.write = t, t })
}

// SetReadDeadline implements net.Conn.
func (e *PipeEnd) SetReadDeadline(t time.Time) error {
	return e.setDeadline(func(b *blocking) { b.read = t })
}

// SetWriteDeadline implements net.Conn.
func (e *PipeEnd) SetWriteDeadline(t time.Time) error {
	return e.setDeadline(func(b *blocking) { b.write = t })
}

func (e *PipeEnd) setDeadline(set func(*blocking)) error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	set(e.blockingLocked())
	e.tellLocked()
	return nil
}

// LocalAddr implements net.Conn.
func (e *PipeEnd) LocalAddr() net.Addr { return pipeAddr{} }

// RemoteAddr implements net.Conn.
func (e *PipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
