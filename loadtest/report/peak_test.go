package report

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestPeakOpen: it is what the workers counted, though less was open whenever they
// were sampled; two samples of a second do not hide each other, and one that is
// missing has what was open before.
func TestPeakOpen(t *testing.T) {
	const s = time.Second
	sample := func(at time.Duration, worker, open, peak int) record.Line {
		return record.Line{Sample: &record.Sample{At: at, Worker: worker, Open: open, Peak: peak}}
	}
	f := func(want int, lines ...record.Line) {
		t.Helper()
		if got := read(t, file(t, append([]record.Line{header()}, lines...)...)).PeakOpen; got != want {
			t.Errorf("%d open at most, want %d", got, want)
		}
	}
	f(9, sample(s, 0, 2, 9), sample(2*s, 0, 3, 4))
	f(9, sample(s*9/10, 0, 2, 9), sample(s, 0, 0, 2))
	f(12, sample(s, 0, 2, 9), sample(s, 1, 3, 3))
	f(10, sample(s, 0, 7, 7), sample(3*s, 0, 7, 7), sample(s, 1, 1, 1), sample(2*s, 1, 0, 3), sample(3*s, 1, 0, 0))
	f(5, sample(s, 0, 5, 0)) // of before the peak was kept
}
