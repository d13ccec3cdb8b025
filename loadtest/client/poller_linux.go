package client

import (
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hasEpoll: connections that are not TLS need no goroutine.
const hasEpoll = true

// loopEvents is how many ready connections are asked for at a time.
const loopEvents = 128

// poller is a loop's epoll set with the connections in it, and their wire.
type poller struct {
	epoll   int
	gate    *os.File // an epoll set of epoll alone, for Go's poller to wait on
	gateFD  int      // the gate's; its Fd method would make it blocking
	open    bool     // the gate tells of what is ready
	poll    syscall.RawConn
	ready   func(gate uintptr) bool // lookOrOpen, kept to spare its closure
	eventFD int
	one     [8]byte // what wake writes, an integer that is not 0
	timerFD int
	armed   time.Time // when timerFD fires; zero: not

	events  [loopEvents]unix.EpollEvent
	count   int       // of events, not served yet
	looked  time.Time // for events, the last time
	since   time.Time // the look that what is read now had not arrived at yet
	left    bool      // something that was ready is not read yet
	inbound inbound
	conns   []*Conn
	age     int32 // of the connection dialled last
}

func newPoller(*Loop) (*poller, error) {
	p := &poller{epoll: -1, eventFD: -1, timerFD: -1, one: [8]byte{1}}
	p.ready = p.lookOrOpen
	p.inbound.init()
	err := p.openSets()
	if err == nil {
		err = p.openWakers()
	}
	if err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// openSets has Go's own poller wait for the epoll set. A thread that blocks in
// epoll_wait costs more: the runtime takes its processor away after some microseconds
// and wakes another thread to use it, at every pause between messages. The gate is
// open only while the loop waits: else Go's poller would wake a thread, in vain, for
// whatever arrives.
func (p *poller) openSets() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if p.gateFD, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(p.gateFD, true) // asks the file to use Go's poller; a fault shows below
	p.gate = os.NewFile(uintptr(p.gateFD), "epoll")
	if err := p.gate.SetReadDeadline(time.Time{}); err != nil {
		return err // not pollable
	}
	if p.poll, err = p.gate.SyscallConn(); err != nil {
		return err
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.gateFD, unix.EPOLL_CTL_ADD, p.epoll, &unix.EpollEvent{}))
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
	if p.gate != nil {
		_ = p.gate.Close()
	}
	for _, fd := range []int{p.epoll, p.eventFD, p.timerFD} {
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
			p.look()
			return
		}
		p.arm(due, left)
	}
	_ = p.poll.Read(p.ready) // fails only when closed
	if p.open {
		p.setGate(0)
	}
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

// nap sleeps until due, which is near, whatever becomes ready. It does not tell Go's
// scheduler, as to park and to be woken costs several times as much; a scheduler that
// needs the processor sends a signal, which ends the sleep.
func (p *poller) nap(due time.Time) {
	left := time.Until(due)
	if left <= 0 {
		return
	}
	// A thread's timers may come 50 us late, unless it says otherwise, and the
	// goroutine may be on another thread than before.
	_, _, _ = syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 1, 0)
	spec := unix.NsecToTimespec(int64(left))
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&spec)), 0, 0)
}

// look takes what is ready without waiting, and reports whether that is anything.
func (p *poller) look() bool {
	if !p.left {
		p.since = p.looked
	}
	p.looked = time.Now()
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events)), loopEvents, 0, 0, 0)
	p.count = 0
	if errno == 0 { // EINTR cannot be: nothing waits here
		p.count = int(n)
	}
	p.left = p.count == loopEvents
	return p.count > 0
}

// lookOrOpen is what Go's poller asks before it waits and when it has waited.
func (p *poller) lookOrOpen(uintptr) bool {
	if p.look() {
		return true
	}
	if p.open {
		return false
	}
	p.setGate(unix.EPOLLIN)
	return p.look() // what came before the gate was open
}

// setGate has the gate tell of these events of the epoll set.
func (p *poller) setGate(events uint32) {
	p.open = events != 0
	_ = unix.EpollCtl(p.gateFD, unix.EPOLL_CTL_MOD, p.epoll, &unix.EpollEvent{Events: events}) // fails only for bad arguments
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
	n, errno := p.inbound.receive(c.fd)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.ended(os.NewSyscallError("recvmsg", errno))
	case n == 0:
		c.ended(io.EOF)
	default:
		p.left = p.left || n == len(p.inbound.data)
		c.input(p.inbound.data[:n], p.inbound.arrived(p.since))
	}
}

func (p *poller) write(c *Conn, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("sendto", errno)
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
