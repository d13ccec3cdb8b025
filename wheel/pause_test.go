package wheel_test

import (
	"bufio"
	"fmt"
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
)

// TestPause stops a process for longer than the timeout of its sessions: it could
// not hear them, so none of them may be expired for that.
func TestPause(t *testing.T) {
	t.Parallel()
	cmd := childOf(t, thisBinary(t), "pause")
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
	signal(t, cmd.Process.Pid, syscall.SIGSTOP)
	<-time.After(pauseLength)
	signal(t, cmd.Process.Pid, syscall.SIGCONT)
	<-time.After(pauseTimeout / 2) // with the sessions' touches going on
	stdin.Close()
	var expired, leftAlone int
	var paused time.Duration
	if !lines.Scan() {
		t.Fatal("the child did not survive")
	}
	if _, err := fmt.Sscan(lines.Text(), &expired, &leftAlone, &paused); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if expired != 0 || leftAlone != 1 {
		t.Errorf("%d live sessions expired, %d of 1 that was left alone", expired, leftAlone)
	}
	if paused < pauseLength-time.Second/2 {
		t.Errorf("%v were counted as paused of %v", paused, pauseLength)
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
	var expired, leftAlone atomic.Int32
	w, err := wheel.New(wheel.Config[session]{Tick: 100 * time.Millisecond, Deadline: deadline, Fire: func(s *session) {
		s.w.Cancel(&s.Entry)
		if s.fired.Add(1); s.timeout.Load() == int64(pauseTimeout) {
			expired.Add(1)
		} else {
			leftAlone.Add(1)
		}
	}})
	if err != nil {
		fail("%v", err)
	}
	w.Start()
	defer w.Stop()
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
	fmt.Println(expired.Load(), leftAlone.Load(), int64(w.Stats().Paused))
}
