package report

import (
	"math"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestDrainIsMeasuredFromItsBegin: it may be in the hold, what broke before is not
// of it, and a file without its mark is measured from the first close on.
func TestDrainIsMeasuredFromItsBegin(t *testing.T) {
	const s = time.Second
	closed := func(at time.Duration, n int64) record.Line {
		return record.Line{Sample: &record.Sample{At: at, Counts: map[record.Count]int64{record.Closed: n}}}
	}
	mark := func(at time.Duration, text string) record.Line {
		return record.Line{Mark: &record.Mark{At: at, Text: text}}
	}
	f := func(want Drain, lines ...record.Line) {
		t.Helper()
		sum := read(t, file(t, append([]record.Line{header()}, lines...)...))
		if sum.Drain == nil {
			t.Fatal("no drain")
		}
		sum.Drain.Seconds = math.Round(sum.Drain.Seconds*1e6) / 1e6
		if *sum.Drain != want {
			t.Errorf("%+v, want %+v", sum.Drain, want)
		}
	}
	hold := []record.Line{mark(0, "connecting"), mark(s, "holding"), closed(2*s, 1), closed(3*s, 0), closed(4*s, 0)}
	f(Drain{Closes: 15, Seconds: 3, Max: 8, Mean: 5, Ratio: 1.6},
		append(hold, mark(5*s+s/100, "draining"), closed(5*s+s/50, 4), closed(6*s, 8), closed(7*s, 3))...)
	f(Drain{Closes: 5, Seconds: 2, Max: 4, Mean: 2.5, Ratio: 1.6}, mark(s, "holding"), closed(2*s, 4), closed(3*s, 1), mark(3*s, "waiting for the drain"))
	f(Drain{}, mark(s, "holding"), closed(2*s, 0))

	// 100 a second for 4 s that begin in the middle of one.
	even := append(hold[:2:2], closed(2*s, 0), mark(s*27/10, "draining"),
		closed(3*s, 30), closed(4*s, 100), closed(5*s, 100), closed(6*s, 100))
	f(Drain{Closes: 400, Seconds: 4, Max: 100, Mean: 100, Ratio: 1},
		append(even, closed(s*67/10, 70), record.Line{End: &record.End{At: s * 67 / 10}})...)
	kept := closed(s*67/10, 20)
	kept.Sample.Counts[record.Kept] = 50
	f(Drain{Closes: 350, Kept: 50, Seconds: 5, Max: 100, Mean: 70, Ratio: 100.0 / 70}, append(even, kept, record.Line{End: &record.End{At: s * 67 / 10}})...)
	f(Drain{Closes: 70, Seconds: 0.25, Max: 70, Mean: 70, Ratio: 1},
		append(hold[:2:2], closed(2*s, 0), mark(s*21/10, "draining"), closed(s*235/100, 70), record.Line{End: &record.End{At: s * 235 / 100}})...)
}
