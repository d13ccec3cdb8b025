package loadtest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait in these tests.
const patience = 30 * time.Second

// server is a WebSocket server that does what a test wants of it.
type server struct {
	gws.BuiltinEventHandler
	url string

	refuse  func() bool                       // the next handshake
	opened  func(c *gws.Conn)                 // right after the handshake
	message func(c *gws.Conn, payload []byte) // nil: echo
	mu      sync.Mutex
	all     map[*gws.Conn]bool
	serving sync.WaitGroup
}

func (s *server) OnOpen(c *gws.Conn) {
	s.mu.Lock()
	s.all[c] = true
	s.mu.Unlock()
	if s.opened != nil {
		s.opened(c)
	}
}

func (s *server) OnClose(c *gws.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *server) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if s.message == nil {
		_ = c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	s.message(c, m.Bytes())
}

// broadcast sends to all, in a wrapping of the server's own.
func (s *server) broadcast(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		_ = c.WriteMessage(gws.OpcodeText, []byte(`{"data":"`+string(payload)+`"}`))
	}
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// serve starts s on a port of its own until the test ends.
func (s *server) serve(t *testing.T) *server {
	t.Helper()
	s.all = map[*gws.Conn]bool{}
	upgrader := gws.NewUpgrader(s, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.refuse != nil && s.refuse() {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		s.serving.Go(c.ReadLoop)
	})}
	s.serving.Go(func() { _ = h.Serve(l) })
	s.url = "ws://" + l.Addr().String() + "/"
	t.Cleanup(func() {
		_ = h.Close()
		s.mu.Lock()
		for c := range s.all {
			_ = c.NetConn().Close()
		}
		s.mu.Unlock()
		s.serving.Wait()
	})
	return s
}

// outcome is what a run emitted, summed up.
type outcome struct {
	counts     map[record.Count]int64
	closes     map[int]int64
	errors     map[string]int64
	histograms map[record.Measure]*hdrhistogram.Histogram
	broadcasts []record.Broadcast
	maxOpen    int // at a sample
	peak       int
	samples    int
	saturated  []string
	drains     int // how often a drain's begin was told
}

func (o *outcome) take(t *testing.T, line record.Line) {
	t.Helper()
	if line.Broadcast != nil {
		o.broadcasts = append(o.broadcasts, *line.Broadcast)
	}
	s := line.Sample
	if s == nil {
		return
	}
	o.samples++
	o.maxOpen, o.peak = max(o.maxOpen, s.Open), max(o.peak, s.Peak)
	for name, n := range s.Counts {
		o.counts[name] += n
	}
	for code, n := range s.Closes {
		o.closes[code] += n
	}
	for kind, n := range s.Errors {
		o.errors[kind] += n
	}
	for name, encoded := range s.Histograms {
		h, err := hdrhistogram.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if o.histograms[name] == nil {
			o.histograms[name] = h
		} else {
			o.histograms[name].Merge(h)
		}
	}
}

func (o *outcome) total(m record.Measure) int64 {
	if o.histograms[m] == nil {
		return 0
	}
	return o.histograms[m].TotalCount()
}

func (o *outcome) quantile(m record.Measure, p float64) time.Duration {
	return time.Duration(o.histograms[m].ValueAtPercentile(p))
}

func (o *outcome) want(t *testing.T, want map[record.Count]int64) {
	t.Helper()
	for name, n := range want {
		if o.counts[name] != n {
			t.Errorf("%s: %d, want %d (counts %v, errors %v, closes %v)", name, o.counts[name], n, o.counts, o.errors, o.closes)
		}
	}
}

// run is a run by one worker, without a coordinator; meddle, if any, is called in
// the hold.
func run(t *testing.T, ctx context.Context, job Job, meddle func(*Engine)) *outcome {
	t.Helper()
	o := &outcome{
		counts: map[record.Count]int64{}, closes: map[int]int64{}, errors: map[string]int64{},
		histograms: map[record.Measure]*hdrhistogram.Histogram{},
	}
	job.Run, job.Workers = "0123abcd", 1
	job.Scenario.Name = "test"
	e, err := New(job, func(line record.Line) { o.take(t, line) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	hold := make(chan time.Time, 1)
	var once atomic.Bool
	o.saturated, err = e.Run(ctx, time.Now(), Signals{
		Connected: func() {
			if once.Swap(true) {
				t.Error("connected twice")
			}
			hold <- time.Now().Add(50 * time.Millisecond) // as a coordinator does: known to all before
			if meddle != nil {
				meddle(e)
			}
		},
		Draining: func(time.Duration) { o.drains++ },
		Hold:     hold,
	})
	if err != nil {
		t.Error(err)
	}
	return o
}

// parse makes a scenario from its text.
func parse(t *testing.T, lines ...string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte("name: test\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
