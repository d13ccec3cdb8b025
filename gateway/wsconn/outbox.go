package wsconn

import (
	"math/bits"
	"unsafe"
)

// outbox holds the frames that the socket has not taken yet, in order. It is
// not safe for concurrent use and does no I/O: a transport locks it, asks for
// bytes with claim and says with wrote how many of them went.
//
// A connection has none as long as nothing waits. The reading methods take a nil outbox for
// an empty one.
type outbox struct {
	holder  // in budget, as long as there are frames
	budget  *budget
	frames  []*Frame
	space   [2]*Frame // for few frames
	offset  int       // bytes of frames[0] that are written
	bytes   int       // bytes queued and not written
	claimed int32     // bytes from offset on that a write in progress has
	dropped int32     // data frames that drop took out
	evicted bool      // the budget had no room: accept no more
}

func newOutbox(b *budget, owner evictee) *outbox {
	o := &outbox{budget: b, holder: holder{owner: owner}}
	o.frames = o.space[:0]
	return o
}

func (o *outbox) empty() bool { return o == nil || len(o.frames) == 0 }

// spent reports whether the connection may forget o.
func (o *outbox) spent() bool { return o.empty() && (o == nil || o.dropped == 0 && !o.evicted) }

// isEvicted reports whether the budget has chosen o: the session is to end.
func (o *outbox) isEvicted() bool { return o != nil && o.evicted }

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
	o.enter(f)
	o.settle()
	o.budget.check()
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
	o.claimed = int32(len(chunk))
	return chunk
}

// wrote takes the first n of the claimed bytes out.
func (o *outbox) wrote(n int) {
	o.claimed = 0
	o.bytes -= n
	n += o.offset
	for len(o.frames) > 0 && n >= len(o.frames[0].wire) {
		n -= len(o.frames[0].wire)
		o.leave(o.frames[0])
		o.frames[0] = nil
		o.frames = o.frames[1:]
	}
	o.offset = n
	if len(o.frames) == 0 {
		o.frames = o.space[:0]
	}
	o.settle()
}

// drop takes out the frames of which no byte is written or claimed, but a close frame.
func (o *outbox) drop() {
	keep, begun := 0, o.offset+int(o.claimed)
	for begun > 0 && keep < len(o.frames) {
		begun -= len(o.frames[keep].wire)
		keep++
	}
	for i := keep; i < len(o.frames); i++ {
		f := o.frames[i]
		o.frames[i] = nil
		if f.op == opClose {
			o.frames[keep] = f
			keep++
			continue
		}
		o.bytes -= len(f.wire)
		if f.isData() {
			o.dropped++
		}
		o.leave(f)
	}
	o.frames = o.frames[:keep]
	o.settle()
}

// enter and leave count f in the budget once, however many outboxes have it. An outbox that
// the budget has chosen counts its frames itself: see settle.
func (o *outbox) enter(f *Frame) {
	if o.state.Load() == stateHeld && f.queued.Add(1) == 1 {
		o.budget.held.Add(f.memory())
	}
}

func (o *outbox) leave(f *Frame) {
	if o.state.Load() == stateHeld && f.queued.Add(-1) == 0 {
		o.budget.held.Add(-f.memory())
	}
}

// settle counts the memory that o takes beside its frames; with them once it was chosen.
func (o *outbox) settle() {
	if o.empty() {
		o.budget.settle(&o.holder, 0, 0)
		return
	}
	const pointer = unsafe.Sizeof((*Frame)(nil))
	own := int(unsafe.Sizeof(*o)) + int(pointer)<<bits.Len(uint(len(o.frames)-1)) // append doubles
	size := own + o.bytes
	if o.state.Load() != stateHeld {
		for _, f := range o.frames {
			own += int(f.memory())
		}
	}
	o.budget.settle(&o.holder, own, size)
}

// evict drops the frames that are not begun, if o still is of class, and makes the rest
// leave. It reports whether it did.
func (o *outbox) evict(class uint8) bool {
	if o.class != class || o.state.Load() != stateHeld {
		return false
	}
	o.evicted = true
	o.drop()
	if !o.empty() {
		for _, f := range o.frames {
			o.leave(f)
		}
		o.budget.take(&o.holder, o.class)
		o.settle()
	}
	return true
}

// abandon reports whether the connection has to be given up, as the budget has no room for
// the rest of o, and stops counting it.
func (o *outbox) abandon(class uint8) bool {
	if class != classLeaving || o.state.Load() != stateLeaving {
		return false
	}
	o.budget.writeOff(&o.holder)
	return true
}

// discard empties the outbox for good and returns how many data frames were
// not wholly written, those dropped before included.
func (o *outbox) discard() (unsent int) {
	if o == nil {
		return 0
	}
	unsent = int(o.dropped)
	for _, f := range o.frames {
		if f.isData() {
			unsent++
		}
		o.leave(f)
	}
	o.frames, o.offset, o.bytes, o.claimed, o.dropped = nil, 0, 0, 0, 0
	o.settle()
	return unsent
}
