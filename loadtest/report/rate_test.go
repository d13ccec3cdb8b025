package report

import (
	"math"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestRates: those of the crowd's arrival run until it had arrived, and not for the whole
// seconds that it touched; those of a hold without a whole second run for as long as it was.
func TestRates(t *testing.T) {
	const s = time.Second
	sample := func(at time.Duration, counts map[record.Count]int64) record.Line {
		return record.Line{Sample: &record.Sample{At: at, Counts: counts}}
	}
	mark := func(at time.Duration, text string) record.Line {
		return record.Line{Mark: &record.Mark{At: at, Text: text}}
	}
	f := func(connects, sent float64, lines ...record.Line) {
		t.Helper()
		head := header()
		head.Header.Scenario.Connections = 300
		sum := read(t, file(t, append([]record.Line{head}, lines...)...))
		if math.Abs(sum.ConnectRate-connects) > 1e-6 || math.Abs(sum.SentRate-sent) > 1e-6 {
			t.Errorf("%v connects and %v sent per second, want %v and %v", sum.ConnectRate, sum.SentRate, connects, sent)
		}
	}
	end := func(at, arrived time.Duration) record.Line {
		return record.Line{End: &record.End{At: at, Arrived: arrived}}
	}
	// 50 of those that opened in the first second are of the churn.
	f(500, 100, mark(s*8/10, "holding"), sample(s, map[record.Count]int64{record.Opened: 350, record.Sent: 20}),
		mark(s*18/10, "leaving"), sample(s*19/10, map[record.Count]int64{record.Opened: 50, record.Sent: 80}), end(s*19/10, s*6/10))
	// It began early, and failed in part; the run was killed, as it has no mark of its end.
	f(400, 200, mark(s*2/10, "holding"), sample(s, map[record.Count]int64{record.Opened: 40, record.Sent: 5}),
		sample(2*s, map[record.Count]int64{record.Sent: 200}), sample(s*22/10, map[record.Count]int64{record.Sent: 40}), end(s*22/10, s/10))
	// Nobody knows when it had arrived, nor that there was a hold.
	f(150, 30, sample(s, map[record.Count]int64{record.Opened: 200}), sample(2*s, map[record.Count]int64{record.Opened: 100, record.Sent: 60}))
}
