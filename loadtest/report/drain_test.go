package report

import (
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
		if sum.Drain == nil || *sum.Drain != want {
			t.Errorf("%+v, want %+v", sum.Drain, want)
		}
	}
	hold := []record.Line{mark(0, "connecting"), mark(s, "holding"), closed(2*s, 1), closed(3*s, 0), closed(4*s, 0)}
	f(Drain{Closes: 15, Seconds: 3, Max: 8, Mean: 5, Ratio: 1.6},
		append(hold, mark(5*s+s/100, "draining"), closed(5*s+s/50, 4), closed(6*s, 8), closed(7*s, 3))...)
	f(Drain{Closes: 5, Seconds: 2, Max: 4, Mean: 2.5, Ratio: 1.6}, mark(s, "holding"), closed(2*s, 4), closed(3*s, 1), mark(3*s, "waiting for the drain"))
	f(Drain{}, mark(s, "holding"), closed(2*s, 0))
}
