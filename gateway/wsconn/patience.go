package wsconn

import (
	"sync"
	"syscall"
	"time"
)

// patience is a flusher's with its peer. It ends when the peer has acknowledged nothing for
// the write timeout. What the kernel takes says less: it may be into a buffer that grows.
// Where the kernel does not tell of acknowledgements, what it takes has to do.
type patience struct {
	c   *goroutineConn
	raw syscall.RawConn // nil: not TCP

	mu    sync.Mutex
	known bool // the kernel tells
	acked uint64
	until time.Time   // the write deadline
	timer *time.Timer // looks from time to time; nil when over, or not known
}

// newPatience begins with a whole write timeout. Its end has to be told with end.
func (c *goroutineConn) newPatience() *patience {
	p := &patience{c: c}
	if tcp, _ := tcpUnder(c.conn); tcp != nil {
		p.raw, _ = tcp.SyscallConn()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked, p.known = p.ask()
	p.extend()
	if p.known {
		p.timer = time.AfterFunc(p.c.transport.cfg.WriteTimeout/8, p.again)
	}
	return p
}

func (p *patience) ask() (acked uint64, known bool) {
	if p.raw != nil {
		_ = p.raw.Control(func(fd uintptr) { acked, known = ackedBy(int(fd)) })
	}
	return acked, known
}

func (p *patience) extend() {
	p.until = time.Now().Add(p.c.transport.cfg.WriteTimeout)
	_ = p.c.conn.SetWriteDeadline(p.until)
}

// again is the timer's.
func (p *patience) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.lookLocked()
		p.timer.Reset(p.c.transport.cfg.WriteTimeout / 8)
	}
}

// look gives the write timeout anew if the peer has acknowledged something. It reports
// whether some of it is left: the timer may have seen the last progress before.
func (p *patience) look() (lasts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookLocked()
	return p.known && time.Now().Before(p.until)
}

func (p *patience) lookLocked() {
	if acked, known := p.ask(); known && acked > p.acked {
		p.acked = acked
		p.extend()
	}
}

// end leaves no deadline, which a later try would meet.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	_ = p.c.conn.SetWriteDeadline(time.Time{})
}
