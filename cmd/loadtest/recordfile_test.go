package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/report"
)

// TestFullDisk: the report is printed all the same, and what was lost is told.
func TestFullDisk(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("needs ", full)
	}
	g := startGateway(t)
	args := []string{"run", "echo", "--url", g.echo, "--connections=5", "--rate=50", "--hold=1s", "--quiet", "--allow-saturated"}
	o := try(t, append(args, "--out", full)...)
	if o.code != exitFailure || !strings.Contains(o.stdout, "50 sent, 50 received") ||
		!strings.HasPrefix(o.stderr, "loadtest: --out: write /dev/full: no space left on device: the file ends after 0 bytes of raw records, and ") ||
		!strings.HasSuffix(o.stderr, " are lost; the report has them all\n") {
		t.Errorf("%+v", o)
	}
	page := filepath.Join(t.TempDir(), "run.html")
	o = try(t, append(args, "--json", full, "--html", page)...)
	if o.code != exitFailure || !strings.Contains(o.stdout, "50 received") || o.stderr != "loadtest: --json: write /dev/full: no space left on device\n" {
		t.Errorf("%+v", o)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "</html>") {
		t.Errorf("the page was not written: %v", err)
	}
}

// pipe makes a named one and opens its end for reading. Its reader sees no end before
// the test closes it, whoever writes.
func pipe(t *testing.T) (name string, end *os.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close() })
	return name, end
}

// TestRecordsGoToAPipe as they come, and the report has them too.
func TestRecordsGoToAPipe(t *testing.T) {
	name, end := pipe(t)
	hold, err := os.OpenFile(name, os.O_WRONLY, 0) // or the reader would see an end before the begin
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	got := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(end)
		got <- text
	}()
	g := startGateway(t)
	o := try(t, "run", "echo", "--url", g.echo, "--connections=5", "--rate=50", "--hold=1s", "--quiet", "--allow-saturated", "--out", name)
	if o.code != 0 || !strings.Contains(o.stdout, "50 sent, 50 received") {
		t.Errorf("%+v", o)
	}
	_ = hold.Close()
	run, err := report.Read(bytes.NewReader(<-got))
	if err != nil || run.End == nil || run.Header.Scenario.Name != "echo" {
		t.Errorf("the pipe got %+v, %v", run, err)
	}
	if is, err := os.Stat(name); err != nil || is.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("the pipe is gone: %v", err)
	}
}

// TestPipeWhoseReaderLeaves costs what it has not got, and nothing else.
func TestPipeWhoseReaderLeaves(t *testing.T) {
	name, end := pipe(t)
	f, err := newRecordFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	f.Write(record.Line{Header: &record.Header{Tool: "first"}})
	_ = end.SetReadDeadline(time.Now().Add(time.Minute))
	first := make([]byte, 1<<16)
	if n, err := end.Read(first); !strings.Contains(string(first[:n]), "first") {
		t.Errorf("a line waits: %q, %v", first[:n], err)
	}
	_ = end.Close()
	f.Write(record.Line{Mark: &record.Mark{Text: "second"}})
	f.Write(record.Line{Mark: &record.Mark{Text: "third"}})
	all, err := io.ReadAll(f.read())
	if err != nil || strings.Count(string(all), "\n") != 3 || !strings.Contains(string(all), "third") {
		t.Errorf("%q, %v", all, err)
	}
	if err := f.lost(); !errors.Is(err, syscall.EPIPE) || f.stream.written+int64(f.stream.missing) != int64(len(all)) {
		t.Errorf("%v: %+v of %d", err, f.stream, len(all))
	}
}

// TestPipeWithoutReader is told before the run; to wait for one might be for ever.
func TestPipeWithoutReader(t *testing.T) {
	name, end := pipe(t)
	_ = end.Close()
	want := "loadtest: --out: nobody reads from the pipe " + name + ": start its reader first\n"
	if o := try(t, "run", "echo", "--url=ws://127.0.0.1:1/", "--out", name); o.code != exitUsage || o.stderr != want {
		t.Errorf("%+v", o)
	}
}

// TestRunThatDoesNotBeginKeepsTheOlderRecord: nothing of what was there is emptied or
// removed, and no file is left that was not.
func TestRunThatDoesNotBeginKeepsTheOlderRecord(t *testing.T) {
	dir := t.TempDir()
	older, none := filepath.Join(dir, "older.jsonl"), filepath.Join(dir, "none.jsonl")
	if err := os.WriteFile(older, []byte("yesterday's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{older, none} {
		if o := try(t, "run", "echo", "--url=ws://127.0.0.1:1/", "--out", out); o.code != exitUsage {
			t.Errorf("%+v", o)
		}
	}
	if text, err := os.ReadFile(older); err != nil || string(text) != "yesterday's\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", none, err)
	}
	if o := try(t, "run", "echo", "--url=ws://127.0.0.1:1/", "--out", filepath.Join(dir, "none", "x")); !strings.HasPrefix(o.stderr, "loadtest: --out: open ") {
		t.Errorf("%+v", o)
	}
}

// TestShorterRecordReplacesALongerOne leaves nothing of the older one behind its end.
func TestShorterRecordReplacesALongerOne(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, []byte(strings.Repeat("older\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := newRecordFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(record.Line{Header: &record.Header{}})
	want, err := io.ReadAll(f.read())
	f.close()
	if got, fault := os.ReadFile(name); err != nil || fault != nil || string(got) != string(want) || !strings.HasPrefix(string(got), `{"header":`) {
		t.Errorf("%q, want %q (%v, %v)", got, want, err, fault)
	}
}

// TestSpilledRecordsAreRead has a file that takes only a part, as it is closed then.
func TestSpilledRecordsAreRead(t *testing.T) {
	f, err := newRecordFile(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var want strings.Builder
	whole := record.NewWriter(&want)
	for i := range 100 {
		line := record.Line{Mark: &record.Mark{Text: strings.Repeat("x", i)}}
		f.Write(line)
		whole.Write(line)
		if i == 50 {
			_ = f.buffer.Flush()
			name := f.file.Name()
			_ = f.file.Close()
			if f.file, err = os.Open(name); err != nil { // for reading alone
				t.Fatal(err)
			}
		}
	}
	if got, err := io.ReadAll(f.read()); err != nil || string(got) != want.String() {
		t.Errorf("%v, %d bytes of %d", err, len(got), want.Len())
	}
	if err := f.lost(); err == nil || f.written == 0 || f.missing == 0 || f.written+int64(f.missing) != int64(want.Len()) {
		t.Errorf("%v: %d written, %d lost, %d in all", err, f.written, f.missing, want.Len())
	}
}
