package wsconn

import "sync"

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

// owner returns who has the slot and is of this age, nil if nobody any more.
func (s *slots) owner(slot, age int32) *loopConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[slot]; c != nil && c.age == age {
		return c
	}
	return nil
}
