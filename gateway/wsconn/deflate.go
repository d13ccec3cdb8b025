package wsconn

import (
	"math"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lxzan/gws"
)

// permessage-deflate (RFC 7692) without context takeover in either direction: no
// message depends on another, so no session has a window of its own, one gws.Conn
// inflates for many, and a frame is deflated once for all its receivers.

const (
	deflateExtension = "permessage-deflate"
	// deflateAnswer is what we make of an offer that we take: gws answers with the
	// same words.
	deflateAnswer = deflateExtension + "; server_no_context_takeover; client_no_context_takeover"
	// deflateLevel is the fastest: of a message of 1 KiB the best level saves a few
	// bytes more, for several times the processor time and memory.
	deflateLevel = 1
	rsv1         = 0x40
	// deflateTurn is loopBuffer for a session with compression: it may inflate to a
	// thousand times as much.
	deflateTurn = 4 << 10
)

// negotiated decides about the offers of r (RFC 7692 section 5), in words that gws
// takes as they are, prepares g for the session, and returns what the 101 has to
// say of it: nothing, or an answer of which gws gives only the first words.
func (g *guard) negotiated(cfg *Config, r *http.Request) (answer string) {
	const key = "Sec-Websocket-Extensions"
	if cfg.Compression {
		answer = accept(r.Header[key])
	}
	if answer == "" {
		delete(r.Header, key)
		return ""
	}
	r.Header[key] = []string{deflateAnswer}
	g.deflate, g.maxMessage = true, int32(cfg.maxIncoming())
	return answer
}

// accept answers the first of the offers in the headers that can be taken, or
// returns "". What does not follow the grammar (RFC 6455 section 9.1) offers nothing.
func accept(headers []string) (answer string) {
	for _, header := range headers {
		for _, offer := range splitQuoted(header, ',') {
			if answer := acceptOffer(splitQuoted(offer, ';')); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// acceptOffer judges one offer, its name and parameters (RFC 7692 section 7.1):
// each known, once, and with a value that it may have.
func acceptOffer(parts []string) (answer string) {
	if strings.TrimSpace(parts[0]) != deflateExtension {
		return ""
	}
	answer = deflateAnswer
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, hasValue := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		value, valid := unquote(strings.TrimSpace(value))
		if seen[name] || !valid {
			return ""
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			valid = !hasValue
		case "server_max_window_bits":
			// We deflate with a window of 32 KiB and no other; to take the offer is to
			// repeat it (section 7.1.2.1).
			valid = hasValue && value == "15"
			answer = deflateAnswer + "; server_max_window_bits=15"
		case "client_max_window_bits":
			// Whatever the client would restrict itself to, we can inflate it; an
			// answer without this parameter restricts it to nothing.
			valid = !hasValue || validWindowBits(value)
		default:
			valid = false
		}
		if !valid {
			return ""
		}
	}
	return answer
}

// validWindowBits: a number from 8 to 15, without leading zeros.
func validWindowBits(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 8 && n <= 15 && strconv.Itoa(n) == s
}

// splitQuoted splits s at sep, but not within quotes.
func splitQuoted(s string, sep byte) (parts []string) {
	begin, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == sep && !quoted:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:])
}

// unquote takes the quotes off a value, whose text has to be a token all the same
// (RFC 6455 section 9.1); of those the parameters have, so no escapes.
func unquote(s string) (value string, valid bool) {
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		inner, ok = strings.CutSuffix(inner, `"`)
		return inner, ok && inner != "" && !strings.ContainsAny(inner, `"\`)
	}
	return s, !strings.Contains(s, `"`)
}

// perMessageDeflate is the option of gws's servers; memory is per processor, not
// per connection.
func perMessageDeflate(threshold int) gws.PermessageDeflate {
	return gws.PermessageDeflate{
		Enabled: true, Level: deflateLevel, Threshold: threshold,
		ServerMaxWindowBits: 15, ClientMaxWindowBits: 15,
		PoolSize: runtime.GOMAXPROCS(0),
	}
}

// deflater is a gws.Conn that writes compressed frames into memory. Used by one
// goroutine at a time.
type deflater struct {
	socket *gws.Conn
	sink   sink
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.socket = ownSocket(deflateUpgrader(), &d.sink, nil)
	return d
}}

var deflateUpgrader = sync.OnceValue(func() *gws.Upgrader {
	return gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{
		WriteMaxPayloadSize: math.MaxInt, // the gateway bounds messages
		NewSession:          noSession,
		Logger:              silent{},
		PermessageDeflate:   perMessageDeflate(1),
	})
})

// deflate returns payload as a compressed frame; whether it is UTF-8 was checked
// when the plain frame was made.
func deflate(op Opcode, payload []byte) (*Frame, error) {
	d := deflaters.Get().(*deflater)
	if err := d.socket.WriteMessage(gws.Opcode(op), payload); err != nil {
		return nil, err // d is not put back: gws has closed it
	}
	f := &Frame{wire: d.sink.last, op: op}
	d.sink.last = nil
	deflaters.Put(d)
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

// compressed returns f for a session that has negotiated compression: deflated, if
// its payload is of at least threshold bytes and that makes it shorter. It is done
// at the first call and kept for all receivers; any goroutine may call it.
func (f *Frame) compressed(threshold int) *Frame {
	if !f.isData() {
		return f
	}
	if short := f.deflated.Load(); short != nil {
		return short
	}
	payload := f.payload()
	if len(payload) < threshold {
		return f
	}
	f.deflating.Lock()
	defer f.deflating.Unlock()
	short := f.deflated.Load()
	if short == nil {
		var err error
		short, err = deflate(f.op, payload)
		if err != nil || len(short.wire) >= len(f.wire) {
			short = f
		}
		f.deflated.Store(short)
	}
	return short
}

// payload is what follows the header of a server's frame, which has no mask.
func (f *Frame) payload() []byte {
	switch f.wire[1] {
	case 126:
		return f.wire[2+2:]
	case 127:
		return f.wire[2+8:]
	}
	return f.wire[2:]
}
