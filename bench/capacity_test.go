//go:build linux && !race

package bench_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// capacitySize is how many sessions the plan of TestCapacityPlan is checked against.
var capacitySize = flag.Int("capacity", 9000, "how many sessions the plan of loadtest capacity is checked against; a multiple of 8")

// TestCapacityPlan has loadtest capacity plan from an eighth, a quarter and half of
// the sessions, and then opens all: the plan may be wrong about the gateway's memory
// by 10 %.
func TestCapacityPlan(t *testing.T) {
	const tries = 3 // what else runs on the machine moves when garbage is collected
	for i := range tries {
		if planHolds(t, *capacitySize) {
			return
		}
		t.Logf("try %d of %d was more than 10 %% off", i+1, tries)
	}
	t.Error("the plan is more than 10 % off each time")
}

// planHolds reports whether the plan for n sessions is within 10 % of what they take.
func planHolds(t *testing.T, n int) bool {
	t.Helper()
	p := run(t)
	var result struct {
		Best, Broke int
		Why         string `json:"broke_because"`
		Plan        struct {
			Fits  []struct{ GiB, Process int }
			First struct {
				Name, Setting string
				Sessions      int
			} `json:"first_limit"`
		}
		Check struct {
			Sessions  int
			Predicted float64 `json:"predicted_rss_bytes"`
			Measured  float64 `json:"measured_rss_bytes"`
		}
	}
	tool, plan := buildTool(t), filepath.Join(t.TempDir(), "plan.json")
	cmd := exec.Command(tool, "capacity", "idle", "--url", "ws://"+p.addr+"/ws", "--max-lag=1m",
		"--from", strconv.Itoa(n/8), "--most", strconv.Itoa(n), "--slo", "errors==0, failed==0", "--json", plan)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	if result.Best != n || result.Broke != 0 {
		t.Errorf("%d of %d held: %s", result.Best, n, result.Why)
	}
	c := result.Check
	t.Logf("%d sessions take %.1f MiB, predicted were %.1f", c.Sessions, c.Measured/(1<<20), c.Predicted/(1<<20))
	if c.Sessions != n {
		t.Errorf("%d sessions were checked: %s", c.Sessions, text)
	}
	if first := result.Plan.First; first.Name == "" || first.Setting == "" || first.Sessions < n {
		t.Errorf("the first limit is %+v, and %d sessions were open", first, n)
	}
	return c.Predicted >= 0.9*c.Measured && c.Predicted <= 1.1*c.Measured
}

// buildTool builds loadtest and returns its path.
func buildTool(t *testing.T) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "loadtest")
	if out, err := exec.Command("go", "build", "-tags", "urfave_cli_no_template", "-o", tool, "../cmd/loadtest").CombinedOutput(); err != nil {
		t.Fatalf("building loadtest: %v\n%s", err, out)
	}
	return tool
}
