package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// plot is one chart of the page, as page.js reads it.
type plot struct {
	Title string    `json:"title"`
	Unit  string    `json:"unit"`        // of the left axis
	Log   bool      `json:"log"`         // the left axis is logarithmic
	Dots  bool      `json:"dots"`        // values are single events: no lines between them
	Share bool      `json:"percentiles"` // X is 1/(1-p) and not the time
	X     []float64 `json:"x"`           // seconds
	Lines []line    `json:"lines"`
}

// line is one series. A nil value is a gap.
type line struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`   // another than the plot's: the right axis
	Values []any  `json:"values"` // as many as X
	Level  int    `json:"level"`  // 1 to 4: one of a row from low to high; 0: no order
}

// maxPoints is how many points a plot over time has at most: more would not be
// seen, and make a page of many megabytes.
const maxPoints = 3600

// timeline is the run's seconds, in steps that make at most maxPoints.
type timeline struct {
	run   *Run
	step  int // seconds
	steps []Second
	x     []float64 // the end of each step
}

func (r *Run) timeline(most int) timeline {
	t := timeline{run: r, step: max(1, (len(r.Seconds)+most-1)/most)}
	for part := range slices.Chunk(r.Seconds, t.step) {
		into := Second{
			Open:   part[len(part)-1].Open,
			Counts: map[record.Count]int64{}, Closes: map[int]int64{}, Errors: map[string]int64{},
			encoded: map[record.Measure][][]byte{},
		}
		for i := range part {
			sum(into.Counts, part[i].Counts)
			sum(into.Closes, part[i].Closes)
			sum(into.Errors, part[i].Errors)
			for m, all := range part[i].encoded {
				into.encoded[m] = append(into.encoded[m], all...)
			}
		}
		t.steps = append(t.steps, into)
		t.x = append(t.x, float64(len(t.steps)*t.step))
	}
	return t
}

// plots are all that the run has something for.
func (r *Run) plots() []plot {
	t := r.timeline(maxPoints)
	all := []plot{
		{Title: "open connections", X: t.x, Lines: []line{t.each("open", func(s *Second) any { return s.Open })}},
		t.counts("connects per second", record.Opened, record.Failed),
		t.counts("messages per second", record.Sent, record.Received),
	}
	for _, m := range []struct {
		measure record.Measure
		title   string
	}{
		{record.Handshake, "handshake"}, {record.Echo, "echo, from due to answered"}, {record.Deliver, "delivery of broadcasts, from due to received"},
	} {
		all = append(all, t.latency(m.measure, m.title))
	}
	all = append(all, r.spreads(), t.latency(record.Reconnect, "reconnect, from lost to open"), t.latency(record.Expiry, "lateness of expiry"),
		keyed(t, "closes per second by code", func(s *Second) map[int]int64 { return s.Closes }),
		keyed(t, "errors per second by kind", func(s *Second) map[string]int64 { return s.Errors }),
		t.server(), t.processes("tool: memory and CPU", r.toolMoments()), t.latency(record.Lag, "the tool's lag"), r.percentiles())
	return slices.DeleteFunc(all, func(p plot) bool { return len(p.Lines) == 0 })
}

func (t *timeline) each(name string, value func(*Second) any) line {
	l := line{Name: name}
	for i := range t.steps {
		l.Values = append(l.Values, value(&t.steps[i]))
	}
	return l
}

// rate is a line of something counted, per second; ok is false if there was none.
func (t *timeline) rate(name string, count func(*Second) int64) (l line, ok bool) {
	l = t.each(name, func(s *Second) any {
		n := count(s)
		ok = ok || n > 0
		return float64(n) / float64(t.step)
	})
	return l, ok
}

func (t *timeline) counts(title string, names ...record.Count) plot {
	p := plot{Title: title, X: t.x}
	for _, name := range names {
		if l, ok := t.rate(string(name), func(s *Second) int64 { return s.Counts[name] }); ok {
			p.Lines = append(p.Lines, l)
		}
	}
	return p
}

func keyed[K int | string](t timeline, title string, of func(*Second) map[K]int64) plot {
	p, keys := plot{Title: title, X: t.x}, map[K]int64{}
	for i := range t.steps {
		sum(keys, of(&t.steps[i]))
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if l, ok := t.rate(fmt.Sprint(k), func(s *Second) int64 { return of(s)[k] }); ok {
			p.Lines = append(p.Lines, l)
		}
	}
	return p
}

// logMS is a time in milliseconds that a logarithmic axis can show.
func logMS(ns int64) float64 { return max(ms(ns), 0.001) }

// latency is p50, p90, p99 and max.
func (t *timeline) latency(m record.Measure, title string) plot {
	p := plot{Title: title, Unit: "ms", Log: true, X: t.x}
	if t.run.Histograms[m] == nil {
		return p
	}
	for i, name := range []string{"p50", "p90", "p99", "max"} {
		p.Lines = append(p.Lines, line{Name: name, Level: i + 1})
	}
	for i := range t.steps {
		values := []any{nil, nil, nil, nil}
		if h := t.steps[i].Histogram(m); h != nil {
			for i, percentile := range []float64{50, 90, 99, 100} {
				values[i] = logMS(h.ValueAtPercentile(percentile))
			}
		}
		for i, v := range values {
			p.Lines[i].Values = append(p.Lines[i].Values, v)
		}
	}
	return p
}

// spreads shows each broadcast when it was due.
func (r *Run) spreads() plot {
	p := plot{Title: "broadcasts, from the first receiver to the last", Unit: "ms", Log: true, Dots: true, X: []float64{0}}
	l := line{Name: "spread", Values: []any{nil}} // the axis is as long as those of the others
	byTime := slices.SortedFunc(slices.Values(r.Broadcasts), func(a, b Broadcast) int { return int(a.At - b.At) })
	for _, b := range byTime {
		if b.Receipts > 0 {
			p.X, l.Values = append(p.X, b.At.Seconds()), append(l.Values, logMS(int64(b.Spread())))
		}
	}
	if len(p.X) == 1 {
		return p
	}
	p.X, l.Values = append(p.X, max(p.X[len(p.X)-1], float64(len(r.Seconds)))), append(l.Values, nil)
	p.Lines = []line{l}
	return p
}

// last picks for each step the last of what was seen in it, nil for none.
func last[T any](t *timeline, all []T, at func(*T) time.Duration) []*T {
	found := make([]*T, len(t.steps))
	for i := range all {
		step := second(at(&all[i])) / t.step
		if step < len(found) {
			found[step] = &all[i]
		}
	}
	return found
}

// processes plots memory and CPU.
func (t *timeline) processes(title string, all []moment) plot {
	p := plot{Title: title, Unit: "MiB", X: t.x}
	if len(all) == 0 {
		return p
	}
	memory, cpu := line{Name: "RSS"}, line{Name: "CPU", Unit: "%"}
	var before *moment
	for _, now := range last(t, all, func(m *moment) time.Duration { return m.at }) {
		var mib, used any
		if now != nil {
			mib = float64(now.rss) / (1 << 20)
			if before != nil && now.at > before.at {
				used = percent(now.cpu-before.cpu, now.at-before.at)
			}
			before = now
		}
		memory.Values, cpu.Values = append(memory.Values, mib), append(cpu.Values, used)
	}
	p.Lines = []line{memory, cpu}
	return p
}

// server is processes with the kernel's buffers for sockets, which is the whole
// machine's.
func (t *timeline) server() plot {
	p := t.processes("server: memory and CPU", t.run.serverMoments())
	machine := slices.DeleteFunc(slices.Clone(t.run.Servers), func(s record.Server) bool { return s.Target != record.WholeMachine })
	if !slices.ContainsFunc(machine, func(s record.Server) bool { return s.SocketMemory > 0 }) {
		return p
	}
	sockets := line{Name: "socket buffers"}
	for _, now := range last(t, machine, func(s *record.Server) time.Duration { return s.At }) {
		var mib any
		if now != nil {
			mib = float64(now.SocketMemory) / (1 << 20)
		}
		sockets.Values = append(sockets.Values, mib)
	}
	p.Lines = slices.Insert(p.Lines, min(1, len(p.Lines)), sockets)
	return p
}

// pointsPerDecade are of the percentiles' axis: 0, 90, 99, 99.9 % are a decade apart.
const pointsPerDecade = 25

// percentiles plots all latencies of the run by percentile, each as far as it has
// values to tell.
func (r *Run) percentiles() plot {
	p := plot{Title: "latencies by percentile", Unit: "ms", Log: true, Share: true}
	of := maps.Clone(r.Histograms)
	of[spread] = r.spread()
	var most int64
	for _, h := range of {
		most = max(most, h.TotalCount())
	}
	for k := 0; most > 0 && k <= int(math.Ceil(pointsPerDecade*math.Log10(float64(most)))); k++ {
		p.X = append(p.X, math.Pow(10, float64(k)/pointsPerDecade))
	}
	for _, name := range measured {
		if h := of[record.Measure(name)]; h != nil && h.TotalCount() > 0 {
			p.Lines = append(p.Lines, byPercentile(name, h, p.X))
		}
	}
	return p
}

func byPercentile(name string, h *hdrhistogram.Histogram, x []float64) line {
	l := line{Name: name}
	ended := false
	for _, x := range x {
		if ended {
			l.Values = append(l.Values, nil)
			continue
		}
		ended = x >= float64(h.TotalCount()) // the next would be the same
		l.Values = append(l.Values, logMS(h.ValueAtPercentile(100*(1-1/x))))
	}
	return l
}
