package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wheelgate/wheelgate/loadtest/record"
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
