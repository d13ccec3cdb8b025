package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestEchoAgainstTheGateway is a whole run: records, progress, exit code.
func TestEchoAgainstTheGateway(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "echo", "--url", g.echo, "--connections=20", "--connect-rate=100", "--rate=50", "--hold=2s",
		"--workers=2", "--out", out, "--metrics", g.admin+"/metrics", "--allow-saturated")
	if o.code != exitDone {
		t.Fatalf("%+v", o)
	}
	lines := readLines(t, out)
	if lines[0].Header == nil || lines[len(lines)-1].End == nil {
		t.Errorf("%d lines, the first %+v", len(lines), lines[0])
	}
	if count(lines, record.Opened) != 20 || count(lines, record.Received) != 100 || count(lines, record.Dropped) != 0 {
		t.Errorf("opened %d, received %d", count(lines, record.Opened), count(lines, record.Received))
	}
	process, metrics := false, false
	for _, line := range lines {
		if line.Server != nil && line.Server.Target == 0 {
			process = process || line.Server.Process != nil && line.Server.Process.RSS > 0
			metrics = metrics || line.Server.Metrics["go_goroutines"] > 0
		}
	}
	if !process || !metrics {
		t.Errorf("the server's process was seen: %v, its metrics: %v", process, metrics)
	}
	if !strings.Contains(o.stderr, "holding: 20 of 20 open") || !strings.Contains(o.stderr, "ETA") {
		t.Errorf("progress: %s", o.stderr)
	}
}

// TestBlindRunsAreRefused: what a user asks to look at, and cannot be seen, is told before
// the run.
func TestBlindRunsAreRefused(t *testing.T) {
	g := startGateway(t)
	f := func(fault string, args ...string) {
		t.Helper()
		o := try(t, append([]string{"run", "idle", "--url", g.ws, "--connections=1", "--hold=0s", "--quiet", "--allow-saturated"}, args...)...)
		if o.code != exitUsage || !strings.HasPrefix(o.stderr, "loadtest: "+fault) || o.stdout != "" {
			t.Errorf("%v: %+v", args, o)
		}
	}
	f("--metrics: "+g.admin+"/nothing answers 404", "--metrics", g.admin+"/nothing")
	f(`--metrics: Get "http://127.0.0.1:1/": `, "--metrics=http://127.0.0.1:1/")
	f(`--server-pid: bad value "4194305": must be a process of this machine`, "--server-pid=4194305") // above what Linux has
}

func TestBroadcastAgainstTheGateway(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "broadcast", "--url", g.ws, "--connections=20", "--connect-rate=100", "--rate=4", "--hold=1s", "--quiet",
		"--broadcast-url", g.admin+"/v1/broadcast", "--out", out, "--allow-saturated")
	if o.code != exitDone || o.stderr != "" || !strings.Contains(o.stdout, "broadcast") {
		t.Fatalf("%+v", o)
	}
	receipts := 0
	for _, line := range readLines(t, out) {
		if line.Broadcast != nil {
			receipts += line.Broadcast.Receipts
		}
	}
	if receipts != 4*20 {
		t.Errorf("%d receipts", receipts)
	}
}

// TestExpiryAgainstTheGateway: all sessions of the real server expire, none early.
func TestExpiryAgainstTheGateway(t *testing.T) {
	g := startGateway(t, "--session-timeout=2s", "--tick=100ms")
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "idle", "--url", g.ws, "--connections=50", "--connect-rate=100", "--hold=100ms", "--expiry=2s", "--tick=100ms",
		"--out", out, "--quiet", "--allow-saturated")
	if o.code != exitDone {
		t.Fatalf("%+v", o)
	}
	lines, expired := readLines(t, out), int64(0)
	for _, line := range lines {
		if line.Sample != nil {
			expired += line.Sample.Closes[4202]
		}
	}
	if expired != 50 || count(lines, record.Early) != 0 || count(lines, record.Unexpired) != 0 {
		t.Errorf("%d expired, %d early, %d not", expired, count(lines, record.Early), count(lines, record.Unexpired))
	}
	if h := lines[0].Header; h.Expiry != 2*time.Second || h.Tick != 100*time.Millisecond {
		t.Errorf("%+v", h)
	}
}
