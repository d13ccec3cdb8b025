package wsconn

import (
	"encoding/binary"
	"fmt"
)

// InflateWithin undoes deflate (RFC 1951, RFC 7692 section 7.2.2) as a client with a
// window of that size does: it refuses what lies further back, which compress/flate and
// klauspost's do not.
func InflateWithin(payload string, window int) (text string, err error) {
	in := &inflater{in: []byte(payload + "\x00\x00\xff\xff"), window: 1 << window}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("at bit %d, byte %d of the text: %v", in.bit, len(in.out), v)
		}
	}()
	for last := false; !last && in.bit < 8*len(in.in); {
		last = in.bits(1) == 1
		in.block(in.bits(2))
	}
	return string(in.out), nil
}

type inflater struct {
	in, out []byte
	bit     int // of in, next
	window  int // bytes
}

func (in *inflater) bits(n int) (v int) {
	for i := range n {
		v |= int(in.in[in.bit>>3]>>(in.bit&7)&1) << i
		in.bit++
	}
	return v
}

func (in *inflater) block(kind int) {
	switch kind {
	case 0:
		in.bit = (in.bit + 7) &^ 7
		p := in.in[in.bit/8:]
		n := int(binary.LittleEndian.Uint16(p))
		if ^uint16(n) != binary.LittleEndian.Uint16(p[2:]) {
			panic("the length of a stored block is damaged")
		}
		in.out = append(in.out, p[4:4+n]...)
		in.bit += 8 * (4 + n)
	case 1:
		lengths := make([]int, 288)
		for i := range lengths {
			lengths[i] = []int{8, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 7, 8}[i/16]
		}
		for i := 256; i < 280; i++ {
			lengths[i] = 7
		}
		distances := make([]int, 30)
		for i := range distances {
			distances[i] = 5
		}
		in.symbols(newCode(lengths), newCode(distances))
	case 2:
		in.symbols(in.codes())
	default:
		panic("a block of no kind")
	}
}

// code is a Huffman code: by length, how many words there are, and their symbols in order.
type code struct {
	count   [16]int
	symbols []int
}

func newCode(lengths []int) (c code) {
	for n := 1; n < len(c.count); n++ {
		for symbol, length := range lengths {
			if length == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

func (in *inflater) next(c code) int {
	word, first, index := 0, 0, 0
	for _, count := range c.count[1:] {
		word |= in.bits(1)
		if word-first < count {
			return c.symbols[index+word-first]
		}
		index += count
		first = (first + count) << 1
		word <<= 1
	}
	panic("no word of the code")
}

// codes reads those of a block that brings its own.
func (in *inflater) codes() (literals, distances code) {
	nLiterals, nDistances, n := in.bits(5)+257, in.bits(5)+1, in.bits(4)+4
	lengths := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:n] {
		lengths[i] = in.bits(3)
	}
	c := newCode(lengths)
	var all []int
	for len(all) < nLiterals+nDistances {
		length, times := 0, 1
		switch symbol := in.next(c); symbol {
		case 16:
			length, times = all[len(all)-1], 3+in.bits(2)
		case 17:
			times = 3 + in.bits(3)
		case 18:
			times = 11 + in.bits(7)
		default:
			length = symbol
		}
		for range times {
			all = append(all, length)
		}
	}
	return newCode(all[:nLiterals]), newCode(all[nLiterals:])
}

// symbols reads a block up to its end.
func (in *inflater) symbols(literals, distances code) {
	for {
		switch symbol := in.next(literals); {
		case symbol < 256:
			in.out = append(in.out, byte(symbol))
		case symbol == 256:
			return
		default:
			n := in.length(symbol - 257)
			back := in.distance(in.next(distances))
			if back > len(in.out) || back > in.window {
				panic(fmt.Sprintf("%d bytes back, of a window of %d and a text of %d so far", back, in.window, len(in.out)))
			}
			for range n {
				in.out = append(in.out, in.out[len(in.out)-back])
			}
		}
	}
}

// length and distance are the tables of RFC 1951 section 3.2.5.
func (in *inflater) length(symbol int) int {
	if symbol < 8 {
		return symbol + 3
	}
	if symbol == 28 {
		return 258
	}
	extra := symbol/4 - 1
	return 3 + (4+symbol%4)<<extra + in.bits(extra)
}

func (in *inflater) distance(symbol int) int {
	if symbol < 4 {
		return symbol + 1
	}
	extra := symbol/2 - 1
	return 1 + (2+symbol%2)<<extra + in.bits(extra)
}
