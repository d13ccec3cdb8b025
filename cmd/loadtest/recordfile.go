package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// recordFile is where the raw records go, and where the report reads them: a file
// that is kept if it was asked for. What was in it before stays until the first
// record comes: a run that does not begin costs nobody an older one. What cannot be
// read again (a pipe, a device) gets the records as they come; the report reads others.
type recordFile struct {
	*record.Writer
	outlet         // what the report reads
	stream *outlet // what --out names, if it cannot be read again; or nil
	kept   bool
	made   bool // there was no file of this name

	buffer *bufio.Writer // of the outlet
	begun  bool          // a record has come
	rest   bytes.Buffer  // what the outlet did not take
}

func newRecordFile(name string) (*recordFile, error) {
	f := &recordFile{kept: name != ""}
	var err error
	if f.kept {
		err = f.open(name)
	}
	if err == nil && f.file == nil {
		err = f.openTemporary()
	}
	if err != nil {
		f.close()
		return nil, usagef("--out: %s", oneLine(err))
	}
	f.buffer = bufio.NewWriterSize(spill{f}, 1<<16)
	f.Writer = record.NewWriter(recorder{f})
	return f, nil
}

// open opens what --out names. A pipe is opened for writing alone, or its reader
// would not be missed.
func (f *recordFile) open(name string) error {
	is, absent := os.Stat(name)
	if f.made = errors.Is(absent, fs.ErrNotExist); absent == nil && !is.Mode().IsRegular() {
		file, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return fmt.Errorf("nobody reads from the pipe %s: start its reader first", name)
		}
		if err == nil {
			f.stream = &outlet{file: file}
		}
		return err
	}
	var err error
	f.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	return err
}

func (f *recordFile) openTemporary() error {
	var err error
	if f.file, err = os.CreateTemp("", "loadtest-*.jsonl"); err == nil {
		_ = os.Remove(f.file.Name()) // a signal may leave no time for it; where it is too early, close does it
	}
	return err
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
	f.fault = f.file.Truncate(0)
}

// recorder takes the lines of a record, each with one Write. It never fails: a
// full disk costs the raw records, not the run.
type recorder struct{ f *recordFile }

func (r recorder) Write(line []byte) (int, error) {
	if r.f.stream != nil {
		r.f.stream.put(line)
	}
	return r.f.buffer.Write(line)
}

// spill writes to the file, and to memory what that does not take. It never fails.
type spill struct{ f *recordFile }

func (s spill) Write(p []byte) (int, error) {
	s.f.rest.Write(p[s.f.put(p):])
	return len(p), nil
}

// outlet is a file that may take no more one day.
type outlet struct {
	file    *os.File
	written int64 // bytes that it took
	missing int   // how many it did not
	fault   error // why
}

// streamPatience is how long a pipe's reader may keep the run waiting.
const streamPatience = 5 * time.Second

// put writes what the file takes, and says how much of p that is.
func (o *outlet) put(p []byte) (n int) {
	if o.fault == nil {
		_ = o.file.SetWriteDeadline(time.Now().Add(streamPatience)) // fails where no write waits
		n, o.fault = o.file.Write(p)
		o.written += int64(n)
	}
	o.missing += len(p) - n
	return n
}

// read has the records from the begin. No Write may follow.
func (f *recordFile) read() io.Reader {
	_ = f.buffer.Flush() // spill does not fail
	return bufio.NewReaderSize(io.MultiReader(io.NewSectionReader(f.file, 0, f.written), &f.rest), 1<<16)
}

// lost says what --out has not got, nil if it is complete.
func (f *recordFile) lost() error {
	asked := &f.outlet
	if f.stream != nil {
		asked = f.stream
	}
	if asked.fault == nil || !f.kept {
		return nil
	}
	return fmt.Errorf("--out: %w: the file ends after %d bytes of raw records, and %d are lost; the report has them all", asked.fault, asked.written, asked.missing)
}

func (f *recordFile) close() {
	if f.buffer != nil {
		_ = f.buffer.Flush()
	}
	if f.stream != nil {
		_ = f.stream.file.Close()
	}
	if f.file == nil {
		return
	}
	_ = f.file.Close()
	if !f.kept || f.stream != nil || f.made && !f.begun {
		_ = os.Remove(f.file.Name())
	}
}
