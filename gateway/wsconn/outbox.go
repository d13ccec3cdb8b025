package wsconn

// outbox holds the frames that the socket has not taken yet, in order. It is
// not safe for concurrent use and does no I/O: a transport locks it, asks for
// bytes with claim and says with wrote how many of them went.
//
// It holds no memory when it is empty.
type outbox struct {
	frames  []*Frame // nil when idle
	offset  int      // bytes of frames[0] that are written
	bytes   int      // bytes queued and not written
	claimed int      // bytes from offset on that a write in progress has
	dropped int      // data frames that drop took out
}

func (o *outbox) empty() bool { return len(o.frames) == 0 }

// admits reports whether f may be queued within the bounds of cfg. An empty
// outbox takes a frame of any size, or a bound below one frame would block for good.
func (o *outbox) admits(f *Frame, cfg *Config) bool {
	return o.empty() ||
		len(o.frames) < cfg.OutboxMessages && o.bytes+len(f.wire) <= cfg.OutboxBytes
}

// push queues f, of which the first written bytes are out already; only the
// first frame of an empty outbox may be partly written.
func (o *outbox) push(f *Frame, written int) {
	if o.empty() {
		o.offset = written
	}
	o.frames = append(o.frames, f)
	o.bytes += len(f.wire) - written
}

// claim returns the bytes to write next, nil when there are none. Frames that
// fit together are gathered in buf; a frame alone is not copied. It gives at
// most cap(buf) bytes. What it gave counts as begun until wrote.
func (o *outbox) claim(buf []byte) []byte {
	if o.empty() {
		return nil
	}
	chunk := o.frames[0].wire[o.offset:]
	switch {
	case len(chunk) >= cap(buf):
		chunk = chunk[:cap(buf)]
	case len(o.frames) > 1:
		chunk = append(buf[:0], chunk...)
		for _, f := range o.frames[1:] {
			if len(chunk) == cap(buf) {
				break
			}
			chunk = append(chunk, f.wire[:min(len(f.wire), cap(buf)-len(chunk))]...)
		}
	}
	o.claimed = len(chunk)
	return chunk
}

// wrote takes the first n of the claimed bytes out.
func (o *outbox) wrote(n int) {
	o.claimed = 0
	o.bytes -= n
	n += o.offset
	for len(o.frames) > 0 && n >= len(o.frames[0].wire) {
		n -= len(o.frames[0].wire)
		o.frames[0] = nil
		o.frames = o.frames[1:]
	}
	o.offset = n
	if len(o.frames) == 0 {
		o.frames = nil
	}
}

// drop takes out the frames of which no byte is written or claimed.
func (o *outbox) drop() {
	keep, begun := 0, o.offset+o.claimed
	for begun > 0 && keep < len(o.frames) {
		begun -= len(o.frames[keep].wire)
		keep++
	}
	for i := keep; i < len(o.frames); i++ {
		f := o.frames[i]
		o.bytes -= len(f.wire)
		if f.isData() {
			o.dropped++
		}
		o.frames[i] = nil
	}
	o.frames = o.frames[:keep]
	if keep == 0 {
		o.frames = nil
	}
}

// discard empties the outbox for good and returns how many data frames were
// not wholly written, those dropped before included.
func (o *outbox) discard() (unsent int) {
	unsent = o.dropped
	for _, f := range o.frames {
		if f.isData() {
			unsent++
		}
	}
	*o = outbox{}
	return unsent
}
