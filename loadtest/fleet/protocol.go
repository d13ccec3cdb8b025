// Package fleet divides a load run among workers: processes of this machine that
// it starts, or programs on other machines that it reaches by HTTP. Both speak
// the same protocol, JSON lines in both directions:
//
//	coordinator                        worker
//	job                           -->
//	                              <--  ready, or fault
//	clock (other machines only)   -->
//	                              <--  clock
//	start: a moment               -->       connects
//	                              <--  line, line, ... each second
//	                              <--  connected
//	hold: a moment, for all       -->       works
//	                              <--  draining (only of drains): the server lets go
//	over: draining of another     -->       does not wait for the hold's end
//	stop (only to end early)      -->       leaves
//	                              <--  done
//
// A worker whose coordinator goes away ends its run, in order.
package fleet

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/record"
)

// order is what a worker is told: exactly one field is set.
type order struct {
	Job   *loadtest.Job `json:"job,omitempty"`
	Clock bool          `json:"clock,omitempty"`
	Start *time.Time    `json:"start,omitempty"`
	Hold  *time.Time    `json:"hold,omitempty"`
	Over  bool          `json:"over,omitempty"` // the hold ends before its time
	Stop  bool          `json:"stop,omitempty"`
}

// answer is what a worker says: exactly one field is set.
type answer struct {
	Ready     bool         `json:"ready,omitempty"`
	Fault     string       `json:"fault,omitempty"` // why the job cannot be done
	Clock     *time.Time   `json:"clock,omitempty"`
	Line      *record.Line `json:"line,omitempty"`
	Connected bool         `json:"connected,omitempty"`
	// Draining is when the server began to let go, after the start.
	Draining *time.Duration `json:"draining,omitempty"`
	Done     *done          `json:"done,omitempty"`
}

// done ends a worker's run.
type done struct {
	Saturated []string `json:"saturated,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// sender writes one kind of message, from any goroutine.
type sender[T any] struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func newSender[T any](w io.Writer) *sender[T] { return &sender[T]{enc: json.NewEncoder(w)} }

func (s *sender[T]) send(message T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enc.Encode(message)
}

// receive decodes messages until their stream ends or fails, and closes the
// channel then. It blocks while nobody takes them, unless stop is closed.
func receive[T any](r io.Reader, to chan<- T, stop <-chan struct{}) {
	defer close(to)
	for dec := json.NewDecoder(r); ; {
		var message T
		if dec.Decode(&message) != nil {
			return
		}
		select {
		case to <- message:
		case <-stop:
			return
		}
	}
}
