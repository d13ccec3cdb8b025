package wsconn

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// loopBuffer is the most that is read of a connection in a turn, in bytes.
const loopBuffer = 64 << 10

// loop is one event loop. All of it belongs to its goroutine unless it says otherwise.
type loop struct {
	inert
	t *Loop
	poller
	pending []unix.EpollEvent // not looked at yet
	owners  []*loopConn       // whose they are, in owned
	owned   [loopEvents]*loopConn
	input   []byte // what a connection gave in this turn
	ahead   ahead
	output  []byte // for gathering small frames
	batch   batch
	sender  *sender

	slots   slots                  // for any goroutine
	blocked map[*loopConn]blockage // with a backlog
	checked time.Time              // when blocked was last looked over

	current  *loopConn // whose turn it is; nil between turns
	pieces   [][]byte  // its input for gws
	piece    int       // the first of them that gws has not read yet
	rest     []byte    // its input after those
	restSize int       // bytes that rest holds in memory; 0: it is of input
	left     share     // of its turn
	verdict  verdict
	fresh    partial // of the connections that hold nothing back
	kept     queue

	meter     meter
	stopwatch stopwatch
	turns     atomic.Uint64 // times that look has begun; stored by the loop only
	resting   atomic.Bool   // in a wait; as turns
	stopping  atomic.Bool
	mu        sync.Mutex
	posted    []*loopConn // guarded by mu: something changed, see attend
	spare     []*loopConn // the other buffer, all of it attended to but taken
	taken     []*loopConn
}

func newEventLoop(t *Loop, open func() (poller, error)) (*loop, error) {
	p, err := open()
	if err != nil {
		return nil, err
	}
	s := new(sender)
	if _, ok := p.(*sockets); ok {
		s = newSender(&t.cfg)
	}
	return &loop{
		t: t, poller: p, sender: s,
		input: make([]byte, loopBuffer), output: make([]byte, writeChunk),
		blocked: make(map[*loopConn]blockage),
	}, nil
}

func (l *loop) release() {
	l.sender.close()
	l.poller.release()
}

// post asks the loop to attend to c; from any goroutine.
func (l *loop) post(c *loopConn) {
	l.mu.Lock()
	l.posted = append(l.posted, c)
	first := len(l.posted) == 1
	l.mu.Unlock()
	if first {
		l.wake()
	}
}

// nextTurn goes on until a connection has input: its turn.
func (l *loop) nextTurn() {
	for l.current == nil && !l.stopping.Load() {
		switch {
		case l.batch.full():
			l.writeBatch()
		case len(l.taken) > 0:
			c := l.taken[0]
			l.taken[0] = nil
			l.taken = l.taken[1:]
			l.attend(c)
		case len(l.pending) > 0:
			read, e, c := l.nextRead(), l.pending[0], l.owners[0]
			l.owners[0] = nil
			l.pending, l.owners = l.pending[1:], l.owners[1:]
			l.handle(c, e.Events, read)
		case l.kept.due > 0:
			l.turnKept()
		case l.batch.n > 0:
			l.writeBatch()
		default:
			l.look(!l.takePosted())
		}
	}
}

// look asks the poller what is ready, each time that what is posted was taken: one may
// bring the next about for long.
func (l *loop) look(mayWait bool) {
	l.turns.Store(l.turns.Load() + 1)
	l.meter.tell(l.sender.sent)
	l.stopwatch.look(&l.t.cfg)
	l.dropStuck()
	l.kept.due = min(len(l.kept.all), loopEvents)
	limit := atOnce
	switch {
	case !mayWait || l.kept.due > 0:
	case len(l.blocked) > 0: // peers that do not take what they are sent have to be watched
		limit = l.t.cfg.WriteTimeout / 8
	default:
		limit = forEver
	}
	if limit == atOnce {
		l.pending = l.wait(limit)
	} else {
		l.resting.Store(true)
		l.pending = l.wait(limit)
		l.resting.Store(false)
	}
	l.stopwatch.begin(l.turns.Load(), &l.t.cfg)
	l.owners = l.slots.owners(l.pending, l.owned[:0])
}

// takePosted reports whether somebody asked for attention.
func (l *loop) takePosted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted, l.spare = l.spare[:0], l.posted
	l.taken = l.spare
	return len(l.taken) > 0
}

func (l *loop) handle(c *loopConn, events uint32, read transfer) {
	if c == nil || c.slot < 0 {
		return // the eventfd, as takePosted comes before the next wait; or c has ended
	}
	if events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
	if c.slot >= 0 && events&^unix.EPOLLOUT != 0 && c.input != inputKept {
		l.receive(c, read)
	}
}

// attend does what others have asked for c: to join, to write on, to end.
func (l *loop) attend(c *loopConn) {
	c.mu.Lock()
	c.attending = false
	gone, lost, backlog := c.fd < 0, c.lost, !c.out.empty()
	evicted := c.out.isEvicted()
	c.mu.Unlock()
	if !gone {
		l.tellEvicted(c, evicted)
	}
	switch {
	case gone:
	case lost:
		l.finish(c)
	case c.slot < 0:
		l.welcome(c, backlog)
	case backlog:
		l.flush(c)
	}
}

