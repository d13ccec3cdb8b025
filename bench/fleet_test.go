//go:build linux && !race

package bench_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fleetSize is how many sessions TestFleet opens; `make bench-100k` gives it 100,000.
var fleetSize = flag.Int("fleet", 0, "how many sessions TestFleet opens; 0 is a few, for a moment")

// TestFleet has loadtest open sessions at as many gateways as the descriptor limit
// asks for: once to wait until all have expired, once to broadcast to all. The
// gateways have default settings but the timeout and its tick.
func TestFleet(t *testing.T) {
	n, rate, hold, timeout, tick := *fleetSize, "2500", 40*time.Second, time.Minute, time.Second
	if n == 0 {
		n, rate, hold, timeout, tick = 2000, "1000", 3*time.Second, 8*time.Second, 400*time.Millisecond
	}
	gateways := max(2, (n+perGateway(t)-1)/perGateway(t))
	var urls, broadcasts, metrics []string
	for range gateways {
		p := run(t, "--session-timeout="+timeout.String(), "--tick="+tick.String())
		urls = append(urls, "ws://"+p.addr+"/ws")
		broadcasts = append(broadcasts, "http://"+p.admin+"/v1/broadcast")
		metrics = append(metrics, "http://"+p.admin+"/metrics")
	}
	tool := func(scenario string, args ...string) summary {
		s := loadtest(t, append([]string{
			"run", scenario, "--allow-saturated", "--connections", strconv.Itoa(n), "--connect-rate", rate,
			"--url", strings.Join(urls, ","), "--metrics", strings.Join(metrics, ","),
		}, args...)...)
		t.Logf("%s: %d sessions at %d gateways, %d workers", scenario, s.PeakOpen, gateways, s.Workers)
		if s.PeakOpen != n || s.Counts["failed"] != 0 {
			t.Errorf("%d of %d were open at once, %d failed: %v", s.PeakOpen, n, s.Counts["failed"], s.Errors)
		}
		return s
	}
	e := tool("idle", "--hold", "1s", "--expiry", timeout.String(), "--tick", tick.String()).Expiry
	if e.Count != n || e.Early != 0 || e.Unexpired != 0 {
		t.Errorf("%d of %d expired, %d early, %d never", e.Count, n, e.Early, e.Unexpired)
	}
	if *fleetSize != 0 && e.P99Ticks > 2 { // it is what the figure is for
		t.Errorf("the p99 of lateness is %.2f ticks", e.P99Ticks)
	}
	b := tool("broadcast", "--hold", hold.String(), "--rate", fmt.Sprint(4/hold.Seconds()),
		"--broadcast-url", strings.Join(broadcasts, ",")).Broadcasts
	if b.Count == 0 || b.Missing != 0 {
		t.Errorf("%d broadcasts, %d deliveries missing", b.Count, b.Missing)
	}
}

// perGateway is how many sessions one process may hold, less a reserve.
func perGateway(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const reserve = 1000
	return int(min(limit.Max, 1<<20)) - reserve
}

// summary is the part of loadtest's that is looked at.
type summary struct {
	PeakOpen   int            `json:"peak_open"`
	Workers    int            `json:"workers"`
	Counts     map[string]int `json:"counts"`
	Errors     map[string]int `json:"errors_by_kind"`
	Broadcasts struct{ Count, Missing int }
	Expiry     struct {
		Count, Early, Unexpired int
		P99Ticks                float64 `json:"lateness_p99_ticks"`
	}
}

// loadtest runs the load tool, which shows its progress and text on our stderr.
func loadtest(t *testing.T, args ...string) (s summary) {
	t.Helper()
	tool, result := buildTool(t), filepath.Join(t.TempDir(), "summary.json")
	cmd := exec.Command(tool, append(args, "--json", result)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if !testing.Verbose() {
		cmd.Stdout, cmd.Stderr = nil, nil
	}
	err := cmd.Run()
	text, err2 := os.ReadFile(result)
	if err2 == nil {
		err2 = json.Unmarshal(text, &s)
	}
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(fmt.Errorf("loadtest: %w", err))
	}
	return s
}
