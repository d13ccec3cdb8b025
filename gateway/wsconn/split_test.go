package wsconn

import (
	"bytes"
	"testing"
)

// pieces feeds input in the given cuts, and returns all that gws would be given.
func pieces(input []byte, cuts []byte) (out []byte, p *partial, g guard) {
	p = new(partial)
	g = guard{maxMessage: 1 << 10, window: maxWindow}
	for len(input) > 0 {
		n := len(input)
		if len(cuts) > 0 {
			n, cuts = min(n, int(cuts[0])+1), cuts[1:]
		}
		for _, piece := range p.split(&g, input[:n:n], nil) {
			out = append(out, piece...)
		}
		input = input[n:]
	}
	return out, p, g
}

func maskedFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func TestSplitHoldsFragmentsBack(t *testing.T) {
	start, ping, rest, whole := maskedFrame(0x01, "be"), maskedFrame(0x89, "p"), maskedFrame(0x80, "gun"), maskedFrame(0x82, "x")
	all := bytes.Join([][]byte{whole, start, ping, rest, whole, start, ping}, nil)
	want := bytes.Join([][]byte{whole, ping, start, rest, whole, ping}, nil)
	for n := range len(all) {
		got, p, _ := pieces(all, bytes.Repeat([]byte{byte(n)}, len(all)))
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: % x; want % x", n+1, got, want)
		}
		if !bytes.Equal(p.bytes, start) || p.frame != len(start) {
			t.Errorf("in pieces of %d: holds % x", n+1, p.bytes)
		}
	}
}

// FuzzSplit: however input is cut, gws is given the same bytes: all frames that
// the guard lets pass, in an order that differs only in controls going ahead.
func FuzzSplit(f *testing.F) {
	f.Add(bytes.Join([][]byte{maskedFrame(0x01, "be"), maskedFrame(0x89, "p"), maskedFrame(0x80, "gun"), maskedFrame(0x88, "\x03\xe8")}, nil), []byte{2, 0, 5})
	f.Add(bytes.Join([][]byte{maskedFrame(0x01, "\xe2\x82"), maskedFrame(0x89, "p"), maskedFrame(0x80, "\xac\xff")}, nil), []byte{2, 6, 0, 9})
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, []byte{3})
	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		whole, p, g := pieces(input, nil)
		cut, q, h := pieces(input, cuts)
		if !bytes.Equal(whole, cut) {
			t.Fatalf("whole: % x\ncut:   % x", whole, cut)
		}
		if !bytes.Equal(p.bytes, q.bytes) || g != h || g.end == stepMore && p.text.held != q.text.held {
			t.Fatalf("whole holds % x, %+v; cut % x, %+v", p.bytes, g, q.bytes, h)
		}
		if n := len(whole) + len(p.bytes); n > len(input) || g.end == stepMore && n != len(input) {
			t.Fatalf("%d bytes in, %d passed on, %d held", len(input), len(whole), len(p.bytes))
		}
	})
}
