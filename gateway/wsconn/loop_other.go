//go:build !linux

package wsconn

func newLoop(Config) Transport { return nil }

// IOUring tells why Config.IOUring has no effect on this system; nil if it has.
func IOUring() error { return ErrNoLoop }
