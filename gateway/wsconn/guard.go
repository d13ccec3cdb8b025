package wsconn

// guard reads the headers of client frames (RFC 6455 section 5.2) before gws
// does, and stops at the first byte that makes a frame one to refuse. So gws,
// which panics at a length of 2^63 and takes lengths that are encoded too long,
// never has the whole header of such a frame.
//
// It is pure: it keeps no bytes, only where in a frame the input stands, and so
// gives the same answer however the input is split. It also says where frames
// and messages end, for a transport that hands gws whole messages only.
//
// Text that is not UTF-8 it refuses at the first wrong byte. What that takes between
// two pieces of a message, a utf8Check, the caller keeps, as long as one is unfinished.
// A compressed text is judged when it is inflated, a close frame by gws and verdict.
type guard struct {
	length     uint64 // of the payload; in the payload, what is still to come
	message    int32  // payload bytes announced so far for the unfinished message
	maxMessage int32  // bytes, fragments added up, as they come; see maxIncoming

	first      byte // first byte of the frame: FIN, RSV and opcode
	seen       uint8
	need       uint8 // header length; 0 until the second byte told it
	fragmented bool  // a message has begun and its last frame has not
	window     uint8 // for what the peer inflates; 0: compression is not negotiated; static

	told told // what Handler.Unfinished was told last

	end       step // stepClose or stepRefused once nothing more may pass
	violation Violation
}

// told is what a Handler knows of an unfinished message.
type told uint8

const (
	toldNone    told = iota // that there is none
	toldOne                 // that there is one
	toldAnother             // that there is one, which has ended since
)

// news says what Handler.Unfinished is to be told, if anything.
func (g *guard) news() (unfinished, tell bool) {
	if unfinished = g.unfinished(); !unfinished {
		tell, g.told = g.told != toldNone, toldNone
	} else {
		tell, g.told = g.told != toldOne, toldOne
	}
	return unfinished, tell
}

// step is what guard.next met at the end of the bytes it took.
type step uint8

const (
	stepMore     step = iota // all was taken, a frame goes on (or none has begun)
	stepControl              // a ping or pong ends here, perhaps amid a message
	stepFragment             // a data frame ends here, its message does not
	stepMessage              // a data message ends here
	stepClose                // a close frame ends here; what follows does not count
	stepRefused              // the next byte makes a frame one to refuse; see violation
)

const (
	finBit  = 0x80
	rsvBits = 0x70
	opBits  = 0x0F
	maskBit = 0x80
)

// next takes bytes of p up to the end of a frame and says how many and what
// ends there. After stepClose and stepRefused it takes nothing more. Without text, which
// may be nil, no UTF-8 is judged.
func (g *guard) next(p []byte, text *utf8Check) (n int, s step) {
	if g.end != stepMore {
		return 0, g.end
	}
	for g.need == 0 || g.seen < g.need {
		if n == len(p) {
			return n, stepMore
		}
		if !g.header(p[n], text) {
			g.end = stepRefused
			return n, stepRefused
		}
		n++
	}
	k := int(min(uint64(len(p)-n), g.length))
	if valid := g.takeText(p[n:n+k], text); valid < k {
		g.length -= uint64(valid)
		g.stop(InvalidUTF8)
		return n + valid, stepRefused
	}
	n += k
	g.length -= uint64(k)
	if g.length > 0 {
		return n, stepMore
	}
	return n, g.frameEnd()
}

// takeText says how many bytes of the payload at hand may pass.
func (g *guard) takeText(payload []byte, text *utf8Check) int {
	if text == nil || g.isControl() {
		return len(payload)
	}
	return text.take(payload, g.first&finBit != 0 && uint64(len(payload)) == g.length)
}

// admit says how many bytes of p may be handed on; fewer than all of them only
// if the guard has come to its end.
func (g *guard) admit(p []byte, text *utf8Check) (n int) {
	for n < len(p) && g.end == stepMore {
		k, _ := g.next(p[n:], text)
		n += k
	}
	return n
}

