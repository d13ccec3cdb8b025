package client

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Opcode of a frame (RFC 6455 section 5.2).
type Opcode byte

// Opcodes; Handler.Message gets the first two, with Pong for answers to pings of ours.
const (
	Text   Opcode = 0x1
	Binary Opcode = 0x2
	Close  Opcode = 0x8
	Ping   Opcode = 0x9
	Pong   Opcode = 0xa

	continuation Opcode = 0x0
)

func (op Opcode) control() bool { return op&0x8 != 0 }

const (
	maxControl = 125 // bytes of a control frame's payload
	maxHead    = 14  // bytes of a masked frame's header
)

// appendFrame appends a whole client frame, masked with key.
func appendFrame(b []byte, op Opcode, key [4]byte, payload []byte) []byte {
	b = append(b, 0x80|byte(op))
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, key[:]...)
	begin := len(b)
	b = append(b, payload...)
	mask(b[begin:], key)
	return b
}

func mask(b []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// protocolError says what the server did wrong, and the close code to tell it.
type protocolError struct {
	kind string
	code int
	text string
}

func (e *protocolError) Error() string { return e.text }

func broken(format string, args ...any) error {
	return &protocolError{kind: KindProtocol, code: 1002, text: fmt.Sprintf(format, args...)}
}

// header is a server frame's header. Its size is 0 while it is incomplete.
type header struct {
	fin  bool
	op   Opcode
	size int // of the header itself, in bytes
	len  int // of the payload, in bytes
}

// parseHeader looks at a server frame's first bytes. wants is how many bytes it
// needs to say more: of the header while that is incomplete, then of the frame.
func parseHeader(b []byte, room int) (h header, wants int, err error) {
	if len(b) < 2 {
		return h, 2, nil
	}
	size := 2
	switch b[1] & 0x7f {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if len(b) < size {
		return h, size, nil
	}
	h = header{fin: b[0]&0x80 != 0, op: Opcode(b[0] & 0xf), size: size}
	if err := h.check(b, room); err != nil {
		return h, 0, err
	}
	return h, size + h.len, nil
}

// check refuses what RFC 6455 section 5 does not allow a server to send to a client
// that has asked for no extension.
func (h *header) check(b []byte, room int) error {
	length, short := uint64(b[1]&0x7f), uint64(0)
	switch h.size {
	case 4:
		length, short = uint64(binary.BigEndian.Uint16(b[2:])), 125
	case 10:
		length, short = binary.BigEndian.Uint64(b[2:]), 0xffff
	}
	switch {
	case b[0]&0x70 != 0:
		return broken("reserved bits %#x without an extension", b[0]&0x70)
	case b[1]&0x80 != 0:
		return broken("a masked frame from the server")
	case h.op > Binary && h.op < Close || h.op > Pong:
		return broken("reserved opcode %#x", byte(h.op))
	case h.size > 2 && length <= short:
		return broken("length %d is not in its shortest form", length)
	case length>>63 != 0:
		return broken("length %#x has its top bit set", length)
	case h.op.control() && (!h.fin || length > maxControl):
		return broken("a control frame that is fragmented or longer than %d bytes", maxControl)
	case !h.op.control() && length > uint64(room):
		return &protocolError{kind: KindTooBig, code: 1009, text: fmt.Sprintf("a message of more bytes than %d is left for", room)}
	}
	h.len = int(length)
	return nil
}

var errNotUTF8 = &protocolError{kind: KindProtocol, code: 1007, text: "text that is not UTF-8"}

// inbox holds the begun message of one connection; connections without have none.
type inbox struct {
	frame   []byte // the begun frame
	message []byte // the payloads of the fragments before it
	op      Opcode // of the fragmented message, 0 when there is none
}

func (in *inbox) empty() bool { return in.op == 0 && len(in.frame) == 0 }

// next takes the first whole message, or control frame between fragments, off input.
// ok is false when there is none: then all of input is taken and p holds what
// is begun. payload is part of input or of what p held, and nobody else's.
// max is the bytes a message may have. After an error there is no going on.
func next(p **inbox, input []byte, max int) (op Opcode, payload, rest []byte, ok bool, err error) {
	for len(input) > 0 {
		in := *p
		if in == nil {
			in = &none
		}
		frame, h, rest, err := in.cut(p, input, max)
		if err != nil || frame == nil {
			return 0, nil, nil, false, err
		}
		input = rest
		op, payload, ok, err := join(p, h, frame[h.size:])
		if err != nil || ok {
			return op, payload, rest, ok, err
		}
	}
	return 0, nil, nil, false, nil
}

// none is what connections hold that hold nothing; it is never written to.
var none inbox

// cut returns the first frame, from input itself or completed with it. It is nil
// when input does not complete one: then p holds it.
func (in *inbox) cut(p **inbox, input []byte, max int) (frame []byte, h header, rest []byte, err error) {
	room := max - len(in.message)
	if len(in.frame) == 0 {
		h, wants, err := parseHeader(input, room)
		if err != nil || h.size > 0 && wants <= len(input) {
			return input[:min(wants, len(input))], h, input[min(wants, len(input)):], err
		}
		own(p).frame = append([]byte(nil), input...)
		return nil, h, nil, nil
	}
	for {
		h, wants, err := parseHeader(in.frame, room)
		if err != nil {
			return nil, h, nil, err
		}
		if h.size > 0 && wants <= len(in.frame) {
			frame = in.frame
			in.frame = nil
			return frame, h, input, nil
		}
		n := min(wants-len(in.frame), len(input))
		if n == 0 {
			return nil, h, nil, nil
		}
		in.frame = append(in.frame, input[:n]...)
		input = input[n:]
	}
}

func own(p **inbox) *inbox {
	if *p == nil {
		*p = new(inbox)
	}
	return *p
}

// join adds a frame to the message it belongs to, and reports whether there is
// something to hand out.
func join(p **inbox, h header, payload []byte) (Opcode, []byte, bool, error) {
	begun := *p != nil && (*p).op != 0
	switch {
	case h.op.control():
		settle(p)
		return h.op, payload, true, nil
	case begun != (h.op == continuation):
		return 0, nil, false, broken("opcode %#x where a fragmented message is begun: %v", byte(h.op), begun)
	case !h.fin:
		in := own(p)
		if !begun {
			in.op = h.op
		}
		in.message = append(in.message, payload...)
		return 0, nil, false, nil
	}
	op := h.op
	if begun {
		op, payload = (*p).op, append((*p).message, payload...)
		*p = nil
	}
	settle(p)
	if op == Text && !utf8.Valid(payload) {
		return 0, nil, false, errNotUTF8
	}
	return op, payload, true, nil
}

// settle drops an inbox that holds nothing.
func settle(p **inbox) {
	if *p != nil && (*p).empty() {
		*p = nil
	}
}

// parseClose reads a close frame's payload: 1005 when it has no code (section 7.1.5).
func parseClose(payload []byte) (code int, reason string, err error) {
	switch len(payload) {
	case 0:
		return 1005, "", nil
	case 1:
		return 0, "", broken("a close frame with half a code")
	}
	code = int(binary.BigEndian.Uint16(payload))
	switch {
	case code < 1000 || code == 1004 || code == 1005 || code == 1006 || code > 1014 && code < 3000 || code > 4999:
		return 0, "", broken("close code %d", code)
	case !utf8.Valid(payload[2:]):
		return 0, "", errNotUTF8
	}
	return code, string(payload[2:]), nil
}
