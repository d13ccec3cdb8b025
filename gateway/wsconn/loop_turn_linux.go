package wsconn

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// loopBuffer is what one connection may give in a turn, in bytes.
	loopBuffer = 64 << 10
	// loopEvents is how many ready connections are asked for at a time.
	loopEvents = 128
	// wakeSlot stands for the loop's eventfd among the slots of connections.
	wakeSlot = -1
)

// loop is one event loop. All of it belongs to its goroutine but for posted.
type loop struct {
	inert
	t       *Loop
	epoll   int
	file    *os.File // epoll, for Go's poller to wait on
	poll    syscall.RawConn
	ready   func(epoll uintptr) bool // collect, kept to spare its closure
	hurried bool                     // file has a deadline
	eventFD int

	events  [loopEvents]unix.EpollEvent
	pending []unix.EpollEvent // of events, not looked at yet
	input   []byte            // what a connection gave in this turn
	output  []byte            // for gathering small frames

	slots   []*loopConn
	ages    []int32 // a slot's age tells events of its last owner from its new one's
	free    []int32
	blocked map[*loopConn]time.Time // with a backlog; when the peer last took a byte
	checked time.Time               // when blocked was last looked over

	current *loopConn // whose turn it is; nil between turns
	pieces  [][]byte  // its input for gws
	piece   int       // the first of them that gws has not read yet
	verdict verdict
	fresh   partial // of the connections that hold nothing back

	stopping atomic.Bool
	mu       sync.Mutex
	posted   []*loopConn // guarded by mu: something changed, see attend
	spare    []*loopConn // the other buffer, all of it attended to but taken
	taken    []*loopConn
}

func newEventLoop(t *Loop) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	l := &loop{
		t: t, epoll: epoll, eventFD: -1,
		input: make([]byte, loopBuffer), output: make([]byte, writeChunk),
		blocked: make(map[*loopConn]time.Time),
	}
	l.ready = l.collect
	if err := l.openPoll(); err != nil {
		_ = unix.Close(epoll)
		return nil, err
	}
	if l.eventFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeSlot}
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, l.eventFD, &event)
	}
	if err != nil {
		l.close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	return l, nil
}

// openPoll has Go's own poller wait for the epoll set. A thread that blocks in
// epoll_wait costs more: the runtime takes its processor away after some
// microseconds and wakes another thread to use it, at every pause between messages.
func (l *loop) openPoll() error {
	if err := unix.SetNonblock(l.epoll, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(l.epoll), "epoll")
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return err // not pollable
	}
	poll, err := file.SyscallConn()
	l.file, l.poll = file, poll
	return err
}

func (l *loop) close() {
	_ = l.file.Close()
	if l.eventFD >= 0 {
		_ = unix.Close(l.eventFD)
	}
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

func (l *loop) wake() { _, _ = unix.Write(l.eventFD, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// nextTurn goes on until a connection has input: its turn.
func (l *loop) nextTurn() {
	for l.current == nil && !l.stopping.Load() {
		switch {
		case len(l.taken) > 0:
			c := l.taken[0]
			l.taken[0] = nil
			l.taken = l.taken[1:]
			l.attend(c)
		case len(l.pending) > 0:
			e := l.pending[0]
			l.pending = l.pending[1:]
			l.handle(e)
		case !l.takePosted():
			l.dropStuck()
			l.wait()
		}
	}
}

// takePosted reports whether somebody asked for attention.
func (l *loop) takePosted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted, l.spare = l.spare[:0], l.posted
	l.taken = l.spare
	return len(l.taken) > 0
}

func (l *loop) handle(e unix.EpollEvent) {
	if e.Fd == wakeSlot {
		var b [8]byte
		_, _ = unix.Read(l.eventFD, b[:])
		return // takePosted comes before the next wait
	}
	c := l.slots[e.Fd]
	if c == nil || l.ages[e.Fd] != e.Pad {
		return // its connection ended earlier in this batch
	}
	if e.Events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
	if c.slot == e.Fd && e.Events&^unix.EPOLLOUT != 0 {
		l.read(c)
	}
}

// wait fills pending: it waits for ever unless a peer has to be watched that does
// not take what it is sent.
func (l *loop) wait() {
	switch {
	case len(l.blocked) > 0:
		l.hurried = true
		_ = l.file.SetReadDeadline(time.Now().Add(l.t.cfg.WriteTimeout / 8))
	case l.hurried:
		l.hurried = false
		_ = l.file.SetReadDeadline(time.Time{})
	}
	_ = l.poll.Read(l.ready) // an error is that deadline
}

// collect takes what is ready without waiting, and reports whether that is anything.
func (l *loop) collect(epoll uintptr) bool {
	// EINTR cannot be: nothing waits here.
	n, _ := unix.EpollWait(int(epoll), l.events[:], 0)
	l.pending = l.events[:max(n, 0)]
	return n > 0
}

// dropStuck ends connections whose peers took nothing for the write timeout, at
// most an eighth of it late.
func (l *loop) dropStuck() {
	if len(l.blocked) == 0 || time.Since(l.checked) < l.t.cfg.WriteTimeout/8 {
		return
	}
	l.checked = time.Now()
	for c, since := range l.blocked {
		if time.Since(since) < l.t.cfg.WriteTimeout {
			continue
		}
		// The peer may have taken something all the same: the loop was held up, or
		// too little for epoll, which wants a third of the buffer free.
		l.flush(c)
		if last, still := l.blocked[c]; still && last.Equal(since) {
			c.lose(ErrWriteTimeout)
			l.finish(c)
		}
	}
}

// attend does what others have asked for c: to join, to write on, to end.
func (l *loop) attend(c *loopConn) {
	c.mu.Lock()
	c.attending = false
	gone, lost, backlog, early := c.fd < 0, c.lost, c.out != nil && !c.out.empty(), c.early
	c.early = nil
	c.mu.Unlock()
	switch {
	case gone:
	case lost:
		l.finish(c)
	default:
		if c.slot < 0 && !l.register(c) {
			return
		}
		if backlog {
			l.flush(c)
		}
		if early != nil && c.slot >= 0 {
			l.take(c, *early)
		}
	}
}

// register adds c to the epoll set and reports whether that worked.
func (l *loop) register(c *loopConn) bool {
	if last := len(l.free) - 1; last >= 0 {
		c.slot = l.free[last]
		l.free = l.free[:last]
		l.slots[c.slot] = c
	} else {
		c.slot = int32(len(l.slots))
		l.slots = append(l.slots, c)
		l.ages = append(l.ages, 0)
	}
	if err := l.watch(c, unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
		c.lose(err)
		l.finish(c)
		return false
	}
	return true
}

func (l *loop) watch(c *loopConn, op int, interest uint32) error {
	event := unix.EpollEvent{Events: interest, Fd: c.slot, Pad: l.ages[c.slot]}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, int(c.fd), &event))
}

