package wsconn

import "testing"

// TestKeptIsBounded: a loop that keeps much reads no more of anybody than a turn takes.
func TestKeptIsBounded(t *testing.T) {
	l := &loop{input: make([]byte, loopBuffer)}
	c := &loopConn{guard: guard{maxMessage: 1 << 16}}
	for i := range mostKept / turnInput {
		if n := len(l.inputFor(c)); n != turnInput {
			t.Fatalf("reads %d bytes while %d are kept", n, i*turnInput)
		}
		l.kept.put(c, make([]byte, turnInput), 0)
	}
	input := l.inputFor(c)
	left := wholeTurn
	if n, _ := c.guard.cut(input, &left); len(input) != leastInput || n != len(input) {
		t.Errorf("reads %d bytes, of which a turn takes %d", len(input), n)
	}
	for range len(l.kept.all) {
		l.kept.take()
	}
	if l.kept.bytes != 0 || c.input != inputOpen {
		t.Errorf("%d bytes are kept of nothing", l.kept.bytes)
	}
}
