package wsconn

import "slices"

// A connection's sends in its own turn are gathered and written when the loop has
// had some more turns, before it waits: what it sends in one turn is one write, and
// the kernel's code for sending stays in the processor's cache from one connection
// to the next. uWebSockets calls it corking, but does it for one at a time.
const (
	// batchTurns is how many connections with something to write the first of them waits for.
	batchTurns = 64
	// batchBytes is what they have together; who finds no room is written to at once.
	batchBytes = 64 << 10
)

// cork is whether what is sent to a connection joins its loop's batch.
type cork uint8

const (
	corkOff  cork = iota
	corkOn        // it is its turn
	corkHeld      // its turn is over; from here on the number of its part is added, which is not written
)

// batch is what connections were sent in their turns. It belongs to its loop; in the
// turn of a connection, to who holds that one's mu. A part of a connection that is held
// does not change, and is for whoever holds its mu.
type batch struct {
	buf   [batchBytes]byte // whole frames
	parts [batchTurns]part // in order; no connection has two
	n     int              // parts
	used  int              // bytes
}

// part is one connection's.
type part struct {
	c          *loopConn
	begin, end int // in buf
	frames     int
}

func (b *batch) full() bool { return b.n == batchTurns }

// has reports whether c, whose turn it is, has a part: the last.
func (b *batch) has(c *loopConn) bool { return b.n > 0 && b.parts[b.n-1].c == c }

// add reports whether it had room for wire, of c, whose turn it is. A part stays within
// the bounds of an outbox, where it may end up.
func (b *batch) add(c *loopConn, wire []byte) bool {
	if len(wire) > maxReused || b.used+len(wire) > batchBytes {
		return false
	}
	if !b.has(c) {
		b.parts[b.n] = part{c: c, begin: b.used}
		b.n++
	}
	p, cfg := &b.parts[b.n-1], &c.loop.t.cfg
	if p.frames > 0 && (p.frames == cfg.OutboxMessages || p.end-p.begin+len(wire) > cfg.OutboxBytes) {
		return false
	}
	b.used += copy(b.buf[b.used:], wire)
	p.end, p.frames = b.used, p.frames+1
	return true
}

// remove takes the part of c out, whose turn it is. The bytes are valid until the next add.
func (b *batch) remove(c *loopConn) []byte {
	if !b.has(c) {
		return nil
	}
	b.n--
	p := &b.parts[b.n]
	p.c, b.used = nil, p.begin
	return b.buf[p.begin:p.end]
}

// held is the part with that number.
func (b *batch) held(number cork) []byte { return b.buf[b.parts[number].begin:b.parts[number].end] }

// beginCork is the begin of c's turn.
func (l *loop) beginCork(c *loopConn) {
	c.mu.Lock()
	c.cork = corkOn
	c.mu.Unlock()
}

// endCork is the end of c's turn.
func (l *loop) endCork(c *loopConn) {
	c.mu.Lock()
	c.cork = corkOff
	if l.batch.has(c) {
		c.cork = corkHeld + cork(l.batch.n-1)
	}
	c.mu.Unlock()
}

// writeBatch writes all that was gathered. Until then the loop does nothing else to
// those who have a part: what is pending has each of them once, and of what it has taken
// only who was not watched yet gets a turn.
func (l *loop) writeBatch() {
	for i := range l.batch.n {
		c := l.batch.parts[i].c
		l.batch.parts[i].c = nil
		l.sender.lock(c)
		if p := c.partLocked(); len(p) > 0 {
			l.sender.add(p, target{c: c})
		} else { // somebody has written it
			c.mu.Unlock()
		}
	}
	l.sender.flush()
	l.batch.n, l.batch.used = 0, 0
}

// partLocked takes c's part out of the batch.
func (c *loopConn) partLocked() (p []byte) {
	switch {
	case c.cork == corkOn:
		p = c.loop.batch.remove(c)
	case c.cork >= corkHeld:
		p = c.loop.batch.held(c.cork - corkHeld)
		c.cork = corkOff
	}
	return p
}

// uncorkLocked writes c's part of the batch, and queues what the socket does not take
// of it: nothing else is queued as long as there is a part.
func (c *loopConn) uncorkLocked() error {
	p := c.partLocked()
	if len(p) == 0 {
		return nil
	}
	n, err := c.writeNowLocked(p)
	if n < len(p) {
		c.queueLocked(nil, p, n)
	}
	return err
}

// queueLocked queues f, or a part of the batch, of which the socket took n bytes.
func (c *loopConn) queueLocked(f *Frame, part []byte, n int) {
	if c.out == nil {
		c.out = newOutbox(&c.loop.t.cfg.Budgets.outboxes, loopOutbox{c})
	}
	if f != nil {
		c.out.push(f, n)
		return
	}
	for n < len(part) {
		size := frameSize(part)
		if n < size {
			c.out.push(&Frame{wire: slices.Clone(part[:size]), op: Opcode(part[0] & opBits)}, n)
		}
		n, part = max(0, n-size), part[size:]
	}
}
