package client

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// frames is what the parser makes of input, given in pieces of the sizes that cut
// returns.
func frames(input []byte, cut func() int) (events []string, held *inbox) {
	for len(input) > 0 {
		n := min(cut(), len(input))
		// The piece's buffer is reused, as a loop's is: what is held must be a copy.
		piece := append([]byte(nil), input[:n]...)
		input = input[n:]
		for b := piece; len(b) > 0; {
			op, payload, rest, ok, err := next(&held, b, 1000)
			if err != nil {
				return append(events, err.Error()), nil
			}
			if ok {
				events = append(events, fmt.Sprintf("%x %x", op, payload))
			}
			b = rest
		}
		clear(piece)
	}
	return events, held
}

// FuzzFrames: any bytes in any splits give the same events as in one piece, and no
// more is held than was given.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"\x81\x05Hello", "\x01\x03Hel\x80\x02lo", "\x82\x00\x82\x7e\x00\x7e" + string(make([]byte, 126)),
		"\x01\x01a\x89\x01p\x80\x01b\x88\x02\x03\xe8", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "\xc1\x00", "\x00\x00", "\x01\x00\x00\x00\x80\x00",
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		whole, held := frames(input, func() int { return len(input) })
		if held != nil && (held.empty() || len(held.frame)+len(held.message) > len(input)) {
			t.Errorf("%+v is held of %d bytes", held, len(input))
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for name, cut := range map[string]func() int{
			"single bytes": func() int { return 1 }, "random pieces": func() int { return 1 + random.IntN(20) },
		} {
			if got, _ := frames(input, cut); fmt.Sprint(got) != fmt.Sprint(whole) {
				t.Errorf("in %s: %q; whole: %q", name, got, whole)
			}
		}
	})
}

// FuzzMask: masking is its own inverse, and a frame reads back on the server's side.
func FuzzMask(f *testing.F) {
	f.Add([]byte("0123456789abc"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		payload = payload[:min(len(payload), 65535)]
		frame := appendFrame(nil, Binary, [4]byte{1, 2, 3, 4}, payload)
		op, got, err := clientFrame(bytes.NewReader(frame))
		if err != nil || op != Binary || !bytes.Equal(got, payload) {
			t.Errorf("%d %x %v; want %x", op, got, err, payload)
		}
	})
}