// welcome is the first turn of a connection that joined with something to do.
func (l *loop) welcome(c *loopConn, backlog bool) {
	early := c.partial
	c.partial = nil
	if err := l.register(c); err != nil {
		c.lose(err)
		l.finish(c)
		return
	}
	if backlog {
		l.flush(c)
	}
	if early != nil && c.slot >= 0 {
		l.meter.in += uint64(len(early.bytes))
		l.take(c, early.bytes, cap(early.bytes))
	}
}

// register has the poller watch c for input; for whoever owns c.
func (l *loop) register(c *loopConn) error {
	l.slots.take(c)
	if err := l.watch(unix.EPOLL_CTL_ADD, c.fd, unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.slot, Pad: c.age}); err != nil {
		l.slots.give(c.slot)
		c.slot = -1
		return err
	}
	return nil
}

// interest changes what c is watched for.
func (l *loop) interest(c *loopConn, events uint32) error {
	return l.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EpollEvent{Events: events, Fd: c.slot, Pad: c.age})
}

// receive takes some of what has come on c, of which some may be read.
func (l *loop) receive(c *loopConn, read transfer) {
	input := l.inputFor(c)
	n, errno := 0, unix.Errno(0)
	if read.p != nil {
		n, errno = l.finishRead(c, read, input)
	} else {
		n, errno = l.read(c.fd, input)
	}
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.lose(os.NewSyscallError("read", errno))
		l.finish(c)
	case n == 0:
		l.hungUp(c)
	default:
		if n == len(input) {
			n = l.readOn(c, n)
		}
		l.meter.in += uint64(n)
		l.take(c, l.input[:n], 0)
	}
}

// take begins c's turn with input, which holds size bytes in memory, 0 if it is l.input.
func (l *loop) take(c *loopConn, input []byte, size int) {
	if c.deaf.Load() || c.guard.end != stepMore {
		l.forget(c)
		return
	}
	l.current = c
	l.beginCork(c)
	if !l.t.cfg.guarded(c.handler.Heard) {
		l.endTurn(true)
		return
	}
	l.rest, l.restSize, l.left = input, size, wholeTurn
	l.give(c)
}

// give has gws read the next of c's turn.
func (l *loop) give(c *loopConn) {
	n, _ := c.guard.cut(l.rest, &l.left)
	input := l.rest[:n]
	l.rest = l.rest[n:]
	p := c.partial
	if p == nil {
		p = &l.fresh
	}
	l.pieces = p.split(&c.guard, input, l.pieces)
	if len(p.bytes) == 0 {
		l.forget(c)
		return
	}
	if p == &l.fresh {
		c.partial = &partial{bytes: p.bytes, frame: p.frame, text: p.text, holder: holder{owner: loopPartial{c}}}
		l.fresh.drop()
	}
	budget, n := &l.t.cfg.Budgets.partials, c.partial.memory()
	if !budget.settle(&c.partial.holder, n, n) {
		c.guard.stop(OverBudget)
		l.forget(c)
	}
	budget.check()
}

// forget drops what c holds back: it is complete, or never will be.
func (l *loop) forget(c *loopConn) {
	if c.partial != nil {
		l.t.cfg.Budgets.partials.settle(&c.partial.holder, 0, 0)
		c.partial = nil
	}
}

// hungUp is the end of c's input. It is not the end of its output: a close frame
// that is queued still goes out, bounded by the write timeout and by Abort.
func (l *loop) hungUp(c *loopConn) {
	if c.hasFarewell() {
		c.input = inputEnded
		if l.interest(c, unix.EPOLLOUT) == nil {
			return
		}
	}
	c.end(io.EOF)
	l.finish(c)
}

// endTurn tells the current connection's handler why its input ended, if it did.
func (l *loop) endTurn(panicked bool) {
	c := l.current
	if c == nil {
		return
	}
	rest := l.rest
	l.current, l.rest = nil, nil
	l.endCork(c)
	v := l.verdict
	l.verdict = verdict{}
	if c.deaf.Load() {
		return
	}
	ended := panicked || v != (verdict{}) || c.guard.end != stepMore
	if unfinished, tell := c.guard.news(); tell && !ended {
		panicked = !l.t.cfg.guarded(func() { c.handler.Unfinished(unfinished) })
		ended = panicked
	}
	if !ended {
		l.keepRest(c, rest)
		return
	}
	if c.guard.end == stepMore {
		c.guard.end = stepRefused // no input follows
	}
	if !l.t.cfg.guarded(func() { v.report(c.handler, &c.guard, panicked) }) {
		c.Abort() // nobody is left to do it
	}
}

// flush writes c's outbox until the socket is full or the outbox empty.
func (l *loop) flush(c *loopConn) {
	progress, done, err := c.writeOn(l.output[:0])
	if err != nil {
		c.lose(err)
		l.finish(c)
		return
	}
	_, waiting := l.blocked[c]
	switch {
	case !done:
		l.noteBlocked(c, progress)
		if !waiting && c.input != inputEnded {
			err = l.interest(c, unix.EPOLLIN|unix.EPOLLOUT)
		}
	case c.input == inputEnded:
		c.end(io.EOF)
		l.finish(c)
	case waiting:
		delete(l.blocked, c)
		err = l.interest(c, unix.EPOLLIN)
	}
	if err != nil {
		c.lose(err)
		l.finish(c)
	}
}

// finish releases c and its slot, and calls Closed.
func (l *loop) finish(c *loopConn) {
	delete(l.blocked, c)
	if c.slot >= 0 {
		l.slots.give(c.slot)
		c.slot = -1
	}
	c.release(nil)
}
