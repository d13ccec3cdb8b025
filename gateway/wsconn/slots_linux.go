package wsconn

import (
	"sync"

	"golang.org/x/sys/unix"
)

// slots number the connections of a loop: an event carries the number, and the
// age of the connection, which tells events of a slot's last owner from those of
// its new one.
type slots struct {
	mu    sync.Mutex // a leaf
	conns []*loopConn
	free  []int32
	taken int32 // times, wrapping around
}

// take gives c a slot and an age, which c knows before any other goroutine finds
// it there.
func (s *slots) take(c *loopConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	c.age = s.taken
	if last := len(s.free) - 1; last >= 0 {
		c.slot = s.free[last]
		s.free = s.free[:last]
		s.conns[c.slot] = c
	} else {
		c.slot = int32(len(s.conns))
		s.conns = append(s.conns, c)
	}
}

// give takes the slot back.
func (s *slots) give(slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[slot] = nil
	s.free = append(s.free, slot)
}

// owners returns whose the events are, nil for those of nobody any more, in dst. All
// at once: of so many connections none is in the cache, and so the processor waits
// for several of them at a time.
func (s *slots) owners(events []unix.EpollEvent, dst []*loopConn) []*loopConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		var owner *loopConn
		if e := &events[i]; e.Fd >= 0 {
			if c := s.conns[e.Fd]; c != nil && c.age == e.Pad {
				owner = c
			}
		}
		dst = append(dst, owner)
	}
	return dst
}
