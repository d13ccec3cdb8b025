package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/loadtest/capacity"
	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/report"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// TestCapacityFindsWhatHolds has an objective that 50 connections break.
func TestCapacityFindsWhatHolds(t *testing.T) {
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "plan.json")
	o := try(t, "capacity", "idle", "--url", g.ws, "--from=20", "--most=1000", "--hold=2500ms", "--slo=open<50,failed==0", "--max-lag=1m", "--json", file)
	var r result
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &r) != nil {
		t.Fatalf("%v: %+v", err, o)
	}
	if o.code != exitDone || r.Raised != "connections" || r.Best < 40 || r.Best > 49 || r.Broke < 50 || r.Broke > 60 {
		t.Errorf("%+v\n%s", o, text)
	}
	if !strings.HasPrefix(o.stderr, "20 connections: held\n40 connections: held\n80 connections: did not hold: open<50 is broken by 80\n") {
		t.Errorf("steps: %s", o.stderr)
	}
	if !strings.HasPrefix(o.stdout, "held    ") {
		t.Errorf("%s", o.stdout)
	}
}

func TestCapacityThatDoesNotHoldAtAllFails(t *testing.T) {
	g := startGateway(t)
	o := try(t, "capacity", "echo", "--url", g.echo, "--raise=rate", "--connections=5", "--from=20", "--most=40", "--hold=200ms", "--slo=p50(echo)<1us", "--max-lag=1m")
	if o.code != exitFailure || !strings.Contains(o.stderr, "20 per second: did not hold: p50(echo)<1us is broken by ") ||
		!strings.HasSuffix(o.stderr, "loadtest: not even the first step held\n") {
		t.Errorf("%+v", o)
	}
}

// fickle says goodbye to every second client as soon as it is in.
type fickle struct {
	gws.BuiltinEventHandler
	came atomic.Int64
}

func (f *fickle) OnOpen(c *gws.Conn) {
	if f.came.Add(1)%2 == 0 {
		c.WriteClose(1013, nil)
	}
}

// TestCapacityOfAServerThatLosesSessions: a server that lets all in and half of them
// go again has not held them, though each close was in order.
func TestCapacityOfAServerThatLosesSessions(t *testing.T) {
	upgrader := gws.NewUpgrader(&fickle{}, nil)
	var serving sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := upgrader.Upgrade(w, r); err == nil {
			serving.Go(c.ReadLoop)
		}
	}))
	t.Cleanup(func() { s.Close(); serving.Wait() })
	o := try(t, "capacity", "idle", "--url=ws"+strings.TrimPrefix(s.URL, "http"), "--from=10", "--most=10", "--hold=300ms", "--max-lag=1m")
	if o.code != exitFailure || !strings.HasPrefix(o.stderr, "10 connections: did not hold: closed==0 is broken by 5\n") {
		t.Errorf("%+v", o)
	}
}

func TestDefaultObjectives(t *testing.T) {
	for name, want := range map[string]bool{"idle": true, "echo": true, "churn": true, "storm": true, "slow-readers": false, "expiry": false, "drain": false} {
		text, _ := scenario.Ready(name)
		s, err := scenario.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		slo := defaultSLO(s)
		if _, err := report.ParseObjectives(slo); err != nil || strings.Contains(slo, "closed==0") != want {
			t.Errorf("%s: %s (%v)", name, slo, err)
		}
	}
}

func TestBadCapacityCommandLines(t *testing.T) {
	const url = "--url=ws://127.0.0.1:1/ws"
	f := func(line string, args ...string) {
		t.Helper()
		try(t, append([]string{"capacity"}, args...)...).wantFault(t, exitUsage, line)
	}
	f(`capacity: needs one scenario, a name or a file, and not 0: see loadtest capacity --help`, url)
	f(`--raise: bad value "hell": must be connections or rate`, "idle", url, "--raise=hell")
	f(`--raise: scenario idle has no rate to raise`, "idle", url, "--raise=rate")
	f(`--from: bad value "0": must be a whole number from 1 to 10000000`, "idle", url, "--from=0")
	f(`--most: 5 is below --from, 1000`, "idle", url, "--most=5")
	none := filepath.Join(t.TempDir(), "none", "plan.json")
	f(`--json: bad value "`+none+`": must be a file in a folder that exists, or -`, "idle", url, "--json", none)
	f(`--url: cannot connect to ws://127.0.0.1:1/ws: connection refused: nobody listens there`, "idle", url)
}

// TestCapacityTellsWhatItHasWhenTheServerDies kills the server in the third step: the
// next, smaller one finds nobody there.
func TestCapacityTellsWhatItHasWhenTheServerDies(t *testing.T) {
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "plan.json")
	p := startProgram(t, "capacity", "echo", "--url", g.echo, "--raise=rate", "--connections=5", "--from=20", "--most=80", "--hold=3s", "--max-lag=1m", "--slo=dropped==0", "--progress", "--json", file)
	p.await(t, "40 per second: held")
	p.await(t, "holding: 5 of 5 open")
	_ = g.process.Kill()
	if code := p.exit(t); code != exitFailure || !strings.Contains(p.lines[len(p.lines)-1], "loadtest: the step with 60: --url: cannot connect to ") {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	var r result
	if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &r) != nil || r.Best != 40 || r.Broke != 80 || r.Cut == "" || r.Rates == nil || strings.HasPrefix(r.Rates.First.Name, "unknown") {
		t.Errorf("%v: %s", err, text)
	}
}

