package wsconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"github.com/lxzan/gws"
)

// source is the net.Conn a transport gives to gws: besides its bytes it says
// whose they are. All calls come from ReadLoop.
type source interface {
	// reader is whom events concern, and whether they still matter to it.
	reader() (h Handler, deaf bool)
	noteClose(err error)
	// bound is the longest message that is let through, in bytes.
	bound() int
	// inflates reports whether messages may have come compressed.
	inflates() bool
	// spend takes a message, ping or pong of so many bytes from the turn.
	spend(bytes int)
	// refuse ends the input with a close code, as gws's own refusals do.
	refuse(code uint16)
}

// events is gws's handler, shared by all connections of all transports.
type events struct{}

func sourceOf(socket *gws.Conn) source { return socket.NetConn().(source) }

// OnOpen implements gws.Event.
func (events) OnOpen(*gws.Conn) {}

// OnMessage implements gws.Event.
func (events) OnMessage(socket *gws.Conn, message *gws.Message) {
	s := sourceOf(socket)
	h, deaf := s.reader()
	payload := message.Bytes()
	s.spend(len(payload))
	switch {
	case deaf:
	case len(payload) > s.bound(): // inflated; the guard bounds what comes in
		s.refuse(1009)
	case s.inflates() && message.Opcode == gws.OpcodeText && !utf8.Valid(payload):
		s.refuse(1007) // inflated; the guard has judged what comes in as it is
	default:
		h.Message(Opcode(message.Opcode), payload)
	}
	_ = message.Close()
}

// OnPing implements gws.Event.
func (events) OnPing(socket *gws.Conn, payload []byte) {
	s := sourceOf(socket)
	s.spend(len(payload))
	if h, deaf := s.reader(); !deaf {
		h.Ping(payload)
	}
}

// OnPong implements gws.Event.
func (events) OnPong(socket *gws.Conn, payload []byte) {
	s := sourceOf(socket)
	s.spend(len(payload))
	if h, deaf := s.reader(); !deaf {
		h.Pong(payload)
	}
}

// OnClose implements gws.Event. It only notes what is reported afterwards,
// outside of gws.
func (events) OnClose(socket *gws.Conn, err error) { sourceOf(socket).noteClose(err) }

// verdict is what gws found wrong with the input, or the peer's close frame.
type verdict struct {
	refusal   uint16 // close code that gws chose to send, which is never sent
	peerClose *gws.CloseError
}

// Write takes the one thing gws writes by itself, a close frame: its code says
// what gws met. It is swallowed.
func (v *verdict) Write(p []byte) (int, error) {
	if v.refusal == 0 && len(p) >= 4 && p[0] == finBit|byte(opClose) {
		v.refusal = binary.BigEndian.Uint16(p[2:])
		if v.refusal == 1011 { // it cannot inflate; why is only in the text
			v.refusal = 1002
			if string(p[4:]) == gwsTooLarge {
				v.refusal = 1009
			}
		}
	}
	return len(p), nil
}

// gwsTooLarge is what gws says of a message that would inflate to too much.
const gwsTooLarge = "gws: message too large"

func (v *verdict) refuse(code uint16) { v.refusal = code }

// noteClose comes after Write of what gws would answer to the peer's close frame.
func (v *verdict) noteClose(err error) {
	switch {
	case !errors.As(err, &v.peerClose):
	case !utf8.Valid(v.peerClose.Reason):
		v.refusal = 1007
	case v.peerClose.Code == badGateway:
		v.refusal = 0
	}
}

// badGateway is a close code that IANA registered after RFC 6455 came out. gws answers it
// with 1002.
const badGateway = 1014

// report tells h why there is no more input, if it was not the network. What gws
// objected to comes before what the guard did: it stands earlier in the input.
func (v *verdict) report(h Handler, g *guard, panicked bool) {
	switch {
	case panicked:
		h.Violation(Internal)
	case v.refusal == 1002:
		h.Violation(Protocol)
	case v.refusal == 1007:
		h.Violation(InvalidUTF8)
	case v.refusal == 1009:
		h.Violation(TooBig)
	case v.peerClose != nil:
		code := v.peerClose.Code
		if code == 0 { // gws: an empty payload; it refuses a real 0
			code = NoStatus
		}
		h.PeerClosed(code, string(v.peerClose.Reason))
	case g.end == stepRefused:
		h.Violation(g.violation)
	}
}

// guarded calls f and reports whether it returned without a panic.
func (cfg *Config) guarded(f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		value := recover() // nil if it was runtime.Goexit
		if cfg.OnPanic != nil && value != nil {
			cfg.OnPanic(value, debug.Stack())
		}
	}()
	f()
	return true
}

// inert is the part of net.Conn that is not gws's to use.
type inert struct{}

// Close implements net.Conn.
func (inert) Close() error { return nil }

// SetDeadline implements net.Conn.
func (inert) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (inert) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (inert) SetWriteDeadline(time.Time) error { return nil }

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

// noSession spares the map that gws makes per connection.
func noSession() gws.SessionStorage { return nil }

// silent is gws's logger: what goes wrong is reported to Handlers, not logged here.
type silent struct{}

func (silent) Error(...any) {}
