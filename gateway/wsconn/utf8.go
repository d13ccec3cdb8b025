package wsconn

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// utf8Check judges the text of a message while it comes, masked and in any pieces
// (RFC 6455 section 8.1). It keeps the masking key and at most the beginning of one
// rune. The guard calls begin, mask for each frame, and take.
type utf8Check struct {
	key  uint32  // the lowest byte masks the next byte of the payload
	rest [3]byte // the beginning of a rune that goes on
	held uint8   // how many bytes of rest count; unchecked
}

// unchecked is utf8Check.held of a message that is not text, or compressed.
const unchecked = 0xFF

// begin is the begin of a message.
func (t *utf8Check) begin(text bool) {
	t.held = unchecked
	if text {
		t.held = 0
	}
}

// mask takes the next of the four bytes of a frame's masking key.
func (t *utf8Check) mask(b byte) { t.key = t.key>>8 | uint32(b)<<24 }

// amidRune reports whether the text may not end here.
func (t *utf8Check) amidRune() bool { return t.held != 0 && t.held != unchecked }

// take says how many bytes of p, the payload that came next, may pass: fewer than all
// if the next one makes the text invalid. Last: the message ends with p.
func (t *utf8Check) take(p []byte, last bool) (n int) {
	if t.held == unchecked {
		return len(p)
	}
	if t.held == 0 {
		n = t.ascii(p)
	}
	for n < len(p) {
		k, ok := t.takeSome(p[n:])
		if n += k; !ok {
			return n
		}
	}
	if last && t.amidRune() && n > 0 {
		n--
	}
	return n
}

// ascii takes what p begins with that is ASCII once unmasked, and says how many bytes.
func (t *utf8Check) ascii(p []byte) (n int) {
	const high = 0x8080808080808080
	twice := uint64(t.key)<<32 | uint64(t.key)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(p[i:]) ^ twice }
	for n+32 <= len(p) && (word(n)|word(n+8)|word(n+16)|word(n+24))&high == 0 {
		n += 32
	}
	for n+8 <= len(p) && word(n)&high == 0 {
		n += 8
	}
	for n < len(p) && t.unmasked(p[n], n) < utf8.RuneSelf {
		n++
	}
	t.rotate(n)
	return n
}

// takeSome is take of the first bytes of p, of which it says how many, and whether they
// and what was held may go on.
func (t *utf8Check) takeSome(p []byte) (n int, ok bool) {
	var buf [256]byte
	held := copy(buf[:], t.rest[:t.held])
	text := buf[:held+t.unmask(buf[held:], p)]
	whole := len(text) - unfinishedRune(text)
	if !utf8.Valid(text[:whole]) {
		return validPrefix(text) - held, false
	}
	t.held = uint8(copy(t.rest[:], text[whole:]))
	return len(text) - held, true
}

// unmask copies as much of src to dst as fits.
func (t *utf8Check) unmask(dst, src []byte) (n int) {
	k := min(len(dst), len(src))
	twice := uint64(t.key)<<32 | uint64(t.key)
	for ; n+8 <= k; n += 8 {
		binary.LittleEndian.PutUint64(dst[n:], binary.LittleEndian.Uint64(src[n:])^twice)
	}
	for ; n < k; n++ {
		dst[n] = t.unmasked(src[n], n)
	}
	t.rotate(n)
	return n
}

// unmasked is b, which comes i bytes after the one that key masks first.
func (t *utf8Check) unmasked(b byte, i int) byte { return b ^ byte(t.key>>(8*(i&3))) }

// rotate has key go on n bytes later.
func (t *utf8Check) rotate(n int) { t.key = bits.RotateLeft32(t.key, -8*(n&3)) }

// unfinishedRune is how many bytes at the end of text begin a rune that may go on.
func unfinishedRune(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if begin := text[len(text)-n:]; utf8.RuneStart(begin[0]) {
			if utf8.FullRune(begin) {
				return 0
			}
			return n
		}
	}
	return 0
}

// validPrefix is how many bytes of text, which is not UTF-8, some UTF-8 begins with.
func validPrefix(text []byte) (n int) {
	for {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	for begin := n; !utf8.FullRune(text[begin : n+1]); {
		n++
	}
	return n
}
