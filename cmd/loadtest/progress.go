package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// progress shows how a run goes: a bar on a terminal, else a line a second.
type progress struct {
	out  io.Writer // nil: quiet
	bars *mpb.Progress
	bar  *mpb.Bar
	plan scenario.Scenario

	mu      sync.Mutex
	started time.Time
	phase   string
	since   time.Duration // begin of the phase
	open    map[int]int   // by worker
	seen    int           // samples since the last line
	workers int
	counts  map[record.Count]int64
	errors  int64
	lastAt  time.Duration
	last    map[record.Count]int64
	text    string
}

const barSteps = 1000

func newProgress(o *options, out io.Writer) *progress {
	p := &progress{
		out: out, plan: o.scenario, open: map[int]int{},
		counts: map[record.Count]int64{}, last: map[record.Count]int64{},
	}
	if o.quiet {
		p.out = nil
		return p
	}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(30))
		p.bar = p.bars.AddBar(barSteps, mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.text
		})))
	}
	return p
}

// observe takes a line of the record, from any goroutine.
func (p *progress) observe(line record.Line) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case line.Header != nil:
		p.started, p.workers = line.Header.Started, line.Header.Workers
	case line.Mark != nil:
		p.phase, p.since = line.Mark.Text, line.Mark.At
	case line.Sample != nil && line.Sample.Worker >= 0:
		p.sampleLocked(line.Sample)
	}
}

func (p *progress) sampleLocked(s *record.Sample) {
	p.open[s.Worker] = s.Open
	for name, n := range s.Counts {
		p.counts[name] += n
	}
	for _, n := range s.Errors {
		p.errors += n
	}
	if p.seen++; p.seen < p.workers {
		return
	}
	p.seen = 0
	open := 0
	for _, n := range p.open {
		open += n
	}
	left, total := p.remainingLocked(s.At, open)
	p.text = p.lineLocked(s.At, left, open)
	if p.bar != nil {
		p.bar.SetCurrent(int64(barSteps * float64(total-left) / float64(max(total, 1))))
		return
	}
	fmt.Fprintln(p.out, p.text)
}

// lineLocked is all there is to see at a glance.
func (p *progress) lineLocked(at, left time.Duration, open int) string {
	seconds := max((at - p.lastAt).Seconds(), 0.001)
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s: %s of %s open", at.Round(time.Second), p.phase, thousands(open), thousands(p.plan.Connections))
	for _, c := range []struct {
		name record.Count
		text string
	}{{record.Opened, "opened"}, {record.Sent, "sent"}, {record.Received, "received"}, {record.Closed, "closed"}} {
		if n := p.counts[c.name] - p.last[c.name]; n > 0 {
			fmt.Fprintf(&b, ", %s %s/s", thousands(int(float64(n)/seconds)), c.text)
		}
		p.last[c.name] = p.counts[c.name]
	}
	p.lastAt = at
	for _, c := range []record.Count{record.Failed, record.Dropped, record.Early} {
		if n := p.counts[c]; n > 0 {
			fmt.Fprintf(&b, ", %s %s", thousands(int(n)), c)
		}
	}
	if p.errors > 0 {
		fmt.Fprintf(&b, ", %s errors", thousands(int(p.errors)))
	}
	if left > 0 {
		fmt.Fprintf(&b, ", ETA %v", left.Round(time.Second))
	}
	return b.String()
}

// remainingLocked estimates what is left of the run, and the whole of it.
func (p *progress) remainingLocked(at time.Duration, open int) (left, total time.Duration) {
	ending := time.Second
	switch {
	case p.plan.Expire != nil:
		ending = p.plan.Expire.Timeout.Std()
	case p.plan.Drain != nil:
		ending = p.plan.Drain.Within.Std()
	}
	in := at - p.since
	switch p.phase {
	case "connecting":
		begun := p.counts[record.Opened] + p.counts[record.Failed]
		if begun > 0 {
			left = time.Duration(float64(in) * float64(int64(p.plan.Connections)-begun) / float64(begun))
		}
		left += p.plan.Hold.Std() + ending
	case "holding":
		left = max(0, p.plan.Hold.Std()-in) + ending
	case "leaving", "draining", "silent":
		if open > 0 {
			left = max(0, ending-in)
		}
	default:
		left = max(0, ending-in)
	}
	return left, at + left
}

// end leaves the terminal as it was.
func (p *progress) end() {
	if p.bars != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}
