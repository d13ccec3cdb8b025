package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// TestNothingIsLeftWithoutConnections: a drain that has let all go does not promise to
// last for the rest of its two minutes.
func TestNothingIsLeftWithoutConnections(t *testing.T) {
	var out bytes.Buffer
	plan := scenario.Scenario{Connections: 9, Drain: &scenario.Drain{Within: scenario.Duration(2 * time.Minute)}}
	p := newProgress(&options{scenario: plan}, &out)
	p.observe(record.Line{Header: &record.Header{Workers: 1}})
	f := func(want string, phase string, open int) {
		t.Helper()
		out.Reset()
		p.observe(record.Line{Mark: &record.Mark{At: time.Second, Text: phase}})
		p.observe(record.Line{Sample: &record.Sample{At: 2 * time.Second, Open: open}})
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("%s: %q, want %q", phase, got, want)
		}
	}
	f("2s draining: 4 of 9 open, ETA 1m59s", "draining", 4)
	f("2s draining: 0 of 9 open", "draining", 0)
	f("2s waiting for the drain: 0 of 9 open, ETA 1m59s", "waiting for the drain", 0)
}
