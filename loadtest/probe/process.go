// Package probe looks at processes and at the machine, through /proc and the
// metrics a server offers. On systems without /proc its values are unknown.
package probe

import (
	"os"
	"runtime"
	"time"

	"github.com/prometheus/procfs"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Self is this process now.
func Self() record.Process {
	p := Process(os.Getpid())
	p.Goroutines = runtime.NumGoroutine()
	return p
}

// Process is another process now; what cannot be read of it is -1, and so is the
// number of its goroutines, which only its metrics tell.
func Process(pid int) record.Process {
	p := record.Process{PID: pid, CPU: -1, RSS: -1, FDs: -1, Goroutines: -1, Delay: -1}
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return p
	}
	if stat, err := proc.Stat(); err == nil {
		p.CPU = time.Duration(stat.CPUTime() * float64(time.Second))
		p.RSS = int64(stat.ResidentMemory())
	}
	if n, err := proc.FileDescriptorsLen(); err == nil {
		p.FDs = n
	}
	if cpu, delay, ok := scheduled(pid); ok {
		// CPU to the nanosecond, where stat counts hundredths, but with the threads that ended.
		p.CPU, p.Delay = max(p.CPU, cpu), delay
	}
	return p
}

// scheduled sums up, over all threads, how long they ran and how long they were
// runnable and waited for a CPU. Threads that ended are missed.
func scheduled(pid int) (cpu, delay time.Duration, ok bool) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return 0, 0, false
	}
	for _, thread := range threads {
		stat, err := thread.Schedstat()
		if err != nil {
			continue // it has just ended
		}
		cpu += time.Duration(stat.RunningNanoseconds)
		delay += time.Duration(stat.WaitingNanoseconds)
		ok = true
	}
	return cpu, delay, ok
}

// OpenFiles is how many files another process may have open (its soft limit); 0 if
// that cannot be read.
func OpenFiles(pid int) uint64 {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	limits, err := proc.Limits()
	if err != nil {
		return 0
	}
	return limits.OpenFiles
}

// Sysctl is a setting of the kernel, such as "fs.file-max"; nil if it has none of
// this name, or one that is not made of numbers.
func Sysctl(name string) []int {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil
	}
	values, err := fs.SysctlInts(name)
	if err != nil {
		return nil
	}
	return values
}
