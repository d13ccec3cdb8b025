package report

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestProcesses: a server that ended stays what it was, one that was started anew
// begins anew, and what a worker did before the run is not the run's.
func TestProcesses(t *testing.T) {
	const s = time.Second
	server := func(at time.Duration, target, pid int, cpu time.Duration, rss int64) record.Line {
		return record.Line{Server: &record.Server{At: at, Target: target, Process: &record.Process{PID: pid, CPU: cpu, RSS: rss, FDs: -1, Goroutines: -1}}}
	}
	worker := func(at, cpu time.Duration) record.Line {
		return record.Line{Sample: &record.Sample{
			At: at, Open: 10, Process: record.Process{PID: 9, CPU: cpu, RSS: 500, Delay: 100*s + cpu, FDs: -1, Goroutines: -1},
		}}
	}
	sum := read(t, file(
		t, header(),
		server(0, 0, 1, 5*s, 1000), server(0, 1, 2, 7*s, 100),
		worker(s, 1000*s), server(s, 0, 1, 6*s, 3000), server(s, 1, 2, 8*s, 200),
		worker(2*s, 1001*s), server(2*s, 0, 1, -1, -1), server(2*s, 1, 3, s, 300),
		record.Line{End: &record.End{At: 2 * s}},
	))
	if v := sum.Server; v.RSSBefore != 1100 || v.RSSPeak != 3300 || v.RSSAfter != 3300 || v.PerSession != 220 {
		t.Errorf("RSS: %+v", v)
	}
	if v := sum.Server; v.CPUSeconds != 1 || v.Goroutines != 0 || v.FDs != 0 {
		t.Errorf("the server used 1 s, and what is not known is 0: %+v", v)
	}
	if i := sum.Itself; i.CPUSeconds != 1 || i.PerConnection != 50 || i.DelayShare != 50 {
		t.Errorf("the tool used 1 s and waited for 1 s of 2: %+v", i)
	}
}

// TestOneProcessOfTwoTargets counts once, though it is looked at for each of them.
func TestOneProcessOfTwoTargets(t *testing.T) {
	const s = time.Second
	server := func(at time.Duration, target, pid int, rss int64) record.Line {
		return record.Line{Server: &record.Server{At: at, Target: target, Process: &record.Process{PID: pid, CPU: at, RSS: rss, FDs: 10}}}
	}
	sum := read(t, file(
		t, header(),
		server(1, 1, 5, 1000), server(2, 0, 5, 1000), server(3, 2, 6, 100),
		record.Line{Sample: &record.Sample{At: s, Open: 10}},
		server(s, 1, 5, 3000), server(s, 0, 5, 3000), server(s, 2, 6, 300),
		record.Line{End: &record.End{At: s}},
	))
	if v := sum.Server; v.RSSBefore != 1100 || v.RSSPeak != 3300 || v.FDs != 20 || v.PerSession != 220 {
		t.Errorf("%+v", v)
	}
}
