package wsconn

import (
	"net"
	"sync"
	"time"
)

// patience is a flusher's with its peer. It ends when the peer has acknowledged nothing for
// the write timeout. What the kernel takes says less: it may be into a buffer that grows.
// Where the kernel does not tell of acknowledgements, what it takes has to do.
//
// The kernel is asked from time to time only: most flushers end before. Until the first
// time what it takes has to do as well.
type patience struct {
	mu    sync.Mutex
	c     *goroutineConn // nil when over
	tcp   *net.TCPConn   // under c; nil if there is none
	known bool           // the kernel has told
	acked uint64
	until time.Time   // the write deadline
	timer *time.Timer // looks from time to time, at TCP; nil until the first time
}

// begin gives c a whole write timeout. Its end has to be told with end.
func (p *patience) begin(c *goroutineConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.c, p.known = c, false
	p.tcp, _ = tcpUnder(c.conn)
	p.extend()
	switch {
	case p.tcp == nil:
	case p.timer == nil:
		p.timer = time.AfterFunc(p.pause(), p.again)
	default:
		p.timer.Reset(p.pause())
	}
}

// pause is between two looks.
func (p *patience) pause() time.Duration { return p.c.transport.cfg.WriteTimeout / 8 }

func (p *patience) extend() {
	p.until = time.Now().Add(p.c.transport.cfg.WriteTimeout)
	_ = p.c.conn.SetWriteDeadline(p.until)
}

// again is the timer's. It may come late, and meet the next flusher's patience.
func (p *patience) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tcp != nil {
		p.lookLocked()
		p.timer.Reset(p.pause())
	}
}

// next is for the next chunk, as the kernel has taken the last one.
func (p *patience) next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		p.extend()
	}
}

// look gives the write timeout anew if the peer has acknowledged something. It reports
// whether some of it is left, as the timer may have seen the last progress before, and
// whether the kernel tells.
func (p *patience) look() (lasts, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookLocked()
	return p.known && time.Now().Before(p.until), p.known
}

func (p *patience) lookLocked() {
	if acked, known := p.ask(); known && (!p.known || acked > p.acked) {
		p.acked, p.known = acked, true
		p.extend()
	}
}

func (p *patience) ask() (acked uint64, known bool) {
	if p.tcp == nil {
		return 0, false
	}
	raw, err := p.tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) { acked, known = ackedBy(int(fd)) })
	return acked, known
}

// end leaves no deadline, which a later try would meet.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tcp != nil {
		p.timer.Stop()
	}
	_ = p.c.conn.SetWriteDeadline(time.Time{})
	p.c, p.tcp = nil, nil
}
