package loadtest

import (
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

func TestLevel(t *testing.T) {
	var l level
	want := func(peak int) {
		t.Helper()
		if got := l.peak(); got != peak {
			t.Errorf("peak %d, want %d", got, peak)
		}
	}
	want(0)
	l.rise()
	l.rise()
	l.fall()
	want(2)
	want(1)
	l.fall()
	want(1)
	want(0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				l.rise()
			}
			for range 1000 {
				l.fall()
			}
		})
	}
	all.Wait()
	if got := l.peak(); got < 1000 || got > 8000 {
		t.Errorf("peak %d", got)
	}
	want(0)
}

// TestPeakBetweenSamples has all connections come and go between two samples.
func TestPeakBetweenSamples(t *testing.T) {
	s := (&server{opened: func(c *gws.Conn) {
		time.AfterFunc(100*time.Millisecond, func() { c.WriteClose(1001, nil) })
	}}).serve(t)
	o := run(t, t.Context(), Job{Targets: []string{s.url}, Scenario: parse(t, "connections: 30", "hold: 700ms")}, nil)
	o.want(t, map[record.Count]int64{record.Opened: 30, record.Closed: 30})
	if o.maxOpen != 0 || o.peak < 1 || o.peak > 30 {
		t.Errorf("%d open at a sample, at most %d", o.maxOpen, o.peak)
	}
	kept := run(t, t.Context(), Job{Targets: []string{(&server{}).serve(t).url}, Scenario: parse(t, "connections: 30", "hold: 100ms")}, nil)
	if kept.peak != 30 {
		t.Errorf("%d open at most of 30", kept.peak)
	}
}
