package probe_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wheelgate/wheelgate/loadtest/probe"
)

// burn uses so much CPU on a thread that ends with it, and returns that one's id. The
// process's first thread cannot end, and is left to another goroutine meanwhile.
func burn(cpu time.Duration) (thread int) {
	ended := make(chan int)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends
		if unix.Gettid() == os.Getpid() {
			thread := burn(cpu)
			runtime.UnlockOSThread()
			ended <- thread
			return
		}
		var before, now unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_THREAD, &before)
		for now = before; time.Duration(now.Utime.Nano()-before.Utime.Nano()) < cpu; {
			_ = unix.Getrusage(unix.RUSAGE_THREAD, &now)
		}
		ended <- unix.Gettid()
	}()
	return <-ended
}

// TestCPUOfThreadsThatEnded: a server's workers may come and go.
func TestCPUOfThreadsThatEnded(t *testing.T) {
	const used = 300 * time.Millisecond
	before := probe.Self()
	path := fmt.Sprint("/proc/self/task/", burn(used))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", path)
		}
	}
	const rounding = 50 * time.Millisecond // of user and system time, each in hundredths
	if got := probe.Self().CPU - before.CPU; got < used-rounding {
		t.Errorf("%v of CPU, and a thread that ended used %v", got, used)
	}
}