// header takes one byte of a header and reports whether the frame is still acceptable.
func (g *guard) header(b byte, text *utf8Check) bool {
	g.seen++
	switch {
	case g.seen == 1:
		g.first = b
		if op := b & opBits; text != nil && (op == byte(Text) || op == byte(Binary)) {
			text.begin(op == byte(Text) && b&rsv1 == 0)
		}
		return g.checkFirst()
	case g.seen == 2:
		if !g.checkSecond(b) {
			return false
		}
	case g.seen <= g.need-4:
		g.length = g.length<<8 | uint64(b)
	default:
		if text != nil {
			text.mask(b)
		}
		return g.seen != g.need || g.checkEmpty(text)
	}
	return g.seen != g.need-4 || g.checkLength()
}

// checkFirst judges FIN, RSV and opcode.
func (g *guard) checkFirst() bool {
	rsv := g.first & rsvBits
	if g.window != 0 && (g.first&opBits == byte(Text) || g.first&opBits == byte(Binary)) {
		rsv &^= rsv1 // "compressed", on the first frame of a message only (RFC 7692 section 6)
	}
	if rsv != 0 {
		return g.refuse(Protocol)
	}
	ok := false
	switch g.first & opBits {
	case 0:
		ok = g.fragmented
	case byte(Text), byte(Binary):
		ok = !g.fragmented
	case byte(opClose), byte(Ping), byte(Pong):
		ok = g.first&finBit != 0
	}
	return ok || g.refuse(Protocol)
}

// checkSecond judges the mask bit and the short length, and tells the header's length.
func (g *guard) checkSecond(b byte) bool {
	short := b &^ maskBit
	if b&maskBit == 0 || g.isControl() && short > maxControl {
		return g.refuse(Protocol)
	}
	switch short {
	case 126:
		g.need, g.length = 2+2+4, 0
	case 127:
		g.need, g.length = 2+8+4, 0
	default:
		g.need, g.length = 2+4, uint64(short)
	}
	return true
}

// checkLength judges the whole length, before the masking key.
func (g *guard) checkLength() bool {
	switch {
	case g.need == 2+2+4 && g.length < 126, // RFC 6455: the minimal number of bytes
		g.need == 2+8+4 && (g.length < 1<<16 || g.length >= 1<<63):
		return g.refuse(Protocol)
	case g.isControl():
		return true
	case g.length > uint64(g.maxMessage-g.message):
		return g.refuse(TooBig)
	}
	g.message += int32(g.length)
	return true
}

// checkEmpty judges a frame without a payload, with its last byte: if it ends a text amid
// a rune.
func (g *guard) checkEmpty(text *utf8Check) bool {
	if text != nil && g.length == 0 && g.first&finBit != 0 && !g.isControl() && text.amidRune() {
		return g.refuse(InvalidUTF8)
	}
	return true
}

// stop refuses what would come next.
func (g *guard) stop(v Violation) { g.end, g.violation = stepRefused, v }

func (g *guard) refuse(v Violation) bool {
	g.violation = v
	return false
}

// unfinished reports whether the input stands amid a frame or a message.
func (g *guard) unfinished() bool { return g.seen != 0 || g.fragmented }

func (g *guard) isControl() bool { return g.first&0x08 != 0 }

func (g *guard) frameEnd() step {
	g.seen, g.need = 0, 0
	switch {
	case g.first&opBits == byte(opClose):
		g.end = stepClose
		return stepClose
	case g.isControl():
		if !g.fragmented {
			g.outdate()
		}
		return stepControl
	case g.first&finBit == 0:
		g.fragmented = true
		return stepFragment
	}
	g.fragmented, g.message = false, 0
	g.outdate()
	return stepMessage
}

// outdate is the end of what the Handler may know as unfinished.
func (g *guard) outdate() {
	if g.told == toldOne {
		g.told = toldAnother
	}
}
