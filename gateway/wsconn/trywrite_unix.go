//go:build unix

package wsconn

import (
	"errors"
	"os"
	"syscall"
)

// canTryWrite: sockets are non-blocking and write(2) says what it took.
const canTryWrite = true

// tryOnce is one write to fd for tryLocked. It always returns true: never wait.
func (c *goroutineConn) tryOnce(fd uintptr) bool {
	n, err := syscall.Write(int(fd), c.try.bytes)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Write(int(fd), c.try.bytes)
	}
	switch {
	case err == nil:
		c.try.n = n
	case errors.Is(err, syscall.EAGAIN):
	default:
		c.try.err = os.NewSyscallError("write", err)
	}
	return true
}
