package fleet

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
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
	case "hang":
		// A worker that goes silent midway, and does not leave when it is told to.
		in, out := io.Pipe()
		go func() { _, _ = io.Copy(out, io.LimitReader(os.Stdin, 2000)) }()
		mute, cut := io.Pipe()
		go func() { _ = Work(context.Background(), in, cut) }()
		go func() { _, _ = io.Copy(os.Stdout, mute) }()
		<-time.After(700 * time.Millisecond)
		_ = mute.Close()
		select {}
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

// await returns the connections when there are n: the last handshakes' answers may be
// out before the server has noted them.
func (s *server) await(t *testing.T, n int) []*gws.Conn {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		all := slices.Collect(maps.Keys(s.all))
		s.mu.Unlock()
		if len(all) == n {
			return all
		}
		if time.Now().After(deadline) {
			t.Errorf("%d connections, want %d", len(all), n)
			return nil
		}
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
