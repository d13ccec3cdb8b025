package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/lxzan/gws"
)

// masked is a client frame with a zero masking key, so that payloads stay readable.
func masked(first byte, payload string) string {
	head := []byte{first}
	switch n := len(payload); {
	case n < 126:
		head = append(head, maskBit|byte(n))
	case n < 1<<16:
		head = append(head, maskBit|126, byte(n>>8), byte(n))
	default:
		head = append(head, maskBit|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return string(head) + "\x00\x00\x00\x00" + payload
}

func long(n int) string { return string(bytes.Repeat([]byte{'x'}, n)) }

const limit = 70000 // of the guards under test

var guardCases = []struct {
	name     string
	input    string
	admitted int // -1: all of input
	end      step
	want     Violation
}{
	{"nothing", "", -1, stepMore, 0},
	{"text", masked(0x81, "hello"), -1, stepMore, 0},
	{"empty text", masked(0x81, ""), -1, stepMore, 0},
	{"125 bytes", masked(0x82, long(125)), -1, stepMore, 0},
	{"126 bytes", masked(0x82, long(126)), -1, stepMore, 0},
	{"65535 bytes", masked(0x82, long(65535)), -1, stepMore, 0},
	{"65536 bytes", masked(0x82, long(65536)), -1, stepMore, 0},
	{"the limit", masked(0x82, long(limit)), -1, stepMore, 0},
	{"fragments with a ping between", masked(0x01, "a") + masked(0x89, "p") + masked(0x00, "b") + masked(0x80, "c"), -1, stepMore, 0},
	{"fragments up to the limit", masked(0x01, long(40000)) + masked(0x89, long(125)) + masked(0x80, long(30000)), -1, stepMore, 0},
	{"two messages of the limit", masked(0x81, long(limit)) + masked(0x81, long(limit)), -1, stepMore, 0},
	{"longest control", masked(0x8A, long(125)), -1, stepMore, 0},
	{"close", masked(0x88, ""), -1, stepClose, 0},
	{"close and more", masked(0x88, "\x03\xe8") + masked(0x81, "late"), 8, stepClose, 0},

	{"RSV1", masked(0xC1, ""), 0, stepRefused, Protocol},
	{"RSV2", masked(0xA1, ""), 0, stepRefused, Protocol},
	{"RSV3", masked(0x91, ""), 0, stepRefused, Protocol},
	{"RSV1 on a ping after a text", masked(0x81, "a") + masked(0xC9, ""), 7, stepRefused, Protocol},
	{"reserved data opcode", masked(0x83, ""), 0, stepRefused, Protocol},
	{"reserved control opcode", masked(0x8B, ""), 0, stepRefused, Protocol},
	{"fragmented ping", masked(0x09, ""), 0, stepRefused, Protocol},
	{"fragmented close", masked(0x08, ""), 0, stepRefused, Protocol},
	{"ping of 126 bytes", masked(0x89, long(126)), 1, stepRefused, Protocol},
	{"unmasked", "\x81\x01a", 1, stepRefused, Protocol},
	{"unmasked and empty", "\x81\x00", 1, stepRefused, Protocol},
	{"125 bytes in 16 bits", "\x82\xFE\x00\x7D", 3, stepRefused, Protocol},
	{"1 byte in 64 bits", "\x82\xFF\x00\x00\x00\x00\x00\x00\x00\x01", 9, stepRefused, Protocol},
	{"65535 bytes in 64 bits", "\x82\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF", 9, stepRefused, Protocol},
	{"2^63 bytes", "\x82\xFF\x80\x00\x00\x00\x00\x00\x00\x00", 9, stepRefused, Protocol},
	{"2^64-1 bytes", "\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9, stepRefused, Protocol},
	{"2^63-1 bytes", "\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9, stepRefused, TooBig},
	{"one more than the limit", masked(0x82, long(limit+1)), 9, stepRefused, TooBig},
	{"fragments one over the limit", masked(0x02, long(limit)) + masked(0x80, "x"), limit + 14 + 1, stepRefused, TooBig},
	{"continuation of nothing", masked(0x80, "a"), 0, stepRefused, Protocol},
	{"continuation after the last fragment", masked(0x01, "a") + masked(0x80, "b") + masked(0x00, "c"), 14, stepRefused, Protocol},
	{"text", masked(0x81, "κόσμε"), -1, stepMore, 0},
	{"a rune over fragments", masked(0x01, "\xe2") + masked(0x89, "\xff") + masked(0x00, "") + masked(0x00, "\x82") + masked(0x80, "\xac"), -1, stepMore, 0},
	{"binary is not text", masked(0x02, "\xff") + masked(0x80, "\xff") + masked(0x82, "\xff"), -1, stepMore, 0},
	{"text that is not UTF-8", masked(0x81, "ab\xffcd"), 8, stepRefused, InvalidUTF8},
	{"text that ends amid a rune", masked(0x81, "ab\xe2\x82"), 9, stepRefused, InvalidUTF8},
	{"text that ends amid a rune, in an empty frame", masked(0x01, "\xe2\x82") + masked(0x80, ""), 13, stepRefused, InvalidUTF8},
	{"half a surrogate", masked(0x81, "\xed\xa0"), 7, stepRefused, InvalidUTF8},
	{"above U+10FFFF", masked(0x01, "\xf4") + masked(0x80, "\x90"), 13, stepRefused, InvalidUTF8},
	{"wrong text before RSV1", masked(0x01, "\xff") + masked(0xC0, ""), 6, stepRefused, InvalidUTF8},
	{"text inside a fragmented message", masked(0x01, "a") + masked(0x81, "b"), 7, stepRefused, Protocol},
}

func TestGuard(t *testing.T) {
	for _, c := range guardCases {
		t.Run(c.name, func(t *testing.T) {
			want := c.admitted
			if want < 0 {
				want = len(c.input)
			}
			for _, size := range []int{1, 2, 3, 7, 1024, max(len(c.input), 1)} {
				g := guard{maxMessage: limit}
				n := admitIn(&g, []byte(c.input), func(int) int { return size })
				if n != want || g.end != c.end || g.violation != c.want {
					t.Errorf("in pieces of %d: admitted %d of %d, end %d, violation %d; want %d, %d, %d",
						size, n, len(c.input), g.end, g.violation, want, c.end, c.want)
				}
			}
		})
	}
}

// admitIn gives p to g in pieces and returns how many bytes it admitted.
func admitIn(g *guard, p []byte, size func(at int) int) (admitted int) {
	var text utf8Check
	for at := 0; at < len(p); {
		piece := p[at:min(len(p), at+max(1, size(at)))]
		n := g.admit(piece, &text)
		admitted += n
		if n < len(piece) || g.end != stepMore {
			break
		}
		at += n
	}
	return admitted
}

func TestGuardSteps(t *testing.T) {
	input := masked(0x81, "whole") + masked(0x01, "be") + masked(0x89, "") + masked(0x80, "gun") + masked(0x8A, "x") + masked(0x88, "")
	want := []step{stepMessage, stepFragment, stepControl, stepMessage, stepControl, stepClose, stepClose}
	g, text := guard{maxMessage: limit}, utf8Check{}
	rest := []byte(input)
	for i, w := range want {
		n, s := g.next(rest, &text)
		if rest = rest[n:]; s != w {
			t.Fatalf("step %d is %d, want %d", i, s, w)
		}
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes left", len(rest))
	}
}

// FuzzGuard: the verdict does not depend on how the input is split, and gws
// neither panics at what passes nor objects to a frame's form or size, or to a text.
func FuzzGuard(f *testing.F) {
	for i, c := range guardCases {
		if len(c.input) < 1000 {
			f.Add([]byte(c.input), uint64(i)*0x9E3779B97F4A7C15, uint16(8))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, splits uint64, maxMessage uint16) {
		whole := guard{maxMessage: int32(maxMessage)}
		n := whole.admit(input, new(utf8Check))
		split := guard{maxMessage: int32(maxMessage)}
		m := admitIn(&split, input, func(at int) int { return int(splits>>(at%61)) & 7 })
		if n != m || whole != split {
			t.Fatalf("whole: %d bytes, %+v; in pieces: %d bytes, %+v", n, whole, m, split)
		}
		switch code, closed := gwsVerdict(t, input[:n], int(maxMessage)); {
		case code == 1009, (code == 1002 || code == 1007) && !closed:
			t.Fatalf("gws refuses with %d what the guard admitted: %x", code, input[:n])
		}
	})
}

// gwsVerdict is the close code with which gws answers input, and whether a
// close frame was the cause.
func gwsVerdict(t *testing.T, input []byte, maxMessage int) (code int, closed bool) {
	events := new(closeEvents)
	up := gws.NewUpgrader(events, &gws.ServerOption{ReadMaxPayloadSize: max(maxMessage, maxControl), CheckUtf8Enabled: true, NewSession: noSession})
	out := new(sink)
	socket, err := up.UpgradeFromConn(out, bufio.NewReader(bytes.NewReader(input)), testRequest())
	if err != nil {
		t.Fatal(err)
	}
	socket.ReadLoop()
	if len(out.last) >= 4 {
		code = int(out.last[2])<<8 | int(out.last[3])
	}
	return code, events.closed
}

// sink is a net.Conn that keeps the last thing written; gws writes a frame at once.
type sink struct {
	inert
	last []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.last = append([]byte(nil), p...)
	return len(p), nil
}

func (s *sink) Read([]byte) (int, error) { return 0, net.ErrClosed }
func (s *sink) LocalAddr() net.Addr      { return nil }
func (s *sink) RemoteAddr() net.Addr     { return nil }

type closeEvents struct {
	gws.BuiltinEventHandler
	closed bool
}

func (e *closeEvents) OnPing(*gws.Conn, []byte) {}

func (e *closeEvents) OnClose(_ *gws.Conn, err error) {
	var peerClose *gws.CloseError
	e.closed = errors.As(err, &peerClose)
}

func testRequest() *http.Request {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
}
