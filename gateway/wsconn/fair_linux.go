package wsconn

import "slices"

const (
	// turnInput is what is read of a connection in a turn, in bytes, but for a longer frame.
	turnInput = 16 << 10
	// deflateInput is turnInput for a session with compression: it may inflate to a
	// thousand times as much.
	deflateInput = 4 << 10
	// leastInput holds no more frames than a turn takes.
	leastInput = turnFrames * minFrame
	// mostKept is what a loop keeps before it reads leastInput of each, in bytes.
	mostKept = 4 << 20
)

// kept is what was read of c and waits for c's next turn.
type kept struct {
	c    *loopConn
	rest []byte
	size int // bytes that it holds in memory
}

// inputState is how far a connection's input has got.
type inputState uint8

const (
	inputOpen  inputState = iota
	inputKept             // some waits in the loop: nothing is read until that is used up
	inputEnded            // the peer's direction has ended; ours has still to
)

// queue holds what is kept, in the order in which the turns come.
type queue struct {
	all   []kept
	due   int // how many of the first have their turn before the loop looks for events again
	bytes int // held in memory
}

// put keeps rest for c, a copy of it unless that is size bytes kept before.
func (q *queue) put(c *loopConn, rest []byte, size int) {
	if size == 0 {
		rest = slices.Clone(rest)
		size = cap(rest)
	}
	q.all = append(q.all, kept{c, rest, size})
	q.bytes += size
	c.input = inputKept
}

func (q *queue) take() kept {
	k := q.all[0]
	q.all[0] = kept{}
	q.all = q.all[1:]
	q.due--
	q.bytes -= k.size
	k.c.input = inputOpen
	return k
}

// turnKept is the turn of the first for whom something is kept.
func (l *loop) turnKept() {
	k := l.kept.take()
	if k.c.slot < 0 {
		return // it has ended
	}
	l.take(k.c, k.rest, k.size)
}

// goOn gives gws more of the current connection's turn, and reports whether there was more.
func (l *loop) goOn() bool {
	c := l.current
	if c == nil || len(l.rest) == 0 || l.left.over() || l.inputOver(c) {
		return false
	}
	l.give(c)
	return true
}

// inputOver reports whether what c has sent no longer matters.
func (l *loop) inputOver(c *loopConn) bool {
	return c.deaf.Load() || c.guard.end != stepMore || l.verdict != (verdict{})
}

// keepRest is for the end of c's turn.
func (l *loop) keepRest(c *loopConn, rest []byte) {
	if len(rest) > 0 && c.slot >= 0 {
		l.kept.put(c, rest, l.restSize)
	}
}

// inputFor is where to read what c has sent.
func (l *loop) inputFor(c *loopConn) []byte {
	switch {
	case l.kept.bytes >= mostKept:
		return l.input[:leastInput]
	case c.guard.window != 0:
		return l.input[:deflateInput]
	}
	return l.input[:turnInput]
}

// readOn reads what follows the first n bytes of l.input, which were all there was room
// for, if it is of the same frame.
func (l *loop) readOn(c *loopConn, n int) int {
	left := wholeTurn
	used, missing := c.guard.cut(l.input[:n], &left)
	if used < n || missing == 0 || c.guard.window != 0 {
		return n
	}
	more, _ := l.read(c.fd, l.input[n:][:min(missing, uint64(loopBuffer-n))]) // an end shows again
	return n + more
}
