//go:build unix

package main

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// openFiles returns the soft limit, which the Go runtime has raised to the hard
// one at start, and raises it itself where that did not happen.
func openFiles() fileLimit {
	limit := fileLimit{most: maxSessions, open: 16, processors: runtime.GOMAXPROCS(0)}
	if entries, err := os.ReadDir("/dev/fd"); err == nil {
		limit.open = len(entries)
	}
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return limit
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			r = raised
		}
	}
	limit.most = int(min(uint64(r.Cur), maxSessions))
	return limit
}
