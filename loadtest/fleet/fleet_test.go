package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// asWorker makes the test binary a worker process; its value is what it does.
const asWorker = "TEST_BE_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(asWorker) {
	case "":
		goleak.VerifyTestMain(m)
	case "crash":
		// A worker that takes its job and then dies, with words on stderr.
		in, out := io.Pipe()
		go func() { _, _ = io.Copy(out, io.LimitReader(os.Stdin, 2000)) }()
		go func() { _ = Work(context.Background(), in, os.Stdout) }()
		<-time.After(700 * time.Millisecond)
		_, _ = os.Stderr.WriteString("fatal error: all is lost\nand a dump\n")
		os.Exit(3)
	default:
		if Work(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
	}
}

const patience = 30 * time.Second

// server echoes, and sends to all what is posted to it.
type server struct {
	gws.BuiltinEventHandler
	ws, post string
	stop     func()       // of listening
	status   atomic.Int32 // of the answer to posts; 0: 200

	mu      sync.Mutex
	all     map[*gws.Conn]bool
	serving sync.WaitGroup
}

func (s *server) OnOpen(c *gws.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[c] = true
}

func (s *server) OnClose(c *gws.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *server) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	_ = c.WriteMessage(m.Opcode, m.Bytes())
}

func (s *server) broadcast(w http.ResponseWriter, r *http.Request) {
	if code := int(s.status.Load()); code != 0 {
		http.Error(w, "no", code)
		return
	}
	if r.Header.Get("Authorization") != "Bearer s3cret" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	payload, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		_ = c.WriteMessage(gws.OpcodeText, payload)
	}
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{all: map[*gws.Conn]bool{}}
	upgrader := gws.NewUpgrader(s, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if c, err := upgrader.Upgrade(w, r); err == nil {
			s.serving.Go(c.ReadLoop)
		}
	})
	mux.HandleFunc("POST /post", s.broadcast)
	h := httptest.NewServer(mux)
	s.ws, s.post = "ws"+strings.TrimPrefix(h.URL, "http")+"/", h.URL+"/post"
	s.stop = func() { _ = h.Listener.Close() }
	t.Cleanup(func() {
		h.Close()
		s.mu.Lock()
		for c := range s.all {
			_ = c.NetConn().Close()
		}
		s.mu.Unlock()
		s.serving.Wait()
	})
	return s
}

// recording is what a run emitted.
type recording struct {
	mu    sync.Mutex
	lines []record.Line
}

