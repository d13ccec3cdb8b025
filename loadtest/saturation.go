package loadtest

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Limits say when the tool itself was the bottleneck. A zero field is its default.
type Limits struct {
	// Lag is the most that the tool's own work may begin after it was due, at the
	// 99th percentile; default 25 ms.
	Lag time.Duration `json:"lag,omitempty"`
	// CPU is the most of the CPUs that it has loops for that a worker may use, 0 to 1,
	// for longer than spell; default 0.9.
	CPU float64 `json:"cpu,omitempty"`
}

// The defaults, and what is not worth a setting.
const (
	DefaultLag = 25 * time.Millisecond
	DefaultCPU = 0.9
	// spell is how long a worker has to be short of CPU before it counts.
	spell = 5 * time.Second
	// enough is how many pieces of work make a percentile.
	enough = 100
	// busy is the share of one CPU below which nobody is short of it.
	busy = 0.25
)

// saturation judges a worker by its samples.
type saturation struct {
	limits  Limits
	cpus    int
	lag     *hdrhistogram.Histogram
	last    record.Process
	at      time.Duration
	started bool

	// Spells, now and the longest.
	using, waiting       time.Duration
	longUsing, longWaits time.Duration
}

// lagging is why work that began so late may be the tool's bottleneck, or "".
func (l Limits) lagging(h *hdrhistogram.Histogram) string {
	limit, p99 := cmp.Or(l.Lag, DefaultLag), time.Duration(h.ValueAtPercentile(99))
	if h.TotalCount() < enough || p99 <= limit {
		return ""
	}
	return fmt.Sprintf("1 in 100 pieces of work began %v late or more, and the limit is %v", p99.Round(100*time.Microsecond), limit)
}

// newSaturation judges a worker that has work for so many CPUs.
func newSaturation(limits Limits, cpus int) saturation {
	limits.CPU = cmp.Or(limits.CPU, DefaultCPU)
	return saturation{limits: limits, cpus: cpus, lag: hdrhistogram.New(least, most, digits)}
}

// usable is how many CPUs a worker with so many loops can use: one each, where not TLS
// has goroutines of its own beside them.
func (j *Job) usable(loops int) int {
	all := runtime.GOMAXPROCS(0)
	for _, url := range j.Targets {
		if strings.HasPrefix(strings.ToLower(url), "wss:") {
			return all
		}
	}
	return min(all, loops)
}

// observe takes one sample's process and lag. What is not paced, connecting as
// fast as can be, is bound to take all there is and is not judged.
func (s *saturation) observe(at time.Duration, p record.Process, lag *hdrhistogram.Histogram, paced bool) {
	before, since := s.last, at-s.at
	s.last, s.at = p, at
	if !paced {
		s.using, s.waiting, s.started = 0, 0, true
		return
	}
	if lag != nil {
		s.lag.Merge(lag)
	}
	if !s.started || since <= 0 || p.CPU < 0 {
		s.started = true
		return
	}
	used, waited := p.CPU-before.CPU, p.Delay-before.Delay
	extend := func(spell, longest *time.Duration, is bool) {
		if !is {
			*spell = 0
			return
		}
		*spell += since
		*longest = max(*longest, *spell)
	}
	extend(&s.using, &s.longUsing, float64(used) > s.limits.CPU*float64(s.cpus)*float64(since))
	extend(&s.waiting, &s.longWaits, waited > used && float64(used+waited) > busy*float64(since))
}

// reasons are why the figures may be the tool's and not the server's; none is good.
// To wait for a CPU, which a server on the same machine makes the tool do, is one
// only when work was late for it.
func (s *saturation) reasons() []string {
	var all []string
	if reason := s.limits.lagging(s.lag); reason != "" {
		if s.longWaits >= spell {
			reason += fmt.Sprintf("; its threads waited for a CPU longer than they ran, for %v", s.longWaits.Round(time.Second))
		}
		all = append(all, reason)
	}
	if s.longUsing >= spell {
		cpus := fmt.Sprint(s.cpus, " CPUs")
		if s.cpus == 1 {
			cpus = "the one CPU that it has work for"
		}
		all = append(all, fmt.Sprintf("it used more than %.0f%% of %s for %v", 100*s.limits.CPU, cpus, s.longUsing.Round(time.Second)))
	}
	return all
}
