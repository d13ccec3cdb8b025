//go:build unix

package client

import (
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// roomForFiles counts the descriptors that are left. The Go runtime has raised the
// soft limit to the hard one at the start, unless the process was started with more.
func roomForFiles() (int, string) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt, ""
	}
	inUse := openFiles()
	left := int(min(uint64(limit.Cur), math.MaxInt32)) - inUse - spareFiles
	return max(left, 0), fmt.Sprintf("open files: %d per process (hard limit %d), %d in use, %d kept back "+
		"(ulimit -n, LimitNOFILE=, sysctl fs.nr_open; or more processes)", limit.Cur, limit.Max, inUse, spareFiles)
}

// openFiles is 3 where the system does not list them.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 3
	}
	return len(entries) - 1 // the directory itself
}

// portRange is what connect(2) chooses local ports from, both ends included.
func portRange() (from, to int, ok bool) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, false
	}
	n, _ := fmt.Sscan(strings.TrimSpace(string(text)), &from, &to)
	return from, to, n == 2 && from <= to
}