func (r *recording) emit(line record.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// count sums a count up over workers.
func (r *recording) count(name record.Count) (n int64) {
	for _, line := range r.lines {
		if line.Sample != nil {
			n += line.Sample.Counts[name]
		}
	}
	return n
}

func (r *recording) marks() string {
	var all []string
	for _, line := range r.lines {
		if line.Mark != nil {
			all = append(all, line.Mark.Text)
		}
	}
	return strings.Join(all, ",")
}

func parse(t *testing.T, lines ...string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte("name: test\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(t *testing.T, s *server, local int, lines ...string) (Config, *recording) {
	t.Helper()
	r := &recording{}
	return Config{
		Job:     loadtest.Job{Run: "0123abcd", Scenario: parse(t, lines...), Targets: []string{s.ws}},
		Emit:    r.emit,
		Local:   local,
		Command: []string{"env", asWorker + "=work", os.Args[0]},
		Header:  record.Header{Machine: record.Machine{CPUs: 2}},
	}, r
}

func runIt(t *testing.T, ctx context.Context, c Config) record.End {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	end, err := Run(ctx, t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// check asserts what holds of every record: a header first, an end last, and
// samples of all workers.
func (r *recording) check(t *testing.T, workers int) {
	t.Helper()
	last := len(r.lines) - 1
	if r.lines[0].Header == nil || r.lines[last].End == nil || r.lines[0].Header.Workers != workers {
		t.Fatalf("begins with %+v and ends with %+v", r.lines[0], r.lines[last])
	}
	seen := map[int]bool{}
	for _, line := range r.lines[1:last] {
		if line.Header != nil || line.End != nil {
			t.Errorf("in the middle: %+v", line)
		}
		if line.Sample != nil {
			seen[line.Sample.Worker] = true
		}
	}
	for i := range workers {
		if !seen[i] {
			t.Errorf("no sample of worker %d", i)
		}
	}
	if !seen[record.Coordinator] {
		t.Error("no sample of the coordinator")
	}
}

func TestWorkerProcessesShareARun(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 3, "connections: 31", "hold: 1s", "messages: {rate: 100, bytes: 64, echo: true}")
	end := runIt(t, t.Context(), c)
	r.check(t, 3)
	if end.Error != "" || end.Interrupted {
		t.Errorf("%+v", end)
	}
	if r.count(record.Opened) != 31 || r.count(record.Sent) != 100 || r.count(record.Received) != 100 || r.count(record.Left) != 31 {
		t.Errorf("opened %d, sent %d, received %d, left %d", r.count(record.Opened), r.count(record.Sent), r.count(record.Received), r.count(record.Left))
	}
	if got := r.marks(); got != "connecting,holding,leaving" {
		t.Errorf("marks %s", got)
	}
}

func TestBroadcastsArePostedBySchedule(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 2, "connections: 10", "hold: 1s", "broadcasts: {rate: 4, bytes: 64}")
	c.Trigger = &Trigger{URLs: []string{s.post}, Token: "s3cret"}
	runIt(t, t.Context(), c)
	r.check(t, 2)
	byID := map[int]int{}
	for _, line := range r.lines {
		if b := line.Broadcast; b != nil {
			byID[b.ID] += b.Receipts
			if b.First < 0 {
				t.Errorf("received before it was due: %+v", b)
			}
		}
	}
	if len(byID) != 4 || byID[0] != 10 || byID[3] != 10 || r.count(record.Expected) != 40 {
		t.Errorf("%v, expected %d", byID, r.count(record.Expected))
	}
}

func TestRefusedBroadcastsAreCounted(t *testing.T) {
	s := newServer(t)
	s.status.Store(http.StatusServiceUnavailable)
	c, r := config(t, s, 1, "connections: 1", "hold: 400ms", "broadcasts: {rate: 5, bytes: 64}")
	c.Trigger = &Trigger{URLs: []string{s.post}}
	runIt(t, t.Context(), c)
	refused := int64(0)
	for _, line := range r.lines {
		if line.Sample != nil {
			refused += line.Sample.Errors["broadcast refused 503"]
		}
	}
	if refused != 2 {
		t.Errorf("%d were refused", refused)
	}
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

func TestServersAreLookedAt(t *testing.T) {
	s := newServer(t)
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "go_goroutines 77\nsessions 5\n")
	}))
	defer metrics.Close()
	c, r := config(t, s, 1, "connections: 1", "hold: 100ms")
	c.Servers = []Server{{PID: os.Getpid(), Metrics: metrics.URL}}
	runIt(t, t.Context(), c)
	var seen, machine int
	for _, line := range r.lines {
		switch v := line.Server; {
		case v == nil:
		case v.Target == record.WholeMachine:
			machine++
		default:
			seen++
			if v.Metrics["sessions"] != 5 || v.Process == nil || v.Process.PID != os.Getpid() || v.Process.Goroutines != 77 || v.At < 0 {
				t.Errorf("%+v %+v", v, v.Process)
			}
		}
	}
	if seen < 2 || machine < 2 {
		t.Errorf("looked %d and %d times", seen, machine)
	}
}

func TestLoopsAreShared(t *testing.T) {
	for _, c := range [][3]int{{2, 1, 2}, {2, 2, 1}, {2, 6, 1}, {8, 3, 3}, {0, 1, 1}} {
		if got := loopsOf(c[0], c[1]); got != c[2] {
			t.Errorf("%s", strconv.Itoa(got))
		}
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
			s.mu.Lock()
			defer s.mu.Unlock()
			after := 300 * time.Millisecond // the hold has begun
			for conn := range s.all {
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
