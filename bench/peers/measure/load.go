//go:build linux

package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// load is processor time spent until a moment.
type load struct {
	at       time.Time
	all, own time.Duration // by the machine; by this process and the servers that ended
}

// loadNow reads the load.
func loadNow() load {
	const tick = 10 * time.Millisecond // USER_HZ
	l := load{at: time.Now()}
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, v := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal: all but idle, iowait and steal.
		if i >= 1 && i <= 7 && i != 4 && i != 5 {
			n, _ := strconv.Atoi(v)
			l.all += time.Duration(n) * tick
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			l.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return l
}

// others is what processes that are not ours took until end, in percent of a core.
func (l load) others(end load) float64 {
	others := (end.all - l.all) - (end.own - l.own)
	return 100 * max(0, others.Seconds()) / end.at.Sub(l.at).Seconds()
}
