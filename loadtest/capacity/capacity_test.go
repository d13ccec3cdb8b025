package capacity

import (
	"math"
	"strings"
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

func TestPlan(t *testing.T) {
	var points []Point
	for _, n := range []int{1000, 3000, 9000} {
		points = append(points, Point{Sessions: n, RSS: 1<<20 + 300*int64(n), Sockets: 700 * int64(n)})
	}
	p, err := NewPlan(points, []Limit{{"descriptors", 19000, "LimitNOFILE="}, {"ports", 9000, "net.ipv4.ip_local_port_range"}})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.RSS.Slope-300) > 1e-6 || math.Abs(p.RSS.Base-1<<20) > 1e-3 || p.RSS.Error > 1e-9 {
		t.Errorf("fit %+v", p.RSS)
	}
	if f := p.Fits[0]; f.Process != (1<<30-1<<20)/300 || f.Together != (1<<30-1<<20)/1000 {
		t.Errorf("1 GiB: %+v", f)
	}
	var out strings.Builder
	if err := p.Text(&out); err != nil || !strings.Contains(out.String(), "first limit: ports at 9000 sessions; moved by net.ipv4.ip_local_port_range") {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, bad := range [][]Point{nil, points[:1], {{Sessions: 1, RSS: 9}, {Sessions: 2, RSS: 8}}} {
		if _, err := NewPlan(bad, nil); err == nil {
			t.Errorf("a plan from %v", bad)
		}
	}
}
