//go:build unix

package probe

import (
	"os"

	"golang.org/x/sys/unix"
)

// Descriptors is how many files this process may have open (the soft limit, which
// the Go runtime has raised to the hard one) and how many it has.
func Descriptors() (limit uint64, open int) {
	open = 16 // the least that is likely, where nobody tells
	if entries, err := os.ReadDir("/dev/fd"); err == nil {
		open = len(entries)
	}
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024, open
	}
	return uint64(r.Cur), open
}

// system is the kernel's release.
func system() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return " " + unix.ByteSliceToString(name.Release[:])
}
