package wsconn

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

const (
	// opClose never reaches a Handler as such: PeerClosed and Conn.Close stand for it.
	opClose Opcode = 0x8
	// maxControl is the longest payload of a control frame (RFC 6455 section 5.5).
	maxControl = 125
	// maxReason is what maxControl leaves beside the close code.
	maxReason = maxControl - 2
)

// Frame is one encoded server frame. It is immutable, so any number of
// connections may queue the same one at once, and owns its bytes.
type Frame struct {
	wire   []byte
	op     Opcode
	window uint8        // of a form: for which size of it, see Frame.compressed
	queued atomic.Int32 // outboxes that have it and were not chosen by their budget

	deflating sync.Mutex           // one form at a time
	forms     atomic.Pointer[form] // the deflated ones; without a wire if not worth it
}

// form is one deflated form in the list of a Frame's. An outbox that keeps the form does
// not keep the others by it.
type form struct {
	*Frame
	next *form
}

// memory is what f takes, in bytes.
func (f *Frame) memory() int64 { return int64(unsafe.Sizeof(*f)) + int64(cap(f.wire)) }

// NewFrame encodes payload, which it copies, as one unfragmented frame. Op is
// one of Text, Binary, Ping and Pong. It returns ErrInvalidUTF8 for a text that
// is none (RFC 6455 section 5.6) and ErrControlTooLong for a ping or pong of
// more than 125 bytes; it sets no other bound on the payload.
func NewFrame(op Opcode, payload []byte) (*Frame, error) {
	f := new(Frame)
	if err := f.encode(op, payload); err != nil {
		return nil, err
	}
	return f, nil
}

// sendNew is SendMessage for whom a frame of its own costs nothing that matters.
func sendNew(c Conn, op Opcode, payload []byte) error {
	f, err := NewFrame(op, payload)
	if err != nil {
		return err
	}
	return c.Send(f)
}

// maxReused is the longest payload whose frame is kept for the next, in bytes.
const maxReused = 4 << 10

// closeFrame encodes a close frame. NoStatus, which must not be sent as a code,
// gives an empty one. A reason that does not fit is cut between two runes.
func closeFrame(code uint16, reason string) *Frame {
	var payload []byte
	if code != NoStatus {
		payload = binary.BigEndian.AppendUint16(payload, code)
		payload = append(payload, cutReason(reason)...)
	}
	f := &Frame{op: opClose}
	f.build(finBit|byte(opClose), payload)
	return f
}

func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// Len is the size on the wire, header included, in bytes.
func (f *Frame) Len() int { return len(f.wire) }

// Opcode is what the frame was built with.
func (f *Frame) Opcode() Opcode { return f.op }

// isData reports whether the frame counts in End.Unsent.
func (f *Frame) isData() bool { return f.op == Text || f.op == Binary }

// encode makes f what NewFrame returns. Nobody else may have f.
func (f *Frame) encode(op Opcode, payload []byte) error {
	switch op {
	case Text:
		if !utf8.Valid(payload) {
			return ErrInvalidUTF8
		}
	case Binary:
	case Ping, Pong:
		if len(payload) > maxControl {
			return ErrControlTooLong
		}
	default:
		return fmt.Errorf("wsconn: no frame with opcode %#x", op)
	}
	f.op = op
	f.build(finBit|byte(op), payload)
	return nil
}

// build builds the frame here and not in gws: as a server has no mask to apply, it
// is a header and a copy, and gws makes three of them.
func (f *Frame) build(first byte, payload []byte) {
	const longest = 10 // bytes of header
	wire := f.wire[:0]
	if cap(wire) < longest+len(payload) {
		wire = make([]byte, 0, longest+len(payload))
	}
	wire = append(wire, first)
	switch n := len(payload); {
	case n <= maxControl:
		wire = append(wire, byte(n))
	case n < 1<<16:
		wire = binary.BigEndian.AppendUint16(append(wire, 126), uint16(n))
	default:
		wire = binary.BigEndian.AppendUint64(append(wire, 127), uint64(n))
	}
	f.wire = append(wire, payload...)
}

// frameSize is the length of the server frame that p begins with, in bytes.
func frameSize(p []byte) int {
	switch n := int(p[1]); n {
	case 126:
		return 4 + int(binary.BigEndian.Uint16(p[2:]))
	case 127:
		return 10 + int(binary.BigEndian.Uint64(p[2:]))
	default:
		return 2 + n
	}
}
