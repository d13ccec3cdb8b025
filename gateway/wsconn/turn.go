package wsconn

// A connection has as much of its transport's time as others: after so much it waits
// for their turns, whatever else it has sent.
const (
	// turnFrames is how many frames: of empty ones 10,000 fit in loopBuffer.
	turnFrames = 128
	// turnBytes is how many bytes of messages, inflated, but for the one that exceeds it.
	turnBytes = 64 << 10
	// minFrame is the shortest frame of a client, in bytes.
	minFrame = 6
)

// share is what is left of a turn. It may be less than nothing.
type share struct{ frames, bytes int32 }

var wholeTurn = share{turnFrames, turnBytes}

func (s *share) over() bool { return s.frames <= 0 || s.bytes <= 0 }

// cut says how many bytes of p are frames within s, which it takes them from, and how
// much is missing of the payload of a frame that p ends in. Of what may be inflated it is
// one message: its length is known only then. G, a copy, forgets what it met.
func (g guard) cut(p []byte, s *share) (n int, missing uint64) {
	if len(p) <= int(s.frames)*minFrame && g.window == 0 {
		return len(p), 0
	}
	for n < len(p) && s.frames > 0 {
		k, end := g.next(p[n:], nil)
		n += k
		switch {
		case g.end != stepMore:
			return len(p), 0 // what follows does not count
		case end == stepMore && g.seen == g.need: // in the payload
			return n, g.length
		case end == stepMore:
			return n, 0
		}
		s.frames--
		if end == stepMessage && g.window != 0 {
			break
		}
	}
	return n, 0
}
