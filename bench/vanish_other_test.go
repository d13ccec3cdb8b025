//go:build !race && !linux

package bench_test

import (
	"net"
	"time"
)

// vanish only falls silent: the kernel still acknowledges.
func vanish(c *net.TCPConn, d time.Duration, done func()) error {
	file, err := c.File()
	if err != nil {
		return err
	}
	time.AfterFunc(d, func() {
		_ = file.Close()
		done()
	})
	return nil
}
