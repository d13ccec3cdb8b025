package wsconn

import (
	"crypto/tls"
	"net"
	"sync/atomic"
)

// meter counts a loop's bytes. The loop counts its own without a lock, and tells them once
// in a pass.
type meter struct {
	in             uint64 // the loop's
	received, sent atomic.Uint64
	byOthers       atomic.Uint64 // sent by one write of a connection, from any goroutine
}

func (m *meter) tell(out uint64) {
	if m.in != m.received.Load() {
		m.received.Store(m.in)
	}
	if out != m.sent.Load() {
		m.sent.Store(out)
	}
}

// Figures counts those of its loops and of what it left to goroutines.
func (t *Loop) Figures() Figures {
	f := t.others.Figures()
	f.OnLoops = t.open.Load()
	f.Sent += t.toMany.Load()
	for i := range t.fallbacks {
		f.Fallbacks[i] = t.fallbacks[i].Load()
	}
	for _, ls := range []*loops{&t.sockets, &t.memory} {
		ls.mu.Lock()
		for _, l := range ls.all {
			f.Received += l.meter.received.Load()
			f.Sent += l.meter.sent.Load() + l.meter.byOthers.Load()
			f.IOUring = f.IOUring || l.sender.ring != nil
		}
		ls.mu.Unlock()
	}
	return f
}

// fallBack counts a connection that goes to a goroutine.
func (t *Loop) fallBack(why Fallback) *Goroutine {
	t.fallbacks[why].Add(1)
	return t.others
}

// unfit is why conn cannot be a loop's.
func unfit(conn net.Conn) Fallback {
	if _, ok := conn.(*tls.Conn); ok {
		return FallbackTLS
	}
	return FallbackKind
}
