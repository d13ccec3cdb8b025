package wsconn

import "testing"

// TestSlotsKnowTheirOwners: an event that a slot's last owner left behind is
// nobody's, and slots that were given back are taken before new ones.
func TestSlotsKnowTheirOwners(t *testing.T) {
	var s slots
	first, second, third := new(loopConn), new(loopConn), new(loopConn)
	s.take(first)
	s.take(second)
	slot, age := first.slot, first.age
	if s.owner(slot, age) != first || s.owner(second.slot, second.age) != second {
		t.Fatal("an owner is not found")
	}
	s.give(slot)
	if c := s.owner(slot, age); c != nil {
		t.Errorf("a free slot is %p's", c)
	}
	s.take(third)
	if third.slot != slot {
		t.Errorf("slot %d was taken while %d is free", third.slot, slot)
	}
	if c := s.owner(slot, age); c != nil {
		t.Errorf("an event of the last owner is %p's", c)
	}
	if s.owner(slot, third.age) != third {
		t.Error("the new owner is not found")
	}
}
