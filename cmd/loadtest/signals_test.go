package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// started is the program as a process of its own.
type started struct {
	cmd    *exec.Cmd
	stderr *bufio.Scanner
	lines  []string
}

func startProgram(t *testing.T, args ...string) *started {
	t.Helper()
	p := &started{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewScanner(pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// await reads stderr up to a line that contains text.
func (p *started) await(t *testing.T, text string) {
	t.Helper()
	for p.stderr.Scan() {
		p.lines = append(p.lines, p.stderr.Text())
		if strings.Contains(p.stderr.Text(), text) {
			return
		}
	}
	t.Fatalf("no %q in %q", text, p.lines)
}

func (p *started) exit(t *testing.T) int {
	t.Helper()
	for p.stderr.Scan() {
		p.lines = append(p.lines, p.stderr.Text())
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// children are the processes a program has started.
func children(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Skip("needs /proc")
	}
	all := strings.Fields(string(text))
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if task.Name() != fmt.Sprint(pid) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			all = append(all, strings.Fields(string(text))...)
		}
	}
	return all
}

func wantGone(t *testing.T, pids []string) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat("/proc/" + pid); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("worker %s is left running", pid)
			}
		}
	}
}

// TestInterruptReportsAndLeavesNothing sends SIGINT to a run of an hour, as a
// terminal does: to the workers too.
func TestInterruptReportsAndLeavesNothing(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	p := startProgram(t, "run", "idle", "--url", g.ws, "--connections=20", "--hold=1h", "--workers=2", "--out", out)
	p.await(t, "holding: 20 of 20 open")
	workers := children(t, p.cmd.Process.Pid)
	if len(workers) != 2 {
		t.Errorf("%d workers", len(workers))
	}
	for _, worker := range workers {
		pid, _ := strconv.Atoi(worker)
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != exitFailure {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	wantGone(t, workers)
	lines := readLines(t, out)
	if end := lines[len(lines)-1].End; end == nil || !end.Interrupted {
		t.Errorf("the record ends with %+v", lines[len(lines)-1])
	}
	if count(lines, record.Left) != 20 {
		t.Errorf("%d left in order", count(lines, record.Left))
	}
	if last := p.lines[len(p.lines)-1]; !strings.HasPrefix(last, "loadtest: interrupted after ") {
		t.Errorf("%q", last)
	}
}

// TestSecondSignalEndsAtOnce has a server that answers no close frame, so that
// leaving in order takes its time. The raw records stay.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	url := startMute(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	p := startProgram(t, "run", "idle", "--url", url, "--connections=3", "--hold=1h", "--out", out)
	p.await(t, "holding: 3 of 3 open")
	workers := children(t, p.cmd.Process.Pid)
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.await(t, "open") // the next second's line: it is leaving
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != 130 {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	wantGone(t, workers)
	if n := count(readLines(t, out), record.Opened); n != 3 {
		t.Errorf("the records have %d opened", n)
	}
}

// fifo makes a pipe with a name, open at this end for reading and writing.
func fifo(t *testing.T, name string) *os.File {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("needs named pipes: ", err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// TestSignalEndsAReportThatHangs has a summary that nobody reads, and a first signal when
// the page before it is written: no run is left to end in order.
func TestSignalEndsAReportThatHangs(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	summary, page := filepath.Join(dir, "run.json"), filepath.Join(dir, "run.html")
	reader, full := fifo(t, page), fifo(t, summary)
	raw, err := full.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Write(func(fd uintptr) bool {
		for block := make([]byte, 4096); err == nil; {
			_, err = syscall.Write(int(fd), block)
		}
		return true
	})
	p := startProgram(t, "run", "idle", "--url", g.ws, "--connections=1", "--hold=0s", "--quiet", "--allow-saturated", "--json", summary, "--html", page)
	_ = reader.SetReadDeadline(time.Now().Add(patience))
	if _, err := reader.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.exit(t)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v: %q", p.cmd.ProcessState, p.lines)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "loadtest-*")); left != nil {
		t.Errorf("%v are left", left)
	}
}

// TestKilledCoordinatorLeavesNothing kills it so that it cannot say goodbye.
func TestKilledCoordinatorLeavesNothing(t *testing.T) {
	g := startGateway(t)
	p := startProgram(t, "run", "idle", "--url", g.ws, "--connections=20", "--hold=1h", "--workers=2")
	p.await(t, "holding: 20 of 20 open")
	workers := children(t, p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	p.exit(t)
	wantGone(t, workers)
}

// TestRemoteWorkerProgram runs with a worker that was started by hand, and ends that
// by SIGTERM.
func TestRemoteWorkerProgram(t *testing.T) {
	g := startGateway(t)
	w := startProgram(t, "worker", "--listen=127.0.0.1:0", "--token=s3cret")
	w.await(t, "taking jobs at ")
	_, addr, _ := strings.Cut(w.lines[len(w.lines)-1], "taking jobs at ")
	args := []string{"run", "idle", "--url", g.ws, "--connections=5", "--hold=100ms", "--quiet", "--allow-saturated", "--workers", addr}
	o := try(t, append(args, "--worker-token=wrong")...)
	o.wantFault(t, exitUsage, "worker "+addr+": 401 Unauthorized: wrong token")
	if o := try(t, append(args, "--worker-token=s3cret")...); o.code != exitDone {
		t.Errorf("%+v", o)
	}
	_ = w.cmd.Process.Signal(os.Interrupt)
	if code := w.exit(t); code != exitDone {
		t.Errorf("exit %d: %q", code, w.lines)
	}
}
