package wsconn

import "sync"

// slots number the connections of a loop: an event carries the number, and the
// slot's age, which tells events for its last owner from those for its new one.
type slots struct {
	mu    sync.Mutex // a leaf
	conns []*loopConn
	ages  []int32
	free  []int32
}

// take gives c a slot, which c knows before any other goroutine finds it there.
func (s *slots) take(c *loopConn) (age int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		c.slot = s.free[last]
		s.free = s.free[:last]
		s.conns[c.slot] = c
	} else {
		c.slot = int32(len(s.conns))
		s.conns = append(s.conns, c)
		s.ages = append(s.ages, 0)
	}
	return s.ages[c.slot]
}

// give takes the slot back.
func (s *slots) give(slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[slot] = nil
	s.ages[slot]++
	s.free = append(s.free, slot)
}

// owner returns who has the slot since it was age, nil if nobody any more.
func (s *slots) owner(slot, age int32) *loopConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ages[slot] != age {
		return nil
	}
	return s.conns[slot]
}

func (s *slots) age(slot int32) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ages[slot]
}
