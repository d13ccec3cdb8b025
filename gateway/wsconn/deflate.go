package wsconn

import (
	"bytes"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"
)

// permessage-deflate (RFC 7692) without context takeover in either direction: no
// message depends on another, so no session has a window of its own, one gws.Conn
// inflates for many, and a frame is deflated once for all its receivers, or where
// some have a window that is shorter than it, once more for each size of those.

const (
	deflateExtension = "permessage-deflate"
	// deflateAnswer is what we make of an offer that we take: gws answers with the
	// same words.
	deflateAnswer = deflateExtension + "; server_no_context_takeover; client_no_context_takeover"
	// deflateLevel is the fastest: of a message of 1 KiB the best level saves a few
	// bytes more, for several times the processor time and memory.
	deflateLevel = 1
	rsv1         = 0x40
	// minWindow and maxWindow are the sizes of a window that can be negotiated: a size is
	// the binary logarithm of as many bytes (RFC 7692 section 7.1.2).
	minWindow, maxWindow = 8, 15
)

// negotiated decides about the offers of r (RFC 7692 section 5), in words that gws
// takes as they are, prepares g for the session, and returns what the 101 has to
// say of it: nothing, or an answer of which gws gives only the first words.
func (g *guard) negotiated(cfg *Config, r *http.Request) (answer string) {
	const key = "Sec-Websocket-Extensions"
	var window uint8
	if cfg.Compression {
		answer, window = accept(r.Header[key])
	}
	if answer == "" {
		delete(r.Header, key)
		return ""
	}
	r.Header[key] = []string{deflateAnswer}
	g.window, g.maxMessage = window, int32(cfg.maxIncoming())
	return answer
}

// accept answers the first of the offers in the headers that can be taken, or
// returns "", and says what window the client has for what we deflate. What does not
// follow the grammar (RFC 6455 section 9.1) offers nothing.
func accept(headers []string) (answer string, window uint8) {
	for _, header := range headers {
		for _, offer := range splitQuoted(header, ',') {
			if answer, window = acceptOffer(splitQuoted(offer, ';')); answer != "" {
				return answer, window
			}
		}
	}
	return "", 0
}

// acceptOffer judges one offer, its name and parameters (RFC 7692 section 7.1):
// each known, once, and with a value that it may have.
func acceptOffer(parts []string) (answer string, window uint8) {
	if strings.TrimSpace(parts[0]) != deflateExtension {
		return "", 0
	}
	answer, window = deflateAnswer, maxWindow
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, hasValue := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		value, valid := unquote(strings.TrimSpace(value))
		if seen[name] || !valid {
			return "", 0
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			valid = !hasValue
		case "server_max_window_bits":
			// To take the offer is to repeat it (section 7.1.2.1).
			window, valid = parseWindow(value)
			answer = deflateAnswer + "; server_max_window_bits=" + value
		case "client_max_window_bits":
			// Whatever the client would restrict itself to, we can inflate it; an
			// answer without this parameter restricts it to nothing.
			if hasValue {
				_, valid = parseWindow(value)
			}
		default:
			valid = false
		}
		if !valid {
			return "", 0
		}
	}
	return answer, window
}

// parseWindow reads a number from 8 to 15, without leading zeros.
func parseWindow(s string) (window uint8, valid bool) {
	n, err := strconv.Atoi(s)
	return uint8(n), err == nil && n >= minWindow && n <= maxWindow && strconv.Itoa(n) == s
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

// deflater compresses for windows of one size. Used by one goroutine at a time.
type deflater struct {
	writer *flate.Writer
	out    bytes.Buffer
}

var deflaters [maxWindow + 1]sync.Pool // of *deflater, by size of the window

func takeDeflater(window uint8) *deflater {
	d, _ := deflaters[window].Get().(*deflater)
	if d == nil {
		d = new(deflater)
		// The errors are those of a level or a size that does not exist.
		if window == maxWindow {
			d.writer, _ = flate.NewWriter(nil, deflateLevel)
		} else {
			d.writer, _ = flate.NewWriterWindow(nil, 1<<window)
		}
	}
	return d
}

// deflate returns f for windows of that size, without a wire if that is not shorter.
func (f *Frame) deflate(payload []byte, window uint8) *Frame {
	d := takeDeflater(window)
	defer deflaters[window].Put(d)
	d.out.Reset()
	d.writer.Reset(&d.out)
	_, _ = d.writer.Write(payload) // all errors are those of d.out, which has none
	_ = d.writer.Flush()
	short := bytes.TrimSuffix(d.out.Bytes(), []byte("\x00\x00\xff\xff")) // RFC 7692 section 7.2.1
	form := &Frame{op: f.op, window: window}
	if len(short) < len(payload) {
		form.build(finBit|rsv1|byte(f.op), short)
	}
	return form
}

// compressed returns f for a session whose client inflates with a window of that size:
// deflated, if its payload is of at least threshold bytes and that makes it shorter. It is
// done at the first call and kept for all receivers; any goroutine may call it.
func (f *Frame) compressed(threshold int, window uint8) *Frame {
	if !f.isData() {
		return f
	}
	payload := f.payload()
	if len(payload) < threshold {
		return f
	}
	if len(payload) <= 1<<window {
		window = maxWindow // no distance in it is longer than it is
	}
	form := f.form(window)
	if form == nil {
		form = f.newForm(payload, window)
	}
	if form.wire == nil {
		return f
	}
	return form
}

// form is f as it was deflated for a window of that size, nil if it was not.
func (f *Frame) form(window uint8) *Frame {
	for form := f.forms.Load(); form != nil; form = form.next {
		if form.window == window {
			return form.Frame
		}
	}
	return nil
}

// Done says that f is sent to nobody any more: it need not keep its deflated forms for
// other receivers.
func (f *Frame) Done() { f.forms.Store(nil) }

func (f *Frame) newForm(payload []byte, window uint8) *Frame {
	f.deflating.Lock()
	defer f.deflating.Unlock()
	deflated := f.form(window)
	if deflated == nil {
		deflated = f.deflate(payload, window)
		f.forms.Store(&form{deflated, f.forms.Load()})
	}
	return deflated
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
