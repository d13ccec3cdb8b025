package client

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inbound receives from the sockets of a loop, one at a time, and knows when it came.
type inbound struct {
	data    []byte // what the last receive gave
	header  unix.Msghdr
	part    unix.Iovec
	control struct {
		unix.Cmsghdr
		unix.Timespec
	}
}

func (i *inbound) init() {
	i.data = make([]byte, inputBuffer)
	i.part.Base = &i.data[0]
	i.part.SetLen(len(i.data))
	i.header.Iov = &i.part
	i.header.SetIovlen(1)
	i.header.Control = (*byte)(unsafe.Pointer(&i.control))
}

// stamp has the kernel note when bytes arrive at a socket: SO_TIMESTAMPNS, for TCP since
// Linux 4.14.
func stamp(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // without it, times are those of reading
}

// receive takes up to inputBuffer bytes without blocking. It does not tell Go's
// scheduler, which is not worth it for less than a microsecond.
func (i *inbound) receive(fd int32) (int, syscall.Errno) {
	i.header.SetControllen(int(unsafe.Sizeof(i.control)))
	n, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&i.header)), 0)
	return int(n), errno
}

// arrived is when the last of the bytes received arrived, as the kernel says by the wall
// clock. That may be stepped in between: it was not after now, and not before since,
// when there was nothing yet.
func (i *inbound) arrived(since time.Time) time.Time {
	now := time.Now()
	if i.header.Controllen == 0 || i.control.Level != unix.SOL_SOCKET || i.control.Type != unix.SO_TIMESTAMPNS {
		return now
	}
	age := now.Sub(time.Unix(i.control.Unix())) // by the wall clock, as only now has the other
	return now.Add(-max(0, min(age, now.Sub(since))))
}
