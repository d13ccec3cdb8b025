package report

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestTimeline: however coarse the steps, nothing is lost and nothing grows.
func TestTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines, total := []record.Line{header()}, int64(0)
		seconds := rapid.IntRange(1, 40).Draw(t, "seconds")
		for n := range seconds {
			opened := rapid.Int64Range(0, 5).Draw(t, "opened")
			total += opened
			s := &record.Sample{At: time.Duration(n+1) * time.Second, Open: n, Counts: map[record.Count]int64{record.Opened: opened}}
			if opened > 0 {
				s.Histograms = map[record.Measure][]byte{record.Echo: encode(t, slices.Repeat([]int64{5000}, int(opened))...)}
			}
			lines = append(lines, record.Line{Sample: s})
		}
		run := readRun(t, file(t, lines...))
		most := rapid.IntRange(1, 50).Draw(t, "most")
		line := run.timeline(most)
		if len(line.steps) > most || len(line.steps) != len(line.x) || line.x[len(line.x)-1] < float64(seconds) {
			t.Fatalf("%d steps of %d, to %v", len(line.steps), most, line.x)
		}
		var opened, echoes int64
		for i := range line.steps {
			opened += line.steps[i].Counts[record.Opened]
			if h := line.steps[i].Histogram(record.Echo); h != nil {
				echoes += h.TotalCount()
			}
		}
		if opened != total || echoes != total || line.steps[len(line.steps)-1].Open != seconds-1 {
			t.Fatalf("%d opened, %d echoes of %d", opened, echoes, total)
		}
	})
}

// TestPlots: each line has a value for each moment, and what the run does not have
// is not drawn.
func TestPlots(t *testing.T) {
	titles := map[string]int{}
	for _, p := range readRun(t, file(t, story(t)...)).plots() {
		titles[p.Title] = len(p.Lines)
		for _, l := range p.Lines {
			if len(l.Values) != len(p.X) || !slices.IsSorted(p.X) {
				t.Errorf("%s, %s: %d values at %v", p.Title, l.Name, len(l.Values), p.X)
			}
		}
	}
	for title, lines := range map[string]int{
		"open connections": 1, "connects per second": 2, "messages per second": 2, "closes per second by code": 1,
		"server: memory and CPU": 3, "latencies by percentile": 4, "broadcasts, from the first receiver to the last": 1,
		"reconnect, from lost to open": 0, "handshake": 4,
	} {
		if titles[title] != lines {
			t.Errorf("%s has %d lines, want %d", title, titles[title], lines)
		}
	}
	if empty := readRun(t, file(t, record.Line{Header: &record.Header{Version: record.Version}})).plots(); len(empty) != 1 {
		t.Errorf("plots of nothing: %+v", empty)
	}
}
