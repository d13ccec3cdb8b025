//go:build !linux

package wsconn

func newLoop(Config) Transport { return nil }
