package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

func TestWorkerProcessesShareARun(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 3, "connections: 31", "hold: 1s", "messages: {rate: 100, bytes: 64, echo: true}")
	end := runIt(t, t.Context(), c)
	r.check(t, 3)
	if end.Error != "" || end.Interrupted || end.Arrived <= 0 || end.Arrived >= end.At-time.Second {
		t.Errorf("%+v", end)
	}
	if r.count(record.Opened) != 31 || r.count(record.Sent) != 100 || r.count(record.Received) != 100 || r.count(record.Left) != 31 {
		t.Errorf("opened %d, sent %d, received %d, left %d", r.count(record.Opened), r.count(record.Sent), r.count(record.Received), r.count(record.Left))
	}
	if got := r.marks(); got != "connecting,holding,leaving" {
		t.Errorf("marks %s", got)
	}
}

// TestSilentWorkerFailsTheRun has one that hangs: it is not waited for without end.
func TestSilentWorkerFailsTheRun(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 1, "connections: 10", "hold: 1h")
	c.Command[1] = asWorker + "=hang"
	c.silence = 2 * time.Second
	end := runIt(t, t.Context(), c)
	if !strings.HasPrefix(end.Error, "worker 0 has said nothing for ") || end.Interrupted {
		t.Errorf("%+v", end)
	}
	if last := r.lines[len(r.lines)-1]; last.End == nil {
		t.Errorf("the record ends with %+v", last)
	}
}

func TestSetupFaults(t *testing.T) {
	s := newServer(t)
	f := func(want string, change func(*Config)) {
		t.Helper()
		c, r := config(t, s, 1, "connections: 1")
		change(&c)
		_, err := Run(t.Context(), t.Context(), c)
		var setup *SetupError
		if !errors.As(err, &setup) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if len(r.lines) > 0 {
			t.Errorf("emitted %+v", r.lines[0])
		}
	}
	f("no such file", func(c *Config) { c.Command = []string{filepath.Join(t.TempDir(), "none")} })
	f("worker 0 ended before it began", func(c *Config) { c.Command = []string{"false"} })
	f("descriptors, and the limit is", func(c *Config) { c.Job.Scenario.Connections = 10_000_000 })
	f("connection refused", func(c *Config) { c.Remote = []string{"127.0.0.1:1"} })
	worker := httptest.NewServer(Handler("s3cret"))
	defer worker.Close()
	addr := worker.Listener.Addr().String()
	f("401 Unauthorized: wrong token", func(c *Config) { c.Remote, c.Token = []string{addr}, "other" })
	f("409 Conflict: busy with another run", func(c *Config) { c.Remote, c.Token = []string{addr, addr}, "s3cret" })
}

// TestInterruptEndsInOrder ends a run of an hour: the workers leave, and the
// record has its end.
func TestInterruptEndsInOrder(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 2, "connections: 10", "hold: 1h")
	ctx, cancel := context.WithCancel(t.Context())
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Mark != nil && line.Mark.Text == "holding" {
			cancel()
		}
	}
	end := runIt(t, ctx, c)
	r.check(t, 2)
	if !end.Interrupted || end.Error != "" || r.count(record.Left) != 10 {
		t.Errorf("%+v, %d left in order", end, r.count(record.Left))
	}
	if got := r.marks(); got != "connecting,holding,leaving" {
		t.Errorf("marks %s", got)
	}
}

// TestInterruptBeforeTheStart: nothing in the record is from before its begin.
func TestInterruptBeforeTheStart(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 1, "connections: 10", "hold: 1h")
	ctx, cancel := context.WithCancel(t.Context())
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Header != nil {
			cancel()
		}
	}
	if end := runIt(t, ctx, c); !end.Interrupted {
		t.Errorf("%+v", end)
	}
	for _, line := range r.lines {
		if line.Sample != nil && line.Sample.At < 0 || line.Mark != nil && line.Mark.At < 0 || line.Server != nil && line.Server.At < 0 {
			t.Errorf("%+v", line)
		}
	}
}

func TestKillEndsAtOnce(t *testing.T) {
	s := newServer(t)
	c, _ := config(t, s, 2, "connections: 10", "hold: 1h")
	kill, cancel := context.WithCancel(t.Context())
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Mark != nil && line.Mark.Text == "holding" {
			cancel()
		}
	}
	end, err := Run(t.Context(), kill, c)
	if err != nil || !end.Interrupted {
		t.Errorf("%+v, %v", end, err)
	}
}

// TestDeadWorkerFailsTheRun has one worker crash midway: the run says so, with the
// worker's own words, and the rest is ended in order.
func TestDeadWorkerFailsTheRun(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 1, "connections: 10", "hold: 1h")
	c.Command[1] = asWorker + "=crash"
	end := runIt(t, t.Context(), c)
	if end.Error != "worker 0 ended midway: fatal error: all is lost" {
		t.Errorf("%+v", end)
	}
	if last := r.lines[len(r.lines)-1]; last.End == nil || last.End.Error != end.Error {
		t.Errorf("the record ends with %+v", last)
	}
}

// TestDrainEndsTheHoldOfAll has the server let one session go, of one worker, long
// before the hold of an hour is over, and the others a little later.
func TestDrainEndsTheHoldOfAll(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 2, "connections: 10", "hold: 1h", "drain: {within: 20s}")
	var once sync.Once
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Mark == nil || line.Mark.Text != "holding" {
			return
		}
		once.Do(func() {
			after := 300 * time.Millisecond // the hold has begun
			for _, conn := range s.await(t, 10) {
				time.AfterFunc(after, func() { conn.WriteClose(1001, nil) })
				after = 800 * time.Millisecond
			}
		})
	}
	end := runIt(t, t.Context(), c)
	r.check(t, 2)
	if end.Error != "" || end.Interrupted || r.count(record.Closed) != 10 || r.count(record.Left) != 0 {
		t.Errorf("%+v, %d closed, %d left", end, r.count(record.Closed), r.count(record.Left))
	}
	if got := r.marks(); got != "connecting,holding,draining" {
		t.Errorf("marks %s", got)
	}
}

func TestLoopsAreShared(t *testing.T) {
	for _, c := range [][3]int{{2, 1, 2}, {2, 2, 1}, {2, 6, 1}, {8, 3, 3}, {0, 1, 1}} {
		if got := loopsOf(c[0], c[1]); got != c[2] {
			t.Errorf("%s", strconv.Itoa(got))
		}
	}
}

func TestServersAreLookedAt(t *testing.T) {
	s := newServer(t)
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "go_goroutines 77\nsessions 5\n")
	}))
	defer metrics.Close()
	c, r := config(t, s, 1, "connections: 1", "hold: 100ms")
	c.Servers = []Server{{PID: os.Getpid(), Metrics: metrics.URL}}
	runIt(t, t.Context(), c)
	var before, seen, machine int
	for _, line := range r.lines {
		switch v := line.Server; {
		case v == nil:
		case v.Target == record.WholeMachine:
			machine++
		case v.At == 0: // before the start
			before++
			if v.Process == nil || v.Process.PID != os.Getpid() || seen > 0 {
				t.Errorf("%+v", v)
			}
		default:
			seen++
			if v.Metrics["sessions"] != 5 || v.Process == nil || v.Process.PID != os.Getpid() || v.Process.Goroutines != 77 || v.At < 0 {
				t.Errorf("%+v %+v", v, v.Process)
			}
		}
	}
	if before != 1 || seen < 2 || machine < 3 {
		t.Errorf("looked %d times before, then %d, and %d at the machine", before, seen, machine)
	}
}
