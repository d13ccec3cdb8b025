package wsconn

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Transport carries connections. See Goroutine's methods for the contract, which is
// the same for all.
type Transport interface {
	Upgrade(w http.ResponseWriter, r *http.Request, open func(Conn) Handler) error
	SendAll(f *Frame, conns []Conn, errs []error)
	// Pulses appends how far each event loop has got to dst: one has stopped if it is
	// twice the same within a time that is too long for a turn. From any goroutine.
	Pulses(dst []Pulse) []Pulse
	// Figures counts what the transport does. From any goroutine.
	Figures() Figures
	Wait()
}

// Pulse is how far an event loop has got.
type Pulse struct {
	Turns   uint64 // times that it has looked for something to do
	Resting bool   // it waits, and nobody has asked for anything
}

// Kind names a transport.
type Kind uint8

// The kinds. Auto is the event loop where there is one.
const (
	KindAuto Kind = iota
	KindLoop
	KindGoroutine
)

var kindNames = []string{"auto", "loop", "goroutine"}

// ParseKind reads auto, loop or goroutine.
func ParseKind(s string) (Kind, error) {
	if i := slices.Index(kindNames, s); i >= 0 {
		return Kind(i), nil
	}
	return 0, fmt.Errorf("wsconn: transport %q: must be auto, loop or goroutine", s)
}

// String is the form ParseKind reads.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprint(uint8(k))
}

// ErrNoLoop: this system has no event loop.
var ErrNoLoop = errors.New("wsconn: the event loop needs Linux")

// New returns a transport of the given kind, or ErrNoLoop.
func New(kind Kind, cfg Config) (Transport, error) {
	if kind != KindGoroutine {
		if t := newLoop(cfg); t != nil {
			return t, nil
		}
		if kind == KindLoop {
			return nil, ErrNoLoop
		}
	}
	return NewGoroutine(cfg), nil
}
