package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// stalling is a writer that takes nothing until it is released.
type stalling struct {
	bytes.Buffer
	begun, released chan struct{}
}

func (s *stalling) Write(p []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.released
	return s.Buffer.Write(p)
}

func TestLinesForAStalledReaderAreDroppedAndTold(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		out := &stalling{begun: make(chan struct{}, 1), released: make(chan struct{})}
		w := newLogWriter(out)
		log := newLogger(w, &options{logFormat: format, logLevel: zerolog.InfoLevel})
		text, written := strings.Repeat("x", 10_000), 1
		log.Info().Msg(text)
		<-out.begun // the first line is on its way
		for ; w.dropped.Load() == 0; written++ {
			if written > 2*mostLog/len(text) {
				t.Fatal("nothing is ever dropped")
			}
			log.Info().Msg(text)
		}
		log.Info().Msg("dropped too " + text)
		close(out.released)
		eventually(t, "the reader to catch up", func() string { return "" }, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.pending) == 0
		})
		w.close()
		if got := strings.Count(out.String(), text); got != written-1 {
			t.Errorf("%s: %d of %d lines got through", format, got, written)
		}
		told := `"lines":2`
		if format == "console" {
			told = "lines=2"
		}
		if n := w.dropped.Load(); n != 2 || !strings.Contains(out.String(), told) {
			t.Errorf("%s: %d dropped; last lines %s", format, n, out.String()[out.Len()-200:])
		}
	}
}

func TestCloseOfTheLogWaitsForTheRest(t *testing.T) {
	out := &stalling{begun: make(chan struct{}, 1), released: make(chan struct{})}
	w := newLogWriter(out)
	_, _ = io.WriteString(w, "first\n")
	<-out.begun
	_, _ = io.WriteString(w, "last\n")
	closed := make(chan struct{})
	go func() { defer close(closed); w.close() }()
	close(out.released)
	<-closed
	if out.String() != "first\nlast\n" {
		t.Errorf("%q", out.String())
	}
	if _, err := io.WriteString(w, "late\n"); err != nil || w.dropped.Load() != 1 {
		t.Errorf("a line after the end: %v, %d dropped", err, w.dropped.Load())
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestLinesThatCannotBeWrittenAreCounted(t *testing.T) {
	w := newLogWriter(fullDisk{})
	log := newLogger(w, &options{logFormat: "json", logLevel: zerolog.InfoLevel})
	log.Info().Msg("a")
	log.Info().Msg("b")
	w.close()
	if n := testutil.ToFloat64(w.metric()); n != 2 {
		t.Errorf("%v lines counted", n)
	}
	if problems, err := testutil.CollectAndLint(w.metric()); err != nil || problems != nil {
		t.Error(problems, err)
	}
}

// fill writes to the pipe until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd())
	defer func() { _ = syscall.SetNonblock(fd, false) }()
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range [][]byte{make([]byte, 4096), {'\n'}} {
		for err := error(nil); !errors.Is(err, syscall.EAGAIN); {
			if _, err = syscall.Write(fd, chunk); err != nil && !errors.Is(err, syscall.EAGAIN) {
				t.Fatal(err)
			}
		}
	}
}

// startOnPipe starts the program with stderr on a pipe, and returns the ends of the
// pipe when it listens.
func startOnPipe(t *testing.T, args ...string) (p *program, cmd *exec.Cmd, r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	cmd = exec.Command(os.Args[0], append(anyPorts, args...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), asProgram+"=1"), w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &program{log: &transcript{}, code: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		p.code <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for lines := bufio.NewScanner(r); lines.Scan(); {
		_, _ = p.log.Write(append(lines.Bytes(), '\n'))
		var line struct{ Message string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			p.listening(t)
			return p, cmd, r, w
		}
	}
	t.Fatalf("it does not listen: %s", p.log)
	return nil, nil, nil, nil
}

// Nobody reads stderr any more: all goes on, and SIGTERM ends it.
func TestUnreadStderrDelaysNobody(t *testing.T) {
	p, cmd, _, w := startOnPipe(t, "--echo", "--drain-window=0s")
	fill(t, w)
	var clients []*peer
	for range 50 {
		c := p.dial(t, "/echo", nil)
		c.send(t, "hello")
		if opcode, payload := c.frame(t); opcode != 1 || string(payload) != "hello" {
			t.Fatalf("frame %d %q", opcode, payload)
		}
		clients = append(clients, c)
	}
	if status, _ := get(t, "http://"+p.admin+"/readyz"); status != http.StatusOK {
		t.Errorf("ready: %d", status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		c.wantClose(t, 4101)
		_ = c.Close()
	}
	p.wantExit(t, exitDone)
}

func TestUnreadStderrDoesNotDelayTheSecondSignal(t *testing.T) {
	p, cmd, _, w := startOnPipe(t, "--close-wait=10m")
	c := p.dial(t, "/ws", nil)
	fill(t, w)
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if c != nil {
			c.wantClose(t, 4101)
			c = nil
		}
	}
	p.wantExit(t, 128+int(syscall.SIGTERM))
}
