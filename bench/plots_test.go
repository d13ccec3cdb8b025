package bench_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

var update = flag.Bool("update", false, "draw the plots of docs/benchmarks.md anew from bench/results")

// plots are the bar charts of docs/benchmarks.md: a metric of a benchmark with a
// million sessions, by keeper.
var plots = []struct{ file, title, benchmark, unit string }{
	{"keepers-touch.svg", "A message, of a random one of 1,000,000 sessions: ns", "KeeperTouch/random", "ns/op"},
	{"keepers-wait.svg", "What a message waits at most while 1,000,000 sessions expire: ms", "KeeperStorm", "wait-max-ms"},
	{"keepers-goroutines.svg", "Goroutines while 1,000,000 sessions expire", "KeeperStorm", "goroutines"},
	{"keepers-memory.svg", "Memory: bytes of heap per session", "KeeperCalls", "heap-B/session"},
}

// TestPlots: the plots show what is in bench/results/keepers.txt. With -update it
// draws them.
func TestPlots(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("results", "keepers.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plots {
		var bars []bar
		for _, k := range keepers {
			value, ok := metric(string(text), "Benchmark"+p.benchmark+"/"+k.name+"/sessions=1000000-", p.unit)
			if !ok {
				t.Fatalf("no %s of %s in the results", p.unit, k.name)
			}
			bars = append(bars, bar{Name: k.name, Value: value})
		}
		drawing := draw(t, p.title, bars)
		path := filepath.Join("..", "docs", "images", p.file)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, drawing, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if drawn, err := os.ReadFile(path); err != nil || !bytes.Equal(drawn, drawing) {
			t.Errorf("%s does not show the results: go test ./bench -run TestPlots -update (%v)", path, err)
		}
	}
}

// metric finds "value unit" in the line of a benchmark.
func metric(results, benchmark, unit string) (value float64, ok bool) {
	for line := range strings.Lines(results) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], benchmark) {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if fields[i+1] == unit {
				value, err := strconv.ParseFloat(fields[i], 64)
				return value, err == nil
			}
		}
	}
	return 0, false
}

type bar struct {
	Name  string
	Value float64
	Y     int
	Width float64
	Text  string
}

var chart = template.Must(template.New("chart").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {{.Height}}" font-family="sans-serif" font-size="14">
<style>text{fill:#24292f}.bar{fill:#8c959f}.ours{fill:#0969da}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.ours{fill:#58a6ff}}</style>
<text x="0" y="18" font-weight="bold">{{.Title}} (logarithmic)</text>
{{range .Bars}}<text x="110" y="{{.Y}}" text-anchor="end" dy="14">{{.Name}}</text><rect class="bar{{if eq .Name "wheel"}} ours{{end}}" x="118" y="{{.Y}}" width="{{.Width}}" height="18" rx="2"/><text x="{{.Width}}" y="{{.Y}}" dx="126" dy="14">{{.Text}}</text>
{{end}}</svg>
`))

// draw makes a chart on a logarithmic scale: the bars differ by factors of a
// thousand. The least has a tenth of the width.
func draw(t *testing.T, title string, bars []bar) []byte {
	t.Helper()
	low, high := math.Inf(1), 0.0
	for _, b := range bars {
		if b.Value > 0 {
			low, high = min(low, b.Value), max(high, b.Value)
		}
	}
	const full, least = 500, 50
	for i := range bars {
		b := &bars[i]
		b.Y = 32 + 26*i
		b.Text = strconv.FormatFloat(b.Value, 'g', 3, 64)
		if b.Value >= 1000 {
			b.Text = strconv.FormatFloat(math.Round(b.Value), 'f', 0, 64)
		}
		if b.Value > 0 {
			b.Width = math.Round(least + (full-least)*math.Log(b.Value/low)/math.Log(high/low))
		}
	}
	var out bytes.Buffer
	if err := chart.Execute(&out, map[string]any{"Title": title, "Bars": bars, "Height": 40 + 26*len(bars)}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
