package wsconn

import "golang.org/x/sys/unix"

// aheadBytes is what is read ahead of a connection, in bytes: no more than the least that a
// turn has room for. Most messages are shorter.
const aheadBytes = leastInput

// ahead is what was read of connections whose turns come next, with one system call
// through a ring: a third of what a read costs is the call.
type ahead struct {
	buf   []byte // nil until it is needed
	reads [senderSize]transfer
	left  []transfer // of reads: of the first that are pending; without p what was not read
}

// readAhead reads what the next that are pending have sent. It is a loss for one alone.
func (l *loop) readAhead() {
	ring, n := l.sender.ring, min(len(l.pending), senderSize)
	if ring == nil || n < 2 {
		return
	}
	if l.ahead.buf == nil {
		l.ahead.buf = make([]byte, senderSize*aheadBytes)
	}
	reads := l.ahead.reads[:n]
	for i, e := range l.pending[:n] {
		reads[i] = transfer{fd: -1}
		if c := l.owners[i]; c != nil && c.slot >= 0 && c.input != inputKept && e.Events&^unix.EPOLLOUT != 0 {
			reads[i] = transfer{fd: c.fd, p: l.ahead.buf[i*aheadBytes:][:aheadBytes]}
		}
	}
	for i := ring.read(reads); i < n; i++ {
		reads[i].p = nil
	}
	l.ahead.left = reads
}

// nextRead is what was read of the first that is pending, if anything was.
func (l *loop) nextRead() (read transfer) {
	if len(l.ahead.left) == 0 {
		l.readAhead()
	}
	if len(l.ahead.left) > 0 {
		read, l.ahead.left = l.ahead.left[0], l.ahead.left[1:]
	}
	return read
}

// finishRead copies what was read ahead of c to input, with the rest if that may not be all.
func (l *loop) finishRead(c *loopConn, read transfer, input []byte) (int, unix.Errno) {
	switch {
	case read.errno == unix.EAGAIN:
		return 0, read.errno
	case read.errno != 0: // a ring's or the socket's, which tells it only once: see sender.write
		n, errno := l.read(c.fd, input)
		if n == 0 && errno == 0 {
			errno = read.errno
		}
		return n, errno
	}
	n := copy(input, read.p[:read.n])
	if read.n == len(read.p) {
		more, _ := l.read(c.fd, input[n:]) // an end shows again
		n += more
	}
	return n, 0
}
