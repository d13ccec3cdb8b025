package capacity

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// machine has every limit.
var machine = Machine{
	CPUs: 2, Memory: 24 << 30, Page: 4096, Descriptors: 20_000, Processes: 1,
	Sysctls: map[string][]int{
		"fs.file-max": {1_000_000}, "fs.nr_open": {1_048_576}, "net.ipv4.ip_local_port_range": {32768, 60999},
		"net.ipv4.tcp_mem": {188_000, 250_000, 376_000}, "net.core.somaxconn": {4096}, "net.netfilter.nf_conntrack_max": {262_144},
	},
}

// server is a synthetic one: 20 MiB and 300 bytes per session, 0.1 % of a core for
// 1,000 idle sessions, 20 ms for 1,000 messages.
func server(sessions int, messages float64) Point {
	n := float64(sessions)
	return Point{
		Sessions: sessions, RSS: 20<<20 + 300*int64(sessions), Sockets: 700 * int64(sessions), Structures: 2500 * int64(sessions), Descriptors: 20 + sessions,
		CPU: 0.5 + 0.1*n/1000 + 100*0.020*messages/1000, Messages: messages,
	}
}

func TestGolden(t *testing.T) {
	plan, err := NewPlan([]Point{server(1000, 900), server(2000, 1500), server(4000, 2500), server(8000, 8000)}, machine)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := plan.Text(&text); err != nil {
		t.Fatal(err)
	}
	figures, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"plan.txt": text.Bytes(), "plan.json": figures} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

// TestFirstLimit moves one limit after the other below all others.
func TestFirstLimit(t *testing.T) {
	f := func(want int, change func(*Machine)) {
		t.Helper()
		m := machine
		m.Sysctls = map[string][]int{}
		for name, values := range machine.Sysctls {
			m.Sysctls[name] = values
		}
		change(&m)
		plan, err := NewPlan([]Point{server(1000, 100), server(2000, 300), server(4000, 400)}, m)
		if err != nil {
			t.Fatal(err)
		}
		if plan.First == nil || plan.First.Sessions != want || plan.First.Setting == "" || plan.First.Elsewhere {
			t.Errorf("%+v, want %d sessions", plan.First, want)
		}
	}
	f(19_980, func(*Machine) {})
	f(280, func(m *Machine) { m.Descriptors = 300 })
	f(480, func(m *Machine) { m.Sysctls["fs.file-max"] = []int{500} })
	f(1980, func(m *Machine) { m.Sysctls["fs.nr_open"], m.Processes = []int{1000}, 2 })
	f(77, func(m *Machine) { m.Sysctls["net.netfilter.nf_conntrack_max"] = []int{77} })
	f(585, func(m *Machine) { m.Sysctls["net.ipv4.tcp_mem"] = []int{1, 2, 100} })
	f(299, func(m *Machine) { m.Memory = 21 << 20 })
	f(19_980, func(m *Machine) { m.Sysctls["net.ipv4.ip_local_port_range"] = []int{10, 12} }) // not the server's
	talking, err := NewPlan([]Point{server(1000, 5000), server(2000, 20_000), server(4000, 40_000)}, Machine{CPUs: 2, Descriptors: 1 << 40})
	if err != nil || len(talking.Limits) != 1 || talking.First.Sessions != 9925 { // (200 - 0.5) / (0.0001 + 10 * 0.002)
		t.Errorf("%v: %+v", err, talking)
	}
	none, err := NewPlan([]Point{server(1000, 0), server(2000, 0)}, Machine{})
	if err != nil || len(none.Limits) > 0 || none.First != nil {
		t.Errorf("limits of an unknown machine: %v, %+v", err, none)
	}
}

func TestNoPlan(t *testing.T) {
	for _, bad := range [][]Point{nil, {server(1000, 0)}, {server(1000, 0), server(1000, 5)}, {{Sessions: 1, RSS: 9}, {Sessions: 2, RSS: 8}}} {
		if _, err := NewPlan(bad, machine); err == nil {
			t.Errorf("a plan from %v", bad)
		}
	}
}

