package wsconn

import (
	"time"

	"golang.org/x/sys/unix"
)

// Limits of poller.wait.
const (
	forEver time.Duration = 0
	atOnce  time.Duration = -1
)

// poller is where a loop's connections are: in the kernel (sockets) or in memory
// (memory). A connection is a number that the poller gave, its descriptor. Errors
// are those of the system calls of the same names.
//
// write, halfClose, reset, shut and wake are for any goroutine; watch and close are for
// that of a connection's handshake too, before the loop has it; the rest is for the
// loop's. Nothing but wait waits.
type poller interface {
	// read returns 0 and no error when the peer's direction has ended, EAGAIN when
	// nothing has come.
	read(fd int32, p []byte) (int, unix.Errno)
	// write returns how much was taken; EAGAIN stands for nothing.
	write(fd int32, p []byte) (int, unix.Errno)
	// acked is how much the peer has acknowledged in all, if that is known.
	acked(fd int32) (bytes uint64, known bool)
	// halfClose ends our direction.
	halfClose(fd int32)
	// reset makes close tell the peer of a loss instead of an end.
	reset(fd int32)
	// shut ends both directions, so that who waits on the connection elsewhere wakes.
	shut(fd int32)
	close(fd int32)

	// watch is epoll_ctl; e names the connection to who gets the event.
	watch(op int, fd int32, e unix.EpollEvent) error
	// wait returns what is ready, if need be after waiting: for limit at most, unless
	// that is atOnce or forEver, until wake. The events are valid until the next wait.
	wait(limit time.Duration) []unix.EpollEvent
	wake()
	// release is the end: no connection is left.
	release()
}
