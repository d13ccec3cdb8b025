package capacity

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rates are steps of a server that takes 1 % of a core and 20 ms for 1,000 messages, of
// which it has two for each of what is raised; the tool takes half as much.
func rates(broke float64, steps ...int) (all []RatePoint) {
	for _, n := range steps {
		messages := 2 * float64(n)
		all = append(all, RatePoint{
			Rate: n, Messages: messages, Server: 1 + messages*0.002, Tool: messages * 0.001, Held: float64(n) < broke,
		})
	}
	return all
}

func TestRatePlan(t *testing.T) {
	p := NewRatePlan(rates(30_000, 1000, 5000, 20_000, 40_000), 2, "p99(echo)<50ms is broken by 80ms")
	if p.Highest != 20_000 || p.Messages != 2 || p.CPU == nil || p.CPU.PerThousandMessages < 19.99 || p.CPU.PerThousandMessages > 20.01 {
		t.Errorf("%+v, CPU %+v", p, p.CPU)
	}
	near := func(a, b int) bool { return a >= b-1 && a <= b+1 }
	if len(p.Limits) != 2 || !near(p.Limits[0].Rate, 33_166) || !near(p.Limits[1].Rate, 49_750) { // 199 % over 0.004 + 0.002, and 0.004
		t.Errorf("%+v", p.Limits)
	}
	var text bytes.Buffer
	if err := p.Text(&text); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "rate.txt")
	if *update {
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(text.Bytes(), want) {
		t.Errorf("%v, got\n%s", err, text.String())
	}
}

// TestFirstRateLimit has what broke first be one thing after the other.
func TestFirstRateLimit(t *testing.T) {
	f := func(want string, cpus int, why string, broke RatePoint) {
		t.Helper()
		broke.Rate = 9000
		p := NewRatePlan(append(rates(1e9, 1000), broke, RatePoint{Rate: 20_000, Server: 1}), cpus, why)
		if !strings.HasPrefix(p.First.Name, want) || p.First.Setting == "" {
			t.Errorf("%+v, want %s", p.First, want)
		}
	}
	f("CPU: the server used 180 % of 200", 2, "", RatePoint{Server: 180, Tool: 15, Saturated: true})
	f("CPU that the server shares with the tool: 100 and 80 % of 200", 2, "", RatePoint{Server: 100, Tool: 80})
	f("the tool itself", 4, "", RatePoint{Server: 100, Tool: 80, Saturated: true})
	f("descriptors", 4, "errors==0 is broken by no descriptors", RatePoint{Server: 10})
	f("not CPU, of which the server used 100 % of 400", 4, "", RatePoint{Server: 100})
	f("unknown", 0, "", RatePoint{Server: 100})
	if p := NewRatePlan(rates(1e9, 1000, 2000), 2, ""); p.First.Name != "none was met" || !strings.Contains(p.First.Setting, "--most") {
		t.Errorf("%+v", p.First)
	}
	if p := NewRatePlan(rates(1e9, 1000), 2, "interrupted after 3s"); p.First.Name != "none was met: interrupted after 3s" || strings.Contains(p.First.Setting, "--most") {
		t.Errorf("cut short: %+v", p.First)
	}
	if p := NewRatePlan(rates(1e9, 1000), 2, ""); p.CPU != nil || p.Limits != nil || p.Highest != 1000 {
		t.Errorf("from one point: %+v", p)
	}
	if p := NewRatePlan(rates(1, 1000), 2, ""); p.Highest != 0 || p.Limits != nil {
		t.Errorf("nothing held: %+v", p)
	}
}
