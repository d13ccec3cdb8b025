package record

import (
	"encoding/json"
	"io"
	"sync"
)

// Writer writes a file line by line. Its methods may be called from any goroutine.
type Writer struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error // the first
}

// NewWriter writes to w, each line with one Write.
func NewWriter(w io.Writer) *Writer { return &Writer{enc: json.NewEncoder(w)} }

// Write writes one line; after an error it writes nothing.
func (w *Writer) Write(line Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.enc.Encode(line)
	}
}

// Err returns the first error of all writes.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
