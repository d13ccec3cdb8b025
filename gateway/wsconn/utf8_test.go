package wsconn

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// firstWrong is the index of the first byte of text that no UTF-8 has there, by trying;
// len(text) if there is none.
func firstWrong(text string) int {
	for n := range len(text) {
		if !beginsUTF8(text[:n+1]) {
			return n
		}
	}
	return len(text)
}

// beginsUTF8 tries whether some UTF-8 begins with text.
func beginsUTF8(text string) bool {
	valid := utf8.ValidString(text)
	for _, next := range []string{"\x80", "\x90", "\xa0"} {
		for _, rest := range []string{"", "\x80", "\x80\x80"} {
			valid = valid || utf8.ValidString(text+next+rest)
		}
	}
	return valid
}

// fragments is text as a message of frames that are cut at cuts, each with another
// masking key, with a ping before each but the first. It tells where each byte of text is.
func fragments(text string, cuts []byte) (input []byte, at []int) {
	first := byte(Text)
	for i := 0; ; i++ {
		n := len(text)
		if i < len(cuts) {
			n = min(n, int(cuts[i]))
		} else {
			first |= finBit
		}
		if i > 0 {
			input = append(input, masked(0x89, "\xff")...)
		}
		input = append(input, maskedBy(0x9E3779B9*uint32(i+1), first, text[:n])...)
		for k := range n {
			at = append(at, len(input)-n+k)
		}
		if first&finBit != 0 {
			return input, at
		}
		text, first = text[n:], 0
	}
}

// maskedBy is masked with a key.
func maskedBy(key uint32, first byte, payload string) []byte {
	frame := []byte(masked(first, payload))
	body := frame[len(frame)-len(payload):]
	k := binary.BigEndian.AppendUint32(nil, key)
	copy(frame[len(frame)-len(payload)-len(k):], k)
	for i := range body {
		body[i] ^= k[i%len(k)]
	}
	return frame
}

// FuzzUTF8: of any text, in any fragments and pieces, exactly what some UTF-8 begins
// with is admitted.
func FuzzUTF8(f *testing.F) {
	for _, text := range []string{
		"", "plain", "grüß dich", "\xff", "κόσμε\xed\xa0\x80edited", "\xf4\x90\x80\x80", "\xc0\xaf", "\xe4\xbd", "\xf0\x9f\x98",
		strings.Repeat("x", 254) + "€" + strings.Repeat("ü", 300) + "\xe2\x28",
	} {
		f.Add(text, []byte{}, []byte{})
		f.Add(text, []byte{1, 0, 2}, []byte{1})
		f.Add(text, []byte{4}, []byte{3, 5})
	}
	f.Fuzz(func(t *testing.T, text string, frames, cuts []byte) {
		if len(text) > limit || len(frames) > 100 {
			return
		}
		input, at := fragments(text, frames)
		g := guard{maxMessage: limit}
		got := admitIn(&g, input, func(at int) int {
			if len(cuts) == 0 {
				return len(input)
			}
			return int(cuts[at%len(cuts)])
		})
		want, end := len(input), stepMore
		if wrong := firstWrong(text); wrong < len(text) {
			want, end = at[wrong], stepRefused
		} else if !utf8.ValidString(text) {
			want, end = len(input)-1, stepRefused // it ends amid a rune
		}
		if got != want || g.end != end || end == stepRefused && g.violation != InvalidUTF8 || end == stepMore && g.unfinished() {
			t.Fatalf("%q: admitted %d of %d bytes, want %d; %+v", text, got, len(input), want, g)
		}
	})
}

// BenchmarkUTF8Check judges text as it comes, beside what gws would do once it is
// unmasked.
func BenchmarkUTF8Check(b *testing.B) {
	for _, text := range []string{strings.Repeat("a message", 14), strings.Repeat("a message", 1820), strings.Repeat("grüße ", 20)} {
		payload := []byte(text)
		b.Run(strconv.Itoa(len(payload)), func(b *testing.B) {
			for b.Loop() {
				var check utf8Check
				check.begin(true)
				check.take(payload, true)
			}
		})
		b.Run(strconv.Itoa(len(payload))+" unmasked", func(b *testing.B) {
			for b.Loop() {
				utf8.Valid(payload)
			}
		})
	}
}