// TestFitCPU finds the causes again that the points were made of.
func TestFitCPU(t *testing.T) {
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-4*max(1, math.Abs(b)) }
	rapid.Check(t, func(t *rapid.T) {
		base, idle, message := rapid.Float64Range(0.1, 5).Draw(t, "base"), rapid.Float64Range(0.01, 2).Draw(t, "idle"), rapid.Float64Range(1, 100).Draw(t, "message")
		truth := CPU{Base: base, PerThousandIdle: idle, PerThousandMessages: message}
		rate := rapid.Float64Range(0.1, 10).Draw(t, "messages per session")
		points := func(messages func(i, n int) float64) (all []Point) {
			for i, n := range []int{1000, 2000, 4000, 9000} {
				p := Point{Sessions: n, Messages: messages(i, n)}
				p.CPU = truth.At(float64(n), p.Messages)
				all = append(all, p)
			}
			return all
		}
		c := FitCPU(points(func(int, int) float64 { return 0 }))
		if c == nil || c.Together || !near(c.Base, base) || !near(c.PerThousandIdle, idle) || c.PerThousandMessages != 0 || c.Error > 1e-6 {
			t.Fatalf("idle: %+v, want %+v", c, truth)
		}
		c = FitCPU(points(func(i, n int) float64 { return rate * float64(n*(i%2+1)) }))
		if c == nil || c.Together || !near(c.Base, base) || !near(c.PerThousandIdle, idle) || !near(c.PerThousandMessages, message) {
			t.Fatalf("apart: %+v, want %+v", c, truth)
		}
		c = FitCPU(points(func(_, n int) float64 { return rate * float64(n) }))
		if c == nil || !c.Together || !near(c.Base, base) || !near(c.At(3000, 3000*rate), truth.At(3000, 3000*rate)) {
			t.Fatalf("together: %+v, want %+v", c, truth)
		}
		if c := FitCPU([]Point{{Sessions: 1, CPU: 1}}); c != nil {
			t.Fatalf("from one point: %+v", c)
		}
	})
}

// TestFit: the line of points on a line is that line, and a point beside it is told.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, slope := rapid.Float64Range(0, 1e9).Draw(t, "base"), rapid.Float64Range(0.1, 1e4).Draw(t, "slope")
		x := []float64{1000, 2000, 4000, 9000}
		var y []float64
		for _, x := range x {
			y = append(y, base+slope*x)
		}
		l, err := Fit(x, y)
		if err != nil || math.Abs(l.At(20_000)/(base+slope*20_000)-1) > 1e-6 || l.Error > 1e-6 {
			t.Fatalf("%+v, %v", l, err)
		}
		y[1] *= 1.5
		if l, _ := Fit(x, y); l.Error < 0.1 {
			t.Fatalf("with a point 50 %% beside it: %+v", l)
		}
	})
}

// TestUnknownStructures: if one point does not know them, the plan does not guess.
func TestUnknownStructures(t *testing.T) {
	points := []Point{server(1000, 0), server(2000, 0), server(4000, 0)}
	known, err := NewPlan(points, machine)
	if err != nil || known.Structures == nil || math.Abs(known.Structures.Slope-2500) > 0.01 || known.Fits[0].Together != 300_791 { // 1 GiB - 20 MiB over 3,500
		t.Errorf("%v: %+v, %+v", err, known.Structures, known.Fits)
	}
	points[1].Structures = 0
	plan, err := NewPlan(points, machine)
	if err != nil || plan.Structures != nil || plan.Fits[0].Together != 1_052_770 {
		t.Errorf("%v: %+v, %+v", err, plan.Structures, plan.Fits)
	}
	var text bytes.Buffer
	if err := plan.Text(&text); err != nil || !bytes.Contains(text.Bytes(), []byte("structures   unknown")) || !bytes.Contains(text.Bytes(), []byte("buffers alone")) {
		t.Errorf("%v\n%s", err, text.String())
	}
}
