package loadtest

import (
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Lag is how late its work begins, for one who has some and is no Engine. The zero value
// has seen none. It belongs to one goroutine at a time.
type Lag struct{ second, whole tally }

// Begun notes a piece of work that began so long after it was due.
func (l *Lag) Begun(late time.Duration) {
	l.second.record(lag, late)
	l.whole.record(lag, late)
}

// Take returns what has begun since the last call, for record.Sample.Histograms.
func (l *Lag) Take() map[record.Measure][]byte {
	var s record.Sample
	_ = l.second.sample(&s) // encodes to memory, which does not fail
	l.second.reset()
	return s.Histograms
}

// Reason is why all that has begun may have been the bottleneck, judged as a worker's
// work is; "" if it was not.
func (l *Lag) Reason(limits Limits) string {
	if h := l.whole.histograms[lag]; h != nil {
		return limits.lagging(h)
	}
	return ""
}
