package wsconn_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// offers are those of Autobahn's test suite, sections 12 and 13, with the window that the
// client has then, and what the answer adds to both no_context_takeover.
var offers = []struct {
	offer  string
	window int
	answer string
}{
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits", 15, ""},
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover", 15, ""},
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_max_window_bits=9", 9, "; server_max_window_bits=9"},
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_max_window_bits=15", 15, "; server_max_window_bits=15"},
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9", 9, "; server_max_window_bits=9"},
	{"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover; server_max_window_bits=15", 15, "; server_max_window_bits=15"},
	{"permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate", 9, "; server_max_window_bits=9"},
	{"permessage-deflate; server_max_window_bits=8", 8, "; server_max_window_bits=8"}, // and one that RFC 7692 has
}

// prose is n bytes whose repetitions are at all distances.
func prose(n int) string {
	words := strings.Fields("to be or not that is the question whether it nobler in mind suffer slings and arrows of outrageous fortune")
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s %s %d ", words[i*i*7%len(words)], words[i*13%len(words)], i*i%977)
	}
	return b.String()[:n]
}

// contractCompressionParameters: what is offered is what the client gets, whatever the
// length of messages and of their frames.
func contractCompressionParameters(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(compressing()), l, echoing)
	for _, o := range offers {
		c, _ := srv.connectWith(offering(o.offer))
		if want := []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover" + o.answer}; !slices.Equal(c.extensions, want) {
			t.Errorf("%s: answered %q", o.offer, c.extensions)
			continue
		}
		for _, n := range []int{16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536} {
			text := prose(n)
			for _, frame := range []int{n, max(16, n/8)} {
				go func() { _, _ = c.Write(compressedFrames(text, frame)) }()
				if n < compressing().CompressionThreshold {
					c.expect(fin|opText, text)
				} else {
					c.expectWithin(o.window, fin|opText, text)
				}
			}
		}
	}
}

// compressedFrames is text as a compressed message in frames of up to that many bytes.
func compressedFrames(text string, size int) (frames []byte) {
	first := byte(rsv1 | opText)
	for rest := deflate(text); rest != ""; first = opContinuation {
		n := min(size, len(rest))
		if n == len(rest) {
			first |= fin
		}
		frames, rest = append(frames, clientFrame(first, rest[:n])...), rest[n:]
	}
	return frames
}

// contractCompressionForWindows: of one frame for all, each gets what its client's window
// can hold.
func contractCompressionForWindows(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	tr := newTransport(compressing())
	srv := newServer(t, tr, l, nil)
	var clients []*client
	var conns []wsconn.Conn
	var windows []int
	for i := range 3 * 8 {
		window := 8 + i*5%8
		c, s := srv.connectWith(offering(fmt.Sprintf("permessage-deflate; server_max_window_bits=%d", window)))
		clients, conns, windows = append(clients, c), append(conns, s.conn), append(windows, window)
	}
	for _, n := range []int{200, 300, 3000, 60_000} {
		text := prose(n)
		errs := make([]error, len(conns))
		go tr.SendAll(textFrame(t, text), conns, errs)
		for i, c := range clients {
			c.expectWithin(windows[i], fin|opText, text)
		}
		f := textFrame(t, text)
		go func() {
			for _, c := range conns {
				_ = c.Send(f)
			}
		}()
		for i, c := range clients {
			c.expectWithin(windows[i], fin|opText, text)
		}
	}
}
