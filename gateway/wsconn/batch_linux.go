package wsconn

import "slices"

// A connection's sends in its own turn are gathered and written when the loop has
// had some more turns, before it waits: what it sends in one turn is one write, and
// the kernel's code for sending stays in the processor's cache from one connection
// to the next. uWebSockets calls it corking, but does it for one at a time.
const (
	// batchTurns is how many connections with something to write the first of them waits for.
	batchTurns = 32
	// batchBytes is what they have together; more is written at once.
	batchBytes = 32 << 10
)

// cork is whether what is sent to a connection joins its loop's batch.
type cork uint8

const (
	corkOff  cork = iota
	corkOn        // it is its turn
	corkHeld      // its turn is over and what is in the batch not written: queue behind that
)

// batch is what connections were sent in their turns. It belongs to its loop; in the
// turn of a connection, to who holds that one's mu.
type batch struct {
	bytes []byte // whole frames
	parts []part // in order; no connection has two
}

// part is one connection's, up to end in bytes.
type part struct {
	c   *loopConn
	end int
}

func newBatch() batch {
	return batch{bytes: make([]byte, 0, batchBytes), parts: make([]part, 0, batchTurns)}
}

func (b *batch) full() bool { return len(b.parts) == batchTurns }

// has reports whether c, whose turn it is, has a part.
func (b *batch) has(c *loopConn) bool {
	return len(b.parts) > 0 && b.parts[len(b.parts)-1].c == c
}

// add reports whether it had room for wire, of c, whose turn it is.
func (b *batch) add(c *loopConn, wire []byte) bool {
	if len(wire) > maxReused || len(b.bytes)+len(wire) > cap(b.bytes) {
		return false
	}
	b.bytes = append(b.bytes, wire...)
	if !b.has(c) {
		b.parts = append(b.parts, part{c: c})
	}
	b.parts[len(b.parts)-1].end = len(b.bytes)
	return true
}

// remove takes the part of c out, whose turn it is. The bytes are valid until the next add.
func (b *batch) remove(c *loopConn) []byte {
	if !b.has(c) {
		return nil
	}
	last, begin := len(b.parts)-1, 0
	if last > 0 {
		begin = b.parts[last-1].end
	}
	p := b.bytes[begin:]
	b.parts[last].c = nil
	b.bytes, b.parts = b.bytes[:begin], b.parts[:last]
	return p
}

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
		c.cork = corkHeld
	}
	c.mu.Unlock()
}

// writeBatch writes all that was gathered. Until then the loop does nothing else to
// those who have a part: what it has taken and what is pending has each of them once.
func (l *loop) writeBatch() {
	begin := 0
	parts := l.batch.parts
	for i, p := range parts {
		parts[i].c = nil
		l.writePart(p.c, l.batch.bytes[begin:p.end])
		begin = p.end
	}
	l.batch.bytes, l.batch.parts = l.batch.bytes[:0], parts[:0]
}

// writePart writes what c was sent in its turn.
func (l *loop) writePart(c *loopConn, p []byte) {
	c.mu.Lock()
	c.cork = corkOff
	err := c.writePartLocked(p)
	backlog := c.out != nil
	c.mu.Unlock()
	switch {
	case err != nil:
		c.lose(err)
		l.finish(c)
	case backlog:
		l.flush(c)
	}
}

// writePartLocked writes whole frames and puts those that the socket does not take
// before what is in the outbox.
func (c *loopConn) writePartLocked(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := c.writeNowLocked(p)
	if n == len(p) {
		return err
	}
	behind := c.out
	c.out = new(outbox)
	for len(p) > 0 {
		size := frameSize(p)
		if n < size {
			c.out.push(&Frame{wire: slices.Clone(p[:size]), op: Opcode(p[0] & opBits)}, n)
		}
		n, p = max(0, n-size), p[size:]
	}
	if behind != nil {
		for _, f := range behind.frames {
			c.out.push(f, 0)
		}
		c.out.dropped = behind.dropped
	}
	return err
}
