package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// recordFile is where the raw records go, and where the report reads them: a
// file that is kept if it was asked for.
type recordFile struct {
	*record.Writer
	file *os.File
	kept bool

	buffer  *bufio.Writer
	written int64        // bytes that the file took
	rest    bytes.Buffer // those after, once it took no more
	missing int          // how many they are
	fault   error        // why
}

func newRecordFile(name string) (*recordFile, error) {
	f := &recordFile{kept: name != ""}
	var err error
	if f.kept {
		f.file, err = os.Create(name)
	} else {
		f.file, err = os.CreateTemp("", "loadtest-*.jsonl")
	}
	if err != nil {
		return nil, usagef("--out: %s", oneLine(err))
	}
	f.buffer = bufio.NewWriterSize(spill{f}, 1<<16)
	f.Writer = record.NewWriter(f.buffer)
	return f, nil
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
	if !f.kept {
		_ = os.Remove(f.file.Name())
	}
}
