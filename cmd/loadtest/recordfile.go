package main

import (
	"bufio"
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

	buffer *bufio.Writer
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
		return nil, usagef("out: %s", oneLine(err))
	}
	f.buffer = bufio.NewWriterSize(f.file, 1<<16)
	f.Writer = record.NewWriter(f.buffer)
	return f, nil
}

// read has the records from the begin. No Write may follow.
func (f *recordFile) read() (io.Reader, error) {
	if err := f.buffer.Flush(); err != nil {
		return nil, err
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(f.file, 1<<16), nil
}

func (f *recordFile) close() {
	_ = f.buffer.Flush()
	_ = f.file.Close()
	if !f.kept {
		_ = os.Remove(f.file.Name())
	}
}
