package wheel_test

import (
	"bufio"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

const (
	pauseTimeout = 2 * time.Second
	pauseLength  = 4 * time.Second
	pauseTouches = 300 * time.Millisecond // between two
	pauseLive    = 20_000                 // sessions that are touched
	pauseTick    = 100 * time.Millisecond
)

// TestPause stops a process for longer than the timeout of its sessions: it could
// not hear them, so none of them may be expired for that.
func TestPause(t *testing.T) {
	t.Parallel()
	stopChild(t, "pause", func(pid int) {
		signal(t, pid, syscall.SIGSTOP)
		<-time.After(pauseLength)
		signal(t, pid, syscall.SIGCONT)
		<-time.After(pauseTimeout / 2) // with the sessions' touches going on
	})
}

// TestPauseUnderStrain is TestPause while touches keep the turner from its turns.
func TestPauseUnderStrain(t *testing.T) {
	t.Parallel()
	stopChild(t, "strained pause", func(pid int) {
		signal(t, pid, syscall.SIGSTOP)
		<-time.After(pauseLength)
		signal(t, pid, syscall.SIGCONT)
		<-time.After(pauseTimeout / 2)
	})
}

// TestPausesReplaceNoEngine: after a pause the engine is as late as all others.
func TestPausesReplaceNoEngine(t *testing.T) {
	t.Parallel()
	stopChild(t, "pause", func(pid int) {
		for range 20 {
			signal(t, pid, syscall.SIGSTOP)
			<-time.After(pauseLength / 20)
			signal(t, pid, syscall.SIGCONT)
			<-time.After(27 * time.Millisecond) // at any place of a step
		}
	})
}

// stopChild has stop stop the named child, for pauseLength in all, and checks that
// this harmed nobody.
func stopChild(t *testing.T, name string, stop func(pid int)) {
	t.Helper()
	cmd := childOf(t, thisBinary(t), name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("the child said nothing")
	}
	stop(cmd.Process.Pid)
	stdin.Close()
	var expired, leftAlone, replaced int
	var paused, told time.Duration
	if !lines.Scan() {
		t.Fatal("the child did not survive")
	}
	if _, err := fmt.Sscan(lines.Text(), &expired, &leftAlone, &paused, &told, &replaced); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if expired != 0 || leftAlone != 1 {
		t.Errorf("%d live sessions expired, %d of 1 that was left alone", expired, leftAlone)
	}
	if paused < pauseLength*3/4 || told < pauseLength*3/4 || told > paused {
		t.Errorf("%v were counted as paused of %v, %v told", paused, pauseLength, told)
	}
	if replaced != 0 {
		t.Errorf("%d healthy engines were replaced", replaced)
	}
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// liveThroughPause keeps sessions alive until its standard input ends, then waits
// for the one that is left alone and prints how many expired and the paused time.
func liveThroughPause() {
	pausing(pauseTick, func(*wheel.Wheel[session]) {})
}

// strainedPause is liveThroughPause with a short tick, and with more goroutines that
// touch without end than there are processors.
func strainedPause() {
	pausing(wheel.MinTick, func(w *wheel.Wheel[session]) {
		for range 4 * runtime.GOMAXPROCS(0) {
			go func() {
				s := add(w, time.Hour, 0)
				for {
					w.CatchUp()
					w.Touch(&s.stamp)
				}
			}()
		}
	})
}

func pausing(tick time.Duration, besides func(*wheel.Wheel[session])) {
	var expired, leftAlone atomic.Int32
	var told atomic.Int64
	w, err := wheel.New(wheel.Config[session]{
		Tick: tick, Deadline: deadline,
		Fire: func(s *session) {
			if s.timeout.Load() < int64(pauseTimeout) { // there to come again
				s.w.Touch(&s.stamp)
				return
			}
			s.w.Cancel(&s.Entry)
			if s.fired.Add(1); s.timeout.Load() == int64(pauseTimeout) {
				expired.Add(1)
			} else {
				leftAlone.Add(1)
			}
		},
		Paused: func(d time.Duration) { told.Add(int64(d)) },
	})
	if err != nil {
		fail("%v", err)
	}
	w.Start()
	besides(w)
	for i := range 100 { // so that each step has a cohort
		add(w, time.Duration(i)*pauseTick/10, i)
	}
	live := make([]*session, pauseLive)
	for i := range live {
		live[i] = add(w, pauseTimeout, i)
	}
	add(w, pauseTimeout+1, 0) // the one that is left alone
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var b [1]byte
		syscall.Read(0, b[:]) // blocks until the end of the input
	}()
	ticker := time.NewTicker(pauseTouches)
	defer ticker.Stop()
	for round, open := 0, true; open || (leftAlone.Load() == 0 && round < 100); round++ {
		for _, s := range live {
			w.Touch(&s.stamp)
		}
		if round == 2 {
			fmt.Println("alive")
		}
		select {
		case <-ended:
			open = false
			<-ticker.C
		case <-ticker.C:
		}
	}
	w.Stop() // the turner has told all
	st := w.Stats()
	fmt.Println(expired.Load(), leftAlone.Load(), int64(st.Paused), told.Load(), st.Watchdog)
}
