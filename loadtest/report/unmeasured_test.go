package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// text is a run's summary for people.
func text(t *testing.T, lines ...record.Line) string {
	t.Helper()
	var out bytes.Buffer
	if err := Text(&out, read(t, file(t, append([]record.Line{header()}, lines...)...))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestNothingExpired: a run that was ended before says so, and not that it was on time.
func TestNothingExpired(t *testing.T) {
	sample := func(h map[record.Measure][]byte, counts map[record.Count]int64) record.Line {
		return record.Line{Sample: &record.Sample{At: time.Second, Open: 3, Histograms: h, Counts: counts}}
	}
	f := func(want, not string, line record.Line) {
		t.Helper()
		if got := text(t, line); !strings.Contains(got, want) || not != "" && strings.Contains(got, not) {
			t.Errorf("%q, without %q: got\n%s", want, not, got)
		}
	}
	f("expiry       nothing expired while the run lasted\n", "ticks", sample(nil, nil))
	f("0 on time or late, 2 early, 0 never", "ticks", sample(nil, map[record.Count]int64{record.Early: 2}))
	f("1 on time or late, 0 early, 0 never, 0.5 ticks late", "", sample(map[record.Measure][]byte{record.Expiry: encode(t, int64(time.Second/2))}, nil))
}

// TestNothingDrained: a server that was not told to leave has not done so perfectly.
func TestNothingDrained(t *testing.T) {
	if got := text(t, record.Line{Sample: &record.Sample{At: time.Second, Open: 3}}); !strings.Contains(got, "drain        nothing closed while the run lasted\n") {
		t.Error(got)
	}
}

// TestCPUOfAShortHold: between one look and itself there is no CPU to tell.
func TestCPUOfAShortHold(t *testing.T) {
	const s = time.Second
	look := func(at, cpu time.Duration) []record.Line {
		p := record.Process{PID: 1, CPU: cpu, RSS: 5000, FDs: -1, Goroutines: -1, Delay: -1}
		return []record.Line{{Server: &record.Server{At: at, Process: &p}}, {Sample: &record.Sample{At: at, Process: p}}}
	}
	run := func(until time.Duration) string {
		lines := append(look(s, s/10), record.Line{Mark: &record.Mark{At: s, Text: "holding"}})
		for at := 2 * s; at <= 6*s; at += s {
			lines = append(lines, look(at, at/10)...)
		}
		return text(t, append(lines, record.Line{Mark: &record.Mark{At: until, Text: "leaving"}})...)
	}
	if got := run(s + s/2); strings.Count(got, "unknown (hold too short) CPU while held") != 2 || strings.Contains(got, "% CPU while held") {
		t.Errorf("a short hold:\n%s", got)
	}
	if got := run(5 * s); strings.Count(got, "10 % CPU while held") != 2 {
		t.Errorf("a long hold:\n%s", got)
	}
}
