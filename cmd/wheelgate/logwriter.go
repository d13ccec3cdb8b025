package main

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// mostLog is how many bytes of lines may wait for the log's reader. As many again
	// may be on their way to it.
	mostLog = 1 << 20
	// logPatience is how long the reader has for the rest when the program ends.
	logPatience = time.Second
)

// logWriter hands lines to a writer that may block, such as a pipe that nobody reads,
// and never waits for it: an event loop that logs carries thousands of sessions. A line
// that does not fit is dropped and counted.
//
// zerolog's diode is not taken. It tells of drops only when the reader goes on, it
// prints to stderr by itself when writers collide, and its Close waits without a bound.
type logWriter struct {
	// Static after newLogWriter.
	out      io.Writer
	terminal bool
	wake     chan struct{} // has one place; closed by close
	ended    chan struct{}

	dropped atomic.Uint64

	mu      sync.Mutex
	pending []byte // whole lines
	closed  bool
	tell    func(dropped uint64) // called when lines get through again
}

// newLogWriter starts a goroutine, which close ends.
func newLogWriter(out io.Writer) *logWriter {
	file, ok := out.(*os.File)
	w := &logWriter{
		out:      out,
		terminal: ok && isatty.IsTerminal(file.Fd()),
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
		tell:     func(uint64) {},
	}
	go w.run()
	return w
}

// Write takes one line. It does not wait, and always succeeds.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.pending)+len(line) > mostLog {
		w.dropped.Add(1)
		return len(line), nil
	}
	w.pending = append(w.pending, line...)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// onDrop sets what is called, with the number of lines dropped, when lines get
// through again.
func (w *logWriter) onDrop(tell func(dropped uint64)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell = tell
}

// close writes what waits, within logPatience: a reader that takes nothing is left,
// and with it the goroutine.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	close(w.wake)
	patience := time.NewTimer(logPatience)
	defer patience.Stop()
	select {
	case <-w.ended:
	case <-patience.C:
	}
}

// metric counts what was dropped.
func (w *logWriter) metric() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "wheelgate", Name: "log_lines_dropped_total",
		Help: "Log lines lost because stderr took them too slowly or not at all.",
	}, func() float64 { return float64(w.dropped.Load()) })
}

func (w *logWriter) run() {
	defer close(w.ended)
	var batch []byte
	var told uint64
	for range w.wake {
		batch = w.swap(batch)
		through := w.writeLines(batch)
		if n := w.dropped.Load(); through && n > told {
			w.teller()(n - told)
			told = n
		}
	}
	w.writeLines(w.swap(nil))
}

// swap returns the lines that wait and makes used the place for the next ones, unless
// a burst made it large.
func (w *logWriter) swap(used []byte) (pending []byte) {
	if cap(used) > mostLog/16 {
		used = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	pending, w.pending = w.pending, used[:0]
	return pending
}

func (w *logWriter) teller() func(dropped uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tell
}

// writeLines writes each line by itself: other processes may write to the same pipe,
// which keeps writes of up to PIPE_BUF apart. It reports whether the last one succeeded.
func (w *logWriter) writeLines(batch []byte) (through bool) {
	for line := range bytes.Lines(batch) {
		_, err := w.out.Write(line)
		if through = err == nil; !through {
			w.dropped.Add(1)
		}
	}
	return through
}
