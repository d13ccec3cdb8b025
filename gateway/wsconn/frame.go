package wsconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/lxzan/gws"
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
	wire []byte
	op   Opcode

	deflating sync.Mutex
	deflated  atomic.Pointer[Frame] // nil until somebody needs it; itself if not worth it
}

// NewFrame encodes payload, which it copies, as one unfragmented frame. Op is
// one of Text, Binary, Ping and Pong. It returns ErrInvalidUTF8 for a text that
// is none (RFC 6455 section 5.6) and ErrControlTooLong for a ping or pong of
// more than 125 bytes; it sets no other bound on the payload.
func NewFrame(op Opcode, payload []byte) (*Frame, error) {
	switch op {
	case Text, Binary:
	case Ping, Pong:
		if len(payload) > maxControl {
			return nil, ErrControlTooLong
		}
	default:
		return nil, fmt.Errorf("wsconn: no frame with opcode %#x", op)
	}
	return encode(op, payload)
}

// closeFrame encodes a close frame. NoStatus, which must not be sent as a code,
// gives an empty one. A reason that does not fit is cut between two runes.
func closeFrame(code uint16, reason string) *Frame {
	var payload []byte
	if code != NoStatus {
		payload = binary.BigEndian.AppendUint16(payload, code)
		payload = append(payload, cutReason(reason)...)
	}
	f, err := encode(opClose, payload)
	if err != nil {
		panic(fmt.Sprintf("wsconn: gws refused a close frame: %v", err)) // it has nothing to refuse
	}
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

// encoder is a gws.Conn that writes into memory. Used by one goroutine at a time.
type encoder struct {
	socket *gws.Conn
	sink   sink
}

var encoders = sync.Pool{New: func() any { return newEncoder() }}

var encoderUpgrader = gws.NewUpgrader(gws.BuiltinEventHandler{}, encoderOption())

func encoderOption() *gws.ServerOption {
	return &gws.ServerOption{
		CheckUtf8Enabled:    true,
		WriteMaxPayloadSize: math.MaxInt, // the gateway bounds messages
		NewSession:          noSession,
		Logger:              silent{},
	}
}

func newEncoder() *encoder {
	e := new(encoder)
	e.socket = ownSocket(encoderUpgrader, &e.sink, nil)
	return e
}

// ownSocket is a gws.Conn with nobody at the other end of its handshake, which
// negotiates compression if u does.
func ownSocket(u *gws.Upgrader, conn net.Conn, br *bufio.Reader) *gws.Conn {
	if br == nil { // nothing is read from it
		br = bufio.NewReaderSize(nil, 16)
	}
	socket, err := u.UpgradeFromConn(conn, br, &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":               {"Upgrade"},
		"Upgrade":                  {"websocket"},
		"Sec-Websocket-Version":    {"13"},
		"Sec-Websocket-Key":        {"AAAAAAAAAAAAAAAAAAAAAA=="},
		"Sec-Websocket-Extensions": {deflateAnswer},
	}})
	if err != nil {
		panic(fmt.Sprintf("wsconn: gws refused our own handshake: %v", err))
	}
	return socket
}

func encode(op Opcode, payload []byte) (*Frame, error) { return encodeWith(&encoders, op, payload) }

func encodeWith(pool *sync.Pool, op Opcode, payload []byte) (*Frame, error) {
	e := pool.Get().(*encoder)
	if err := e.socket.WriteMessage(gws.Opcode(op), payload); err != nil {
		// The encoder is not put back: gws has closed it.
		if errors.Is(err, gws.ErrTextEncoding) {
			return nil, ErrInvalidUTF8
		}
		return nil, fmt.Errorf("wsconn: encoding a frame: %w", err)
	}
	f := &Frame{wire: e.sink.last, op: op}
	e.sink.last = nil
	pool.Put(e)
	return f, nil
}

// sink is a net.Conn that keeps the last thing written; gws writes a frame at once.
type sink struct {
	last []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.last = append([]byte(nil), p...)
	return len(p), nil
}

func (s *sink) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (s *sink) Close() error                     { return nil }
func (s *sink) LocalAddr() net.Addr              { return nil }
func (s *sink) RemoteAddr() net.Addr             { return nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// noSession spares the map that gws makes per connection.
func noSession() gws.SessionStorage { return nil }

// silent is gws's logger: what goes wrong is reported to Handlers, not logged here.
type silent struct{}

func (silent) Error(...any) {}
