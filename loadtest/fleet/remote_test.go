package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestWorkersElsewhere takes a local and a remote worker.
func TestWorkersElsewhere(t *testing.T) {
	s := newServer(t)
	worker := httptest.NewServer(Handler("s3cret"))
	defer worker.Close()
	c, r := config(t, s, 1, "connections: 11", "hold: 500ms", "messages: {rate: 40, bytes: 64, echo: true}")
	c.Remote, c.Token = []string{worker.Listener.Addr().String()}, "s3cret"
	for range 2 { // it can be had again
		r.lines = nil
		end := runIt(t, t.Context(), c)
		r.check(t, 2)
		if end.Error != "" || r.count(record.Received) != 20 || r.count(record.Opened) != 11 {
			t.Errorf("%+v: received %d, opened %d", end, r.count(record.Received), r.count(record.Opened))
		}
	}
}

// TestMuteWorkerIsGivenUp has one that takes the connection and says nothing.
func TestMuteWorkerIsGivenUp(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	c, _ := config(t, newServer(t), 0, "connections: 5")
	c.Remote = []string{mute.Addr().String()}
	ctx, interrupt := context.WithCancel(t.Context())
	kill, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		if conn, err := mute.Accept(); err == nil {
			defer conn.Close()
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			interrupt()
			<-kill.Done()
		}
	}()
	_, err = Run(ctx, kill, c)
	if err == nil || kill.Err() != nil || !strings.HasSuffix(err.Error(), "no answer: context canceled") {
		t.Errorf("%v", err)
	}
}

// TestWorkerOutlivesNoCoordinator cuts the conversation of a remote worker midway:
// it leaves, and takes the next job.
func TestWorkerOutlivesNoCoordinator(t *testing.T) {
	s := newServer(t)
	worker := httptest.NewServer(Handler(""))
	defer worker.Close()
	c, _ := config(t, s, 0, "connections: 5", "hold: 1h")
	c.Remote = []string{worker.Listener.Addr().String()}
	kill, cancel := context.WithCancel(t.Context())
	c.Emit = func(line record.Line) {
		if line.Mark != nil && line.Mark.Text == "holding" {
			cancel()
		}
	}
	if _, err := Run(t.Context(), kill, c); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		s.mu.Lock()
		left := len(s.all)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestStoppedWorkerFailsTheRun has a worker on another machine stopped midway: its part
// is not what was asked for, however orderly it left.
func TestStoppedWorkerFailsTheRun(t *testing.T) {
	s := newServer(t)
	ctx, stop := context.WithCancel(t.Context())
	worker := httptest.NewUnstartedServer(Handler(""))
	worker.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	worker.Start()
	defer worker.Close()
	addr := worker.Listener.Addr().String()
	c, r := config(t, s, 1, "connections: 10", "hold: 1h")
	c.Remote = []string{addr}
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Mark != nil && line.Mark.Text == "holding" {
			stop()
		}
	}
	end := runIt(t, t.Context(), c)
	if end.Error != addr+": it was stopped before the run was over" || end.Interrupted {
		t.Errorf("%+v", end)
	}
	if got := r.marks(); got != "connecting,holding,leaving" || r.count(record.Left) != 10 {
		t.Errorf("marks %s, %d left in order", got, r.count(record.Left))
	}
}

// TestClockOfAnotherMachine has a worker whose clock is an hour ahead.
func TestClockOfAnotherMachine(t *testing.T) {
	const ahead = time.Hour
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	l := newLink("x", ours, ours)
	defer close(l.stop)
	go func() {
		orders, stop := make(chan order), make(chan struct{})
		go receive(theirs, orders, stop)
		defer close(stop)
		answers := newSender[answer](theirs)
		for range clocks {
			<-orders
			now := time.Now().Add(ahead)
			_ = answers.send(answer{Clock: &now})
		}
	}()
	if err := l.synchronize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if off := (l.offset - ahead).Abs(); off > time.Second {
		t.Errorf("offset %v, want %v", l.offset, ahead)
	}
}

// TestMomentsAreToldByTheWorkersClock has one worker here and one an hour ahead.
func TestMomentsAreToldByTheWorkersClock(t *testing.T) {
	var here, there bytes.Buffer
	c := &coordinator{links: []*link{
		{orders: newSender[order](&here)},
		{orders: newSender[order](&there), offset: time.Hour},
	}}
	at := time.Now()
	c.begin(func(at time.Time) order { return order{Start: &at} }, at)
	for text, want := range map[string]time.Time{here.String(): at, there.String(): at.Add(time.Hour)} {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil || o.Start == nil || !o.Start.Equal(want) {
			t.Errorf("%s: want %v, %v", text, want, err)
		}
	}
}
