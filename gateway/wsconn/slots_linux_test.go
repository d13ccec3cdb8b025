package wsconn

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlotsKnowTheirOwners: an event that a slot's last owner left behind is
// nobody's, and slots that were given back are taken before new ones.
func TestSlotsKnowTheirOwners(t *testing.T) {
	var s slots
	first, second, third := new(loopConn), new(loopConn), new(loopConn)
	s.take(first)
	s.take(second)
	eventOf := func(c *loopConn) unix.EpollEvent { return unix.EpollEvent{Fd: c.slot, Pad: c.age} }
	events := []unix.EpollEvent{{Fd: wakeSlot}, eventOf(first), eventOf(second)}
	check := func(when string, want ...*loopConn) {
		t.Helper()
		if got := s.owners(events, nil); !slices.Equal(got, want) {
			t.Errorf("%s: owners are %p, want %p", when, got, want)
		}
	}
	check("at first", nil, first, second)
	slot := first.slot
	s.give(slot)
	check("with a free slot", nil, nil, second)
	s.take(third)
	if third.slot != slot {
		t.Errorf("slot %d was taken while %d is free", third.slot, slot)
	}
	check("of the last owner", nil, nil, second)
	events[1] = eventOf(third)
	check("of the new one", nil, third, second)
}
