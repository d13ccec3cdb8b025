package wsconn

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCut: what is split by turns is split as it is at once.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		input := randomFrames(rng)
		window := uint8(maxWindow * rng.IntN(2))
		whole := guard{maxMessage: 1 << 16, window: window}
		var p partial
		want := slices.Concat(p.split(&whole, input, nil)...)

		g := guard{maxMessage: 1 << 16, window: window}
		var turns partial
		var got []byte
		for len(input) > 0 && g.end == stepMore {
			left := share{frames: 1 + rng.Int32N(4)}
			n, _ := g.cut(input, &left)
			if n == 0 {
				t.Fatal("a turn gives nothing")
			}
			got = append(got, slices.Concat(turns.split(&g, input[:n], nil)...)...)
			input = input[n:]
		}
		if !bytes.Equal(got, want) || g != whole || !bytes.Equal(turns.bytes, p.bytes) || turns.frame != p.frame {
			t.Fatalf("by turns %x and %+v, %x; at once %x and %+v, %x", got, g, turns.bytes, want, whole, p.bytes)
		}
	}
}

// randomFrames are frames of all kinds, rarely one that is refused, and a part of another.
func randomFrames(rng *rand.Rand) (p []byte) {
	firsts := []byte{0x81, 0x82, 0xC2, 0x01, 0x00, 0x80, 0x89, 0x8A}
	for range rng.IntN(40) {
		n := rng.IntN(20)
		p = append(p, firsts[rng.IntN(len(firsts))], 0x80|byte(n), 0, 0, 0, 0)
		p = append(p, make([]byte, n)...)
	}
	return p[:rng.IntN(len(p)+1)]
}

// TestCutTellsWhatIsMissing of a long frame, so that it is read as one.
func TestCutTellsWhatIsMissing(t *testing.T) {
	frame := append([]byte{0x82, 0x80 | 126, 0xF0, 0x00, 0, 0, 0, 0}, make([]byte, 0xF000)...)
	g := guard{maxMessage: 1 << 16}
	for _, test := range []struct {
		have    int
		missing uint64
	}{{5, 0}, {8, 0xF000}, {2000, 0xF000 - 1992}, {len(frame), 0}} {
		left := share{frames: 1}
		if n, missing := g.cut(frame[:test.have], &left); n != test.have || missing != test.missing && test.have > minFrame {
			t.Errorf("of %d bytes %d are of the turn and %d missing, want %d", test.have, n, missing, test.missing)
		}
	}
}