// TestCapacityTellsWhatItHasWhenInterrupted sends SIGINT in the second step.
func TestCapacityTellsWhatItHasWhenInterrupted(t *testing.T) {
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "plan.json")
	p := startProgram(t, "capacity", "echo", "--url", g.echo, "--raise=rate", "--connections=5", "--from=20", "--hold=1s", "--max-lag=1m", "--slo=dropped==0", "--json", file)
	p.await(t, "20 per second: held")
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != exitFailure || !strings.HasPrefix(p.lines[len(p.lines)-1], "loadtest: the step with 40: interrupted ") {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	var r result
	if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &r) != nil || r.Best != 20 || r.Rates == nil || r.Rates.First.Name != "none was met: "+r.Cut {
		t.Errorf("%v: %s", err, text)
	}
}

func TestUnwritablePlanIsStillTold(t *testing.T) {
	var out bytes.Buffer
	c := &climb{json: filepath.Join(t.TempDir(), "none", "plan.json")}
	if err := c.write(result{Best: 5}, streams{out: &out}); err == nil || !strings.HasPrefix(out.String(), "held    5 connections\n") {
		t.Errorf("%v, %s", err, out.String())
	}
}

// TestFewerConnectionsThanSenders: the search may halve to fewer than a scenario's senders.
func TestFewerConnectionsThanSenders(t *testing.T) {
	text, _ := scenario.Ready("mixed")
	s, err := scenario.Parse(text)
	if err != nil || s.Messages.Senders < 2 {
		t.Fatalf("%+v, %v", s.Messages, err)
	}
	before := s.Plan()
	small := withConnections(s, s.Messages.Senders/2)
	if err := small.Validate(); err != nil || small.Messages.Senders != small.Connections || s.Plan() != before {
		t.Errorf("%v: %+v of %d", err, small.Messages, small.Connections)
	}
}

// TestHeldMemoryIsOfTheHold has a server that grew while all connected, and again
// when they left.
func TestHeldMemoryIsOfTheHold(t *testing.T) {
	line := func(at time.Duration, target int, rss int64) record.Server {
		return record.Server{At: at, Target: target, Process: &record.Process{PID: 7 + target, RSS: rss}}
	}
	run := &report.Run{
		Header: record.Header{Targets: []string{"a", "b"}},
		Marks:  []record.Mark{{At: 0}, {At: 10, Text: "holding"}, {At: 20, Text: "leaving"}},
		Servers: []record.Server{
			line(5, 0, 900), line(5, 1, 90), line(15, 0, 500), line(16, 1, 50), {At: 17, Target: record.WholeMachine}, line(25, 0, 800),
		},
	}
	if got := heldMemory(run); got != 550 {
		t.Errorf("%d", got)
	}
	shared := line(18, 2, 500)
	shared.Process.PID = 7 // of a
	run.Header.Targets, run.Servers = append(run.Header.Targets, "c"), append(run.Servers, shared)
	if got := heldMemory(run); got != 550 {
		t.Errorf("%d, with a process of two targets", got)
	}
	run.Header.Targets = append(run.Header.Targets, "d")
	if got := heldMemory(run); got != 0 {
		t.Errorf("%d, though one server is unknown", got)
	}
}

func TestWithRateLeavesTheOriginalAlone(t *testing.T) {
	for _, name := range []string{"echo", "broadcast", "churn"} {
		text, _ := scenario.Ready(name)
		s, err := scenario.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		before := s.Plan()
		if after := withRate(s, 77); after.Plan() == before || s.Plan() != before {
			t.Errorf("%s: %+v, then %+v", name, before, after.Plan())
		}
	}
}

// TestCapacityOfRates: what is raised is the rate, and the plan is of CPU.
func TestCapacityOfRates(t *testing.T) {
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "plan.json")
	args := []string{"capacity", "echo", "--url", g.echo, "--raise=rate", "--connections=5", "--from=100", "--most=400", "--hold=3s", "--max-lag=1m", "--slo=dropped==0"}
	o := try(t, append(args, "--json", file)...)
	var r result
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &r) != nil || r.Rates == nil {
		t.Fatalf("%v: %+v", err, o)
	}
	if p := r.Rates; o.code != exitDone || p.Highest != 400 || len(p.Points) != 3 || p.Messages < 1.8 || p.Messages > 2.2 || p.First.Name != "none was met" {
		t.Errorf("%+v\n%s", o, text)
	}
	if !strings.Contains(o.stdout, "held    400 per second\n") || !strings.Contains(o.stdout, "\nCPU ") || !strings.HasSuffix(o.stdout, "\nfirst limit: none was met; moved by --most, which ended the search\n") {
		t.Errorf("%s", o.stdout)
	}
}

// TestCapacityTellsCPUOfAFixedRate: sessions alone grow there, so that the plan cannot tell
// what the messages took; what was measured is told all the same.
func TestCapacityTellsCPUOfAFixedRate(t *testing.T) {
	var out bytes.Buffer
	if err := (&climb{}).text(result{Best: 1400, CPU: 19.64, Plan: &capacity.Plan{}}, streams{out: &out}); err != nil {
		t.Fatal(err)
	}
	if want := "CPU     19.6 ms of the server's per 1,000 messages in or out with 1,400 connections, all included\n"; !strings.Contains(out.String(), want) {
		t.Errorf("%s: no %s", out.String(), want)
	}
}
