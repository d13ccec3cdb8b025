package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wheelgate/wheelgate/loadtest/report"
)

// TestDrainOfTheGatewayInTheHold has the real server told to leave while a hold of an
// hour has hardly begun: all of its closes are measured, and the run ends with them.
func TestDrainOfTheGatewayInTheHold(t *testing.T) {
	g := startGateway(t, "--drain-window=2s")
	summary := filepath.Join(t.TempDir(), "run.json")
	p := startProgram(t, "run", "drain", "--url", g.ws, "--connections=60", "--connect-rate=0", "--hold=1h", "--json", summary, "--allow-saturated")
	p.await(t, "holding: 60 of 60 open")
	if err := g.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await(t, "draining")
	if code := p.exit(t); code != exitDone {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	var s report.Summary
	text, err := os.ReadFile(summary)
	if err != nil || json.Unmarshal(text, &s) != nil || s.Drain == nil {
		t.Fatalf("%v: %s", err, text)
	}
	if d := s.Drain; d.Closes != 60 || d.Seconds < 1.5 || d.Ratio < 1 || d.Ratio > 3 {
		t.Errorf("%+v", d)
	}
}
