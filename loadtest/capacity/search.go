// Package capacity plans how much a server holds from what was measured. It is
// arithmetic alone: it runs nothing and reads no clock.
package capacity

// Search finds the most that holds: it doubles until a step breaks or the limit
// holds, then halves the gap until it is within 10 % of what broke.
type Search struct {
	next, most  int
	best, broke int // 0: none yet
}

// NewSearch begins at from and tries nothing above most; both are at least 1.
func NewSearch(from, most int) *Search {
	most = max(1, most)
	return &Search{next: min(max(1, from), most), most: most}
}

// First is the first step to try.
func (s *Search) First() int { return s.next }

// Best is the most that held, 0 if nothing did.
func (s *Search) Best() int { return s.best }

// Broke is the least that did not hold, 0 if all did.
func (s *Search) Broke() int { return s.broke }

// Next takes whether the step before held and gives the next one. When it is done
// there is none.
func (s *Search) Next(held bool) (step int, done bool) {
	if held {
		s.best = s.next
	} else {
		s.broke = s.next
	}
	switch {
	case s.broke == 0 && s.best >= s.most:
		return 0, true
	case s.broke == 0:
		s.next = s.best + min(s.best, s.most-s.best)
	case s.broke-s.best <= max(1, s.broke/10):
		return 0, true
	default:
		s.next = s.best + (s.broke-s.best)/2
	}
	return s.next, false
}
