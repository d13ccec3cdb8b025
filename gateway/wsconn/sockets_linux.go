package wsconn

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// loopEvents is how many ready connections are asked for at a time.
	loopEvents = 128
	// wakeSlot stands for the eventfd among the slots of connections.
	wakeSlot = -1
)

// sockets is the poller of connections in the kernel: an epoll set.
type sockets struct {
	epoll   int
	eventFD int
	file    *os.File // epoll, for Go's poller to wait on
	poll    syscall.RawConn
	collect func(epoll uintptr) bool // fill, kept to spare its closure
	hurried bool                     // file has a deadline
	events  [loopEvents]unix.EpollEvent
	ready   []unix.EpollEvent
}

func newSockets() (poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	s := &sockets{epoll: epoll, eventFD: -1}
	s.collect = s.fill
	if err := s.openPoll(); err != nil {
		s.release()
		return nil, fmt.Errorf("polling the epoll set: %w", err)
	}
	if s.eventFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, s.eventFD, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeSlot})
	}
	if err != nil {
		s.release()
		return nil, os.NewSyscallError("eventfd", err)
	}
	return s, nil
}

// openPoll has Go's own poller wait for the epoll set. A thread that blocks in
// epoll_wait costs more: the runtime takes its processor away after some
// microseconds and wakes another thread to use it, at every pause between messages.
func (s *sockets) openPoll() error {
	err := unix.SetNonblock(s.epoll, true)
	s.file = os.NewFile(uintptr(s.epoll), "epoll") // which closes it from now on
	if err == nil {
		err = s.file.SetReadDeadline(time.Time{}) // is it pollable?
	}
	if err == nil {
		s.poll, err = s.file.SyscallConn()
	}
	return err
}

func (s *sockets) release() {
	_ = s.file.Close()
	if s.eventFD >= 0 {
		_ = unix.Close(s.eventFD)
	}
}

func (s *sockets) wake() { _, _ = unix.Write(s.eventFD, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (s *sockets) wait(limit time.Duration) []unix.EpollEvent {
	switch {
	case limit == atOnce:
		s.fill(uintptr(s.epoll))
		return s.ready
	case limit > 0:
		s.hurried = true
		_ = s.file.SetReadDeadline(time.Now().Add(limit))
	case s.hurried:
		s.hurried = false
		_ = s.file.SetReadDeadline(time.Time{})
	}
	s.ready = nil
	_ = s.poll.Read(s.collect) // an error is that deadline
	return s.ready
}

// fill takes what is ready without waiting, and reports whether that is anything.
func (s *sockets) fill(epoll uintptr) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&s.events)), loopEvents, 0, 0, 0)
	if errno != 0 { // not EINTR: nothing waits here
		n = 0
	}
	s.ready = s.events[:n]
	for i := range s.ready {
		if s.ready[i].Fd == wakeSlot { // what there is to see is not in the events
			var b [8]byte
			_, _ = unix.Read(s.eventFD, b[:])
			break
		}
	}
	return n > 0
}

func (s *sockets) watch(op int, fd int32, e unix.EpollEvent) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.epoll, op, int(fd), &e))
}

// The calls for data do not wait, so the runtime is not told of them: it would take
// the processor from one that lasts, and have a thread of its own look every 20 us
// whether one does. That was a tenth of the time of an echo. They are those of
// sockets, which spare what read(2) and write(2) do for files.

func (s *sockets) read(fd int32, p []byte) (int, unix.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (s *sockets) write(fd int32, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func (s *sockets) halfClose(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) } // errors show when reading

func (s *sockets) reset(fd int32) {
	_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (s *sockets) shut(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }

func (s *sockets) close(fd int32) { _ = unix.Close(int(fd)) }
