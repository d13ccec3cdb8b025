package wsconn

import (
	"slices"
	"unsafe"
)

// maxOverhead is how many bytes of headers a message may come in beyond as many as the
// longest one's own.
const maxOverhead = 4 << 10

// partial is input that makes no whole message yet: the frames of an unfinished
// message and, from frame on, the beginning of one that goes on.
type partial struct {
	bytes []byte // nil when there is none
	frame int
	text  utf8Check
	holder
}

// memory is what p takes, in bytes.
func (p *partial) memory() int { return int(unsafe.Sizeof(*p)) + cap(p.bytes) }

// mostHeld bounds an unfinished message with all its headers, against tiny fragments
// without end.
func (g *guard) mostHeld() int64 { return 2*int64(g.maxMessage) + maxOverhead }

// drop leaves what was counted to be settled.
func (p *partial) drop() { p.bytes, p.frame = nil, 0 }

// split finds in input what makes whole messages, appends it to dst as pieces
// for gws, in order, and keeps the rest. Fragments of an unfinished message are
// held back; a ping or pong between them goes ahead. So gws, having read all
// pieces, stands between messages. The pieces may point into input.
func (p *partial) split(g *guard, input []byte, dst [][]byte) [][]byte {
	for len(input) > 0 && g.end == stepMore {
		if p.bytes == nil {
			dst, input = p.splitFresh(g, input, dst)
		} else {
			dst, input = p.splitHeld(g, input, dst)
		}
	}
	if int64(len(p.bytes)) > g.mostHeld() {
		g.stop(TooBig)
	}
	if g.end != stepMore {
		p.drop() // a refused frame and what it might have belonged to
	}
	return dst
}

// splitFresh starts between messages and copies nothing of whole ones. It returns
// what is left of input when something had to be held back.
func (p *partial) splitFresh(g *guard, input []byte, dst [][]byte) (pieces [][]byte, rest []byte) {
	whole, frame, pos := 0, 0, 0 // input[:whole] goes to gws; the frame at hand begins at frame
	for pos < len(input) {
		n, s := g.next(input[pos:], &p.text)
		pos += n
		switch s {
		case stepMore:
			p.hold(input[whole:], frame-whole)
		case stepControl:
			if frame != whole { // amid a message
				dst = appendPiece(dst, input[:whole])
				p.hold(input[whole:frame], frame-whole)
				return append(dst, input[frame:pos]), input[pos:]
			}
			whole, frame = pos, pos
		case stepFragment:
			frame = pos
			if pos == len(input) {
				p.hold(input[whole:], frame-whole)
			}
		case stepMessage:
			whole, frame = pos, pos
		case stepClose:
			return appendPiece(dst, input[:pos]), nil
		case stepRefused:
			return appendPiece(dst, input[:whole]), nil
		}
	}
	return appendPiece(dst, input[:whole]), nil
}

// splitHeld goes on with what is held, by one frame or what there is of it.
func (p *partial) splitHeld(g *guard, input []byte, dst [][]byte) (pieces [][]byte, rest []byte) {
	n, s := g.next(input, &p.text)
	p.bytes = append(p.bytes, input[:n]...)
	switch s {
	case stepControl:
		dst = append(dst, slices.Clone(p.bytes[p.frame:]))
		p.bytes = p.bytes[:p.frame]
		if p.frame == 0 {
			p.bytes = nil
		}
	case stepFragment:
		p.frame = len(p.bytes)
	case stepMessage, stepClose:
		dst = append(dst, p.bytes)
		p.drop()
	}
	return dst, input[n:]
}

func (p *partial) hold(b []byte, frame int) {
	p.bytes, p.frame = slices.Clone(b), frame
}

func appendPiece(dst [][]byte, piece []byte) [][]byte {
	if len(piece) == 0 {
		return dst
	}
	return append(dst, piece)
}