// read takes what c's socket has, at most loopBuffer of it.
func (l *loop) read(c *loopConn) {
	n, err := unix.Read(int(c.fd), l.input)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
	case err != nil:
		c.lose(os.NewSyscallError("read", err))
		l.finish(c)
	case n == 0:
		l.hungUp(c)
	default:
		l.take(c, l.input[:n])
	}
}

// take begins c's turn with input.
func (l *loop) take(c *loopConn, input []byte) {
	if c.deaf.Load() || c.guard.end != stepMore {
		l.forget(c)
		return
	}
	l.current = c
	if !l.t.cfg.guarded(c.handler.Heard) {
		l.endTurn(true)
		return
	}
	p := c.partial
	if p == nil {
		p = &l.fresh
	}
	l.pieces = p.split(&c.guard, input, l.pieces)
	if len(p.bytes) == 0 {
		c.partial = nil
	} else if p == &l.fresh {
		c.partial = &partial{bytes: p.bytes, frame: p.frame}
		l.fresh = partial{}
	}
	held := 0
	if c.partial != nil {
		held = len(c.partial.bytes)
	}
	if !l.t.partials.settle(&c.counted, held) {
		c.guard.stop(OverBudget)
		l.forget(c)
	}
}

// forget drops what c holds back: it will not be completed.
func (l *loop) forget(c *loopConn) {
	c.partial = nil
	l.t.partials.settle(&c.counted, 0)
}

// hungUp is the end of c's input. It is not the end of its output: a close frame
// that is queued still goes out, bounded by the write timeout and by Abort.
func (l *loop) hungUp(c *loopConn) {
	if c.hasFarewell() {
		c.hungUp = true
		if l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLOUT) == nil {
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
	l.current = nil
	v := l.verdict
	l.verdict = verdict{}
	if c.deaf.Load() {
		return
	}
	ended := panicked || v != (verdict{}) || c.guard.end != stepMore
	if now := c.guard.unfinished(); !ended && now != c.unfinished {
		c.unfinished = now
		panicked = !l.t.cfg.guarded(func() { c.handler.Unfinished(now) })
		ended = panicked
	}
	if !ended {
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
		if progress || !waiting {
			l.blocked[c] = time.Now()
		}
		if !waiting && !c.hungUp {
			err = l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT)
		}
	case c.hungUp:
		c.end(io.EOF)
		l.finish(c)
	case waiting:
		delete(l.blocked, c)
		err = l.watch(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN)
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
		l.slots[c.slot] = nil
		l.ages[c.slot]++
		l.free = append(l.free, c.slot)
		c.slot = -1
	}
	c.release(nil)
}
