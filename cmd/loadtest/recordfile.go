package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// recordFile is where the raw records go, and where the report reads them: a file
// that is kept if it was asked for. What was in it before stays until the first
// record comes: a run that does not begin costs nobody an older one.
type recordFile struct {
	*record.Writer
	file *os.File
	kept bool
	made bool // there was no file of this name

	buffer  *bufio.Writer
	begun   bool         // a record has come
	written int64        // bytes that the file took
	rest    bytes.Buffer // those after, once it took no more
	missing int          // how many they are
	fault   error        // why
}

func newRecordFile(name string) (*recordFile, error) {
	f := &recordFile{kept: name != ""}
	var err error
	if f.kept {
		_, absent := os.Stat(name)
		f.made = errors.Is(absent, fs.ErrNotExist)
		f.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	} else {
		f.file, err = os.CreateTemp("", "loadtest-*.jsonl")
	}
	if err != nil {
		return nil, usagef("--out: %s", oneLine(err))
	}
	if !f.kept {
		_ = os.Remove(f.file.Name()) // a signal may leave no time for it; where it is too early, close does it
	}
	f.buffer = bufio.NewWriterSize(spill{f}, 1<<16)
	f.Writer = record.NewWriter(f.buffer)
	return f, nil
}

// Write writes one line. The first is the header, before which nobody else writes.
func (f *recordFile) Write(line record.Line) {
	if line.Header != nil {
		f.begin()
	}
	f.Writer.Write(line)
}

// begin empties the file of what an older run left in it.
func (f *recordFile) begin() {
	f.begun = true
	if at, err := f.file.Stat(); err == nil && at.Mode().IsRegular() {
		f.fault = f.file.Truncate(0)
	}
}

// spill writes to the file, and to memory what that does not take: a full disk costs
// the raw records, not the run. It never fails.
type spill struct{ f *recordFile }

func (s spill) Write(p []byte) (int, error) {
	n := 0
	if s.f.fault == nil {
		n, s.f.fault = s.f.file.Write(p)
		s.f.written += int64(n)
	}
	s.f.missing += len(p) - n
	s.f.rest.Write(p[n:])
	return len(p), nil
}

// read has the records from the begin. No Write may follow.
func (f *recordFile) read() io.Reader {
	_ = f.buffer.Flush() // spill does not fail
	return bufio.NewReaderSize(io.MultiReader(io.NewSectionReader(f.file, 0, f.written), &f.rest), 1<<16)
}

// lost says what the file has not got, nil if it is complete.
func (f *recordFile) lost() error {
	if f.fault == nil {
		return nil
	}
	return fmt.Errorf("--out: %w: the file ends after %d bytes of raw records, and %d are lost; the report has them all", f.fault, f.written, f.missing)
}

func (f *recordFile) close() {
	_ = f.buffer.Flush()
	_ = f.file.Close()
	if !f.kept || f.made && !f.begun {
		_ = os.Remove(f.file.Name())
	}
}
