package capacity

import (
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSearch: against any server the result is within 10 % of what it holds.
func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holds := rapid.IntRange(0, 1_000_000).Draw(t, "holds")
		most := rapid.IntRange(1, 1_000_000).Draw(t, "most")
		s := NewSearch(rapid.IntRange(-1, 1000).Draw(t, "from"), most)
		step, done, tries := s.First(), false, 0
		for ; !done; tries++ {
			if step < 1 || step > most || tries > 50 {
				t.Fatalf("try %d is %d of at most %d", tries, step, most)
			}
			step, done = s.Next(step <= holds)
		}
		want := min(holds, most)
		if s.Best() > want || float64(want-s.Best()) > max(1, 0.1*float64(s.Broke())) {
			t.Fatalf("found %d of %d in %d tries, broke at %d", s.Best(), want, tries, s.Broke())
		}
		if (s.Broke() == 0) != (holds >= most) || s.Broke() > 0 && s.Broke() <= holds {
			t.Fatalf("broke at %d of %d", s.Broke(), holds)
		}
	})
}
