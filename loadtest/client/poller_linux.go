package client

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hasEpoll: connections that are not TLS need no goroutine.
const hasEpoll = true

// loopEvents is how many ready connections are asked for at a time.
const loopEvents = 128

// poller is a loop's epoll set with the connections in it, and their wire.
type poller struct {
	file    *os.File // the epoll set, for Go's poller to wait on
	poll    syscall.RawConn
	ready   func(epoll uintptr) bool // collect, kept to spare its closure
	epoll   int
	eventFD int
	one     [8]byte // what wake writes, an integer that is not 0
	timerFD int
	armed   time.Time // when timerFD fires; zero: not

	events [loopEvents]unix.EpollEvent
	count  int    // of events, not served yet
	input  []byte // what a connection gave in this turn
	conns  []*Conn
	age    int32 // of the connection dialled last
}

func newPoller(*Loop) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{epoll: epoll, eventFD: -1, timerFD: -1, one: [8]byte{1}, input: make([]byte, inputBuffer)}
	p.ready = p.collect
	if err := p.openPoll(); err != nil {
		_ = unix.Close(epoll)
		return nil, err
	}
	if err := p.openWakers(); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// openWakers adds what wakes the loop beside its connections. A deadline of file would
// do for the timer, but setting it wakes the thread that waits in Go's poller, and it
// comes up to a millisecond late.
func (p *poller) openWakers() (err error) {
	if p.eventFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if p.timerFD, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	// Edge-triggered, so that what they hold need not be read.
	err = p.control(unix.EPOLL_CTL_ADD, int32(p.eventFD), 0, unix.EPOLLIN|unix.EPOLLET)
	if err == nil {
		err = p.control(unix.EPOLL_CTL_ADD, int32(p.timerFD), 0, unix.EPOLLIN|unix.EPOLLET)
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// openPoll has Go's own poller wait for the epoll set. A thread that blocks in
// epoll_wait costs more: the runtime takes its processor away after some
// microseconds and wakes another thread to use it, at every pause between messages.
func (p *poller) openPoll() error {
	if err := unix.SetNonblock(p.epoll, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(p.epoll), "epoll")
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return err // not pollable
	}
	poll, err := file.SyscallConn()
	p.file, p.poll = file, poll
	return err
}

// shut drops all connections, the silent ones too.
func (p *poller) shut() {
	for _, c := range p.conns {
		if c != nil {
			p.close(c, true)
		}
	}
	p.release()
}

func (p *poller) release() {
	_ = p.file.Close()
	for _, fd := range []int{p.eventFD, p.timerFD} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (p *poller) wake() { _, _ = unix.Write(p.eventFD, p.one[:]) }

// wait waits for events until due; zero: as long as it takes.
func (p *poller) wait(due time.Time) {
	if !due.IsZero() {
		left := time.Until(due)
		if left <= 0 {
			p.collect(uintptr(p.epoll))
			return
		}
		p.arm(due, left)
	}
	_ = p.poll.Read(p.ready) // fails only when closed
}

// arm has the timer fire at due or before: waking once in vain costs no more than
// setting it anew.
func (p *poller) arm(due time.Time, left time.Duration) {
	if !p.armed.IsZero() && !due.Before(p.armed) {
		return
	}
	p.armed = due
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	_ = unix.TimerfdSettime(p.timerFD, 0, &spec, nil) // fails only for bad arguments
}

// collect takes what is ready without waiting, and reports whether that is anything.
func (p *poller) collect(epoll uintptr) bool {
	// EINTR cannot be: nothing waits here.
	n, _ := unix.EpollWait(int(epoll), p.events[:], 0)
	p.count = max(n, 0)
	return n > 0
}

// serve gives the ready connections their turns.
func (p *poller) serve() {
	for _, e := range p.events[:p.count] {
		switch int(e.Fd) {
		case p.timerFD:
			p.armed = time.Time{}
			continue
		case p.eventFD:
			continue
		}
		// A connection may have ended earlier in this batch, and its descriptor have
		// a new owner.
		if c := p.conns[e.Fd]; c != nil && c.age == e.Pad {
			p.turn(c, e.Events)
		}
	}
	p.count = 0
}

func (p *poller) turn(c *Conn, events uint32) {
	if c.state == connecting {
		if err := socketError(c); err != nil {
			c.ended(err)
			return
		}
		c.connected()
		p.watch(c)
		return
	}
	if events&unix.EPOLLOUT != 0 {
		c.writable()
	}
	switch {
	case c.fd < 0 || events&^unix.EPOLLOUT == 0:
	case c.paused:
		if err := socketError(c); err != nil {
			c.ended(err)
		} else {
			c.ended(io.EOF) // both directions are shut
		}
	default:
		p.read(c)
	}
}

func socketError(c *Conn) error {
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	return err
}

// read takes what c's socket has, at most inputBuffer of it.
func (p *poller) read(c *Conn) {
	n, err := unix.Read(int(c.fd), p.input)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		c.ended(os.NewSyscallError("read", err))
	case n == 0:
		c.ended(io.EOF)
	default:
		c.input(p.input[:n], time.Now())
	}
}

func (p *poller) write(c *Conn, b []byte) (int, error) {
	n, err := unix.Write(int(c.fd), b)
	if err == unix.EAGAIN || err == unix.EINTR {
		err = nil
	}
	return max(n, 0), os.NewSyscallError("write", err)
}

func (p *poller) watch(c *Conn) {
	if c.fd < 0 || c.state == silent {
		return
	}
	want := uint32(0)
	if !c.paused {
		want |= unix.EPOLLIN
	}
	if len(c.backlog) > 0 {
		want |= unix.EPOLLOUT
	}
	if want != c.watched {
		c.watched = want
		_ = p.control(unix.EPOLL_CTL_MOD, c.fd, c.age, want) // fails only without memory
	}
}

func (p *poller) control(op int, fd, age int32, events uint32) error {
	return unix.EpollCtl(p.epoll, op, int(fd), &unix.EpollEvent{Events: events, Fd: fd, Pad: age})
}

func (p *poller) close(c *Conn, reset bool) {
	if c.fd < 0 {
		return
	}
	if reset {
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	p.conns[c.fd] = nil
	_ = unix.Close(int(c.fd)) // takes it out of the epoll set too
	c.fd = -1
}

func (p *poller) vanish(c *Conn) error {
	_ = p.control(unix.EPOLL_CTL_DEL, c.fd, 0, 0)
	return silence(int(c.fd))
}
