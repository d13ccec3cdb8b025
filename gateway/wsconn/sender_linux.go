package wsconn

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// senderSize is how many connections are written to with one system call. Meanwhile
	// nothing else runs on its thread: some 400 us on loopback, where a send is its
	// receiver's work too. With 8 of them most of the gain is lost.
	senderSize = 64
	// senderBytes bounds the same for long frames.
	senderBytes = 128 << 10
)

// sender writes to several connections at once. From add until flush their mu is
// locked; so long it waits for no other one's, or two senders might wait for each
// other. It is for one goroutine at a time.
type sender struct {
	ring      *ring // nil: one system call for each
	transfers [senderSize]transfer
	targets   [senderSize]target
	n, bytes  int
	sent      uint64 // bytes in all
}

// target is whose a transfer is.
type target struct {
	c   *loopConn
	f   *Frame // which it is of; nil for c's part of the batch
	err *error // for what Send would return; nil if nobody asks
}

func newSender(cfg *Config) *sender {
	s := new(sender)
	if cfg.IOUring {
		s.ring, _ = newRing(senderSize)
	}
	return s
}

func (s *sender) close() {
	if s.ring != nil {
		s.ring.close()
	}
}

// lock locks c's mu, and flushes before if it would have to wait or add has no room.
func (s *sender) lock(c *loopConn) {
	if s.n == senderSize || s.bytes >= senderBytes || !c.mu.TryLock() {
		s.flush()
		c.mu.Lock()
	}
}

// add has p written to c, whose mu is locked; flush unlocks it.
func (s *sender) add(p []byte, to target) {
	s.transfers[s.n] = transfer{fd: to.c.fd, p: p}
	s.targets[s.n] = to
	s.n++
	s.bytes += len(p)
}

// flush writes what was added.
func (s *sender) flush() {
	s.write()
	for i := range s.n {
		t := &s.targets[i]
		err := t.c.sentLocked(t.f, &s.transfers[i])
		t.c.mu.Unlock()
		if t.err != nil {
			*t.err = err
		}
		*t, s.transfers[i] = target{}, transfer{}
	}
	s.n, s.bytes = 0, 0
}

func (s *sender) write() {
	done := 0
	if s.ring != nil && s.n > 1 {
		done = s.ring.write(s.transfers[:s.n])
	}
	for i := range s.n {
		t, c := &s.transfers[i], s.targets[i].c
		if i >= done {
			t.n, t.errno = c.loop.write(t.fd, t.p)
		} else if first := t.errno; first != 0 && first != unix.EAGAIN {
			// Not all errors that a ring has are the socket's. But if it is, the
			// socket tells the reason only once, and EPIPE from then on.
			if t.n, t.errno = c.loop.write(t.fd, t.p); t.errno == unix.EPIPE {
				t.errno = first
			}
		}
		s.sent += uint64(t.n)
	}
}

// sentLocked queues what the socket did not take of f, or of c's part of the batch. It
// returns what Send does.
func (c *loopConn) sentLocked(f *Frame, t *transfer) error {
	if t.errno != 0 && t.errno != unix.EAGAIN {
		if f == nil {
			c.queueLocked(nil, t.p, 0) // it counts as unsent
		}
		c.loseLocked(os.NewSyscallError("write", t.errno))
		return ErrClosed
	}
	if t.n < len(t.p) {
		c.queueLocked(f, t.p, t.n)
		c.attendLocked()
	}
	return nil
}

// SendAll is as for Goroutine.
func (t *Loop) SendAll(f *Frame, conns []Conn, errs []error) {
	t.compress(f, conns)
	s := t.senders.Get().(*sender)
	s.ring = t.rings.take()
	defer func() {
		t.rings.give(s.ring)
		s.ring = nil
		t.toMany.Add(s.sent)
		s.sent = 0
		t.senders.Put(s)
	}()
	for i, conn := range conns {
		c, ok := conn.(*loopConn)
		if !ok {
			s.flush()
			errs[i] = conn.Send(f)
			continue
		}
		own := c.encoded(f)
		s.lock(c)
		if c.atOnceLocked() {
			s.add(own.wire, target{c, own, &errs[i]})
			continue
		}
		_, errs[i] = c.sendLocked(own)
		c.mu.Unlock()
	}
	s.flush()
}

// compress compresses f as conns need it, which takes too long to be done while others
// are locked.
func (t *Loop) compress(f *Frame, conns []Conn) {
	if !t.cfg.Compression {
		return
	}
	for _, conn := range conns {
		if c, ok := conn.(*loopConn); ok && c.guard.window != 0 {
			c.encoded(f)
		}
	}
}

// atOnceLocked reports whether a frame can go to the socket now.
func (c *loopConn) atOnceLocked() bool {
	_, socket := c.loop.poller.(*sockets)
	return socket && c.cork == corkOff && !c.joining && c.out.empty() && !c.out.isEvicted() &&
		c.farewell == farewellNone && !c.lost && c.ending == nil
}

// rings are those of SendAll: as many as processors, as more would not run at the same
// time and each takes a descriptor.
type rings struct {
	mu    sync.Mutex
	free  []*ring
	left  int // to be made
	ended bool
}

// take returns nil if there is none: its caller goes on without.
func (p *rings) take() *ring {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		r := p.free[last]
		p.free = p.free[:last]
		return r
	}
	if p.left == 0 || p.ended {
		return nil
	}
	p.left--
	r, err := newRing(senderSize)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
		p.left++ // it may pass
	}
	return r
}

// give takes back what take returned.
func (p *rings) give(r *ring) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r == nil:
	case p.ended:
		r.close()
	default:
		p.free = append(p.free, r)
	}
}

// end has them closed.
func (p *rings) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, r := range p.free {
		r.close()
	}
	p.free = nil
}
