package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// losses follows the workers' samples and tells whether anybody is still there.
type losses struct {
	held   time.Duration // the hold's begin; 0: not yet
	open   map[int]int   // by worker, at its latest sample in the hold; those being opened too
	counts map[record.Count]int64
	closes map[int]int64
}

func newLosses() *losses {
	return &losses{open: map[int]int{}, counts: map[record.Count]int64{}, closes: map[int]int64{}}
}

func (l *losses) observe(s *record.Sample) {
	for _, name := range []record.Count{record.Opened, record.Failed, record.Closed, record.Kept} {
		l.counts[name] += s.Counts[name]
	}
	for code, n := range s.Closes {
		l.closes[code] += n
	}
	if l.held > 0 && s.At > l.held {
		l.open[s.Worker] = s.Open + s.Opening
	}
}

// none reports whether none of so many workers has a connection, though it is not
// that the run's time was over.
func (l *losses) none(workers int) bool {
	for _, n := range l.open {
		if n > 0 {
			return false
		}
	}
	return len(l.open) == workers && l.counts[record.Kept] == 0
}

// text is what became of the connections, in one line.
func (l *losses) text() string {
	if l.counts[record.Opened] == 0 {
		return fmt.Sprintf("no connection was opened: %d failed", l.counts[record.Failed])
	}
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(l.closes)) {
		name := fmt.Sprint("code ", code)
		if code == 1006 {
			name = "no close frame"
		}
		codes = append(codes, fmt.Sprintf("%d with %s", l.closes[code], name))
	}
	text := fmt.Sprintf("all connections were lost: %d ended by the server or the network", l.counts[record.Closed])
	if codes != nil {
		text += ", " + strings.Join(codes, ", ")
	}
	if n := l.counts[record.Failed]; n > 0 {
		text += fmt.Sprintf("; %d handshakes failed", n)
	}
	return text
}

// watch ends a run of which nothing is left to be learned.
func (c *coordinator) watch(s *record.Sample) {
	c.losses.observe(s)
	if c.stopping || c.Job.Scenario.Loss() != scenario.LossAtOnce || !c.losses.none(len(c.links)) {
		return
	}
	c.lost = c.losses.text()
	c.stop()
}

// judgeEnd says of a run that was not cut short whether anybody was left at its end or,
// where nobody has to be, whether anybody ever came.
func (c *coordinator) judgeEnd(interrupted bool) {
	if interrupted || c.fault != "" || c.lost != "" {
		return
	}
	needed := record.Kept
	if c.Job.Scenario.Loss() == scenario.LossExpected {
		needed = record.Opened
	}
	if c.losses.counts[needed] == 0 {
		c.lost = c.losses.text()
	}
}
