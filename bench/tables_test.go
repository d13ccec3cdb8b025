package bench_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// keeperRows are those of the first table of docs/benchmarks.md. %s stands for the keeper.
var keeperRows = []struct {
	label, benchmark, unit string
	// ratio: the wheel has its value in this unit, the others the ratio to it.
	ratio string
	// plain is the unit of values without a ratio, which may be none.
	plain string
}{
	{"a message, random", "KeeperTouch/random/%s/sessions=1000000", "ns/op", "ns", ""},
	{"a message, hot", "KeeperTouch/hot/%s/sessions=1000000", "ns/op", "ns", ""},
	{"a session begins", "KeeperCalls/%s/sessions=1000000", "arm-ns/session", "ns", ""},
	{"a session ends", "KeeperCalls/%s/sessions=1000000", "cancel-ns/session", "ns", ""},
	{"heap per session", "KeeperCalls/%s/sessions=1000000", "heap-B/session", "B", ""},
	{"a forced collection", "KeeperCalls/%s/sessions=1000000", "gc-ms", "ms", ""},
	{"collections per GiB of garbage, CPU", "KeeperCalls/%s/sessions=1000000", "gc-cpu-ms/GiB", "ms", ""},
	{"of which mark assist", "KeeperCalls/%s/sessions=1000000", "assist-cpu-ms/GiB", "ms", ""},
	{"storm: a message waits at most", "KeeperStorm/%s/sessions=1000000", "wait-max-ms", "ms", ""},
	{"storm: the longest call", "KeeperStorm/%s/sessions=1000000", "stall-ms", "", " ms"},
	{"storm: until the last is out", "KeeperStorm/%s/sessions=1000000", "last-ms", "ms", ""},
	{"storm: goroutines", "KeeperStorm/%s/sessions=1000000", "goroutines", "", ""},
	{"storm: ended early", "KeeperStorm/%s/sessions=1000000", "early", "", ""},
	{"lateness p99, ms", "KeeperLateness/%s", "p99-ms", "", ""},
	{"lateness least, ms", "KeeperLateness/%s", "least-ms", "", ""},
}

// wheelRows are those of the table of the wheel by itself.
var wheelRows = []struct{ label, benchmark, unit, after string }{
	{"a touch, hot, to a plain store", "TouchRatio", "hot/store", ""},
	{"a touch, random, to a plain store", "TouchRatio", "random/store", ""},
	{"the same, the first of its step", "TouchRatio", "stale/store", ""},
	{"a timer of the engine made anew, hot, to a touch", "TouchRatio", "engine/hot", ""},
	{"the same, random", "TouchRatio", "engine/random", ""},
	{"a session begins", "WheelCalls", "add-ns", " ns"},
	{"its deadline becomes earlier", "WheelCalls", "reschedule-ns", " ns"},
	{"it ends", "WheelCalls", "cancel-ns", " ns"},
	{"memory", "WheelCalls", "B/entry", " B"},
	{"CPU of 1,000,000 of whom none is due, in a second", "WheelIdle", "cpu-us/s", " us"},
}

// peerRows are those of the results' table that docs/benchmarks.md has, by what their
// labels begin with, and peerColumns how many of its columns: the last says what we ask
// of ourselves.
var peerRows = []string{
	"figure (ratio to gws)", "---", "resident memory per idle session, B", "goroutines per idle session", "server CPU per echoed message", "the same at 10,000 a second",
	"server CPU per delivered broadcast message", "the same to all", "the same to 100", "server CPU per handshake", "handshakes a second",
	"server CPU, all idle", "… to the start",
}

const peerColumns = 8

// TestTables: the tables of docs/benchmarks.md show what is in bench/results. With
// -update they are written anew.
func TestTables(t *testing.T) {
	path := filepath.Join("..", "docs", "benchmarks.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for name, table := range map[string]string{
		"keepers": keepersTable(t, readResults(t, "keepers")),
		"wheel":   wheelTable(t, readResults(t, "wheel")),
		"peers":   peersTable(t, readResults(t, "peers")),
	} {
		begin, end := "<!-- "+name+": go test ./bench -run TestTables -update -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, ended := strings.Cut(rest, end)
		if !ok || !ended {
			t.Fatalf("%s has no place for the table of %s", path, name)
		}
		page = before + begin + "\n" + table + "\n" + end + after
	}
	if page == string(text) {
		return
	}
	if !*update {
		t.Errorf("%s does not show the results: go test ./bench -run TestTables -update", path)
		return
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readResults(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("results", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func keepersTable(t *testing.T, results string) string {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("| |")
	for _, k := range keepers {
		fmt.Fprintf(&out, " %s |", k.name)
	}
	out.WriteString("\n|---|" + strings.Repeat("--:|", len(keepers)) + "\n")
	for _, row := range keeperRows {
		fmt.Fprintf(&out, "| %s |", row.label)
		var ours float64
		for i, k := range keepers {
			value, ok := metric(results, "Benchmark"+fmt.Sprintf(row.benchmark, k.name)+"-", row.unit)
			if !ok {
				t.Fatalf("no %s of %s in the results", row.unit, k.name)
			}
			switch {
			case row.ratio == "":
				fmt.Fprintf(&out, " %s%s |", digits(value, 4), row.plain)
			case i == 0:
				ours = value
				fmt.Fprintf(&out, " %s %s (1) |", digits(value, 3), row.ratio)
			default:
				fmt.Fprintf(&out, " %s |", digits(value/ours, 2))
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

func wheelTable(t *testing.T, results string) string {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("| | |\n|---|--:|\n")
	for _, row := range wheelRows {
		value, ok := metric(results, "Benchmark"+row.benchmark+"-", row.unit)
		if !ok {
			t.Fatalf("no %s of %s in the results", row.unit, row.benchmark)
		}
		fmt.Fprintf(&out, "| %s | %s%s |\n", row.label, digits(value, 3), row.after)
	}
	return out.String()
}

// TestResultsAreKept: all that `make bench-results` records is kept, and docs/benchmarks.md
// leads to it.
func TestResultsAreKept(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`record\.sh (\w+) `).FindAllStringSubmatch(string(text), -1)
	if len(names) < 6 {
		t.Errorf("the Makefile records %v", names)
	}
	for _, name := range names {
		readResults(t, name[1])
		if !strings.Contains(string(page), "(../bench/results/"+name[1]+".txt)") {
			t.Errorf("docs/benchmarks.md has no link to the results of %s", name[1])
		}
	}
}

// peersTable is a part of the first table that bench/peers prints.
func peersTable(t *testing.T, results string) string {
	t.Helper()
	var out bytes.Buffer
	for _, label := range peerRows {
		found := false
		for line := range strings.Lines(results) {
			if found = strings.HasPrefix(line, "| "+label); found {
				cells := strings.Split(strings.TrimSpace(line), "|")
				out.WriteString(strings.Join(cells[:peerColumns+1], "|") + "|\n")
				break
			}
		}
		if !found {
			t.Fatalf("no %q in the results", label)
		}
	}
	return out.String()
}

// digits writes a number with so many significant digits, all of those before the
// point if these are more and it is whole, and never with an exponent.
func digits(v float64, n int) string {
	if v == 0 {
		return "0"
	}
	decimals := n - 1 - int(math.Floor(math.Log10(math.Abs(v))))
	if v == math.Trunc(v) {
		decimals = 0
	}
	if decimals < 0 {
		scale := math.Pow10(-decimals)
		v, decimals = math.Round(v/scale)*scale, 0
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, _, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		v    float64
		n    int
		want string
	}{
		{0, 2, "0"},
		{44, 3, "44"},
		{44.02, 3, "44.0"},
		{167.7, 2, "170"},
		{6.875, 2, "6.9"},
		{0.002335, 4, "0.002335"},
		{-19.64, 4, "-19.64"},
		{-1234.5, 3, "-1,230"},
		{999967, 4, "999,967"},
		{1189.4, 4, "1,189"},
	} {
		if got := digits(c.v, c.n); got != c.want {
			t.Errorf("%v with %d digits is %s, want %s", c.v, c.n, got, c.want)
		}
	}
}

// TestMakeOnlyPrintsWhenAsked: make -n runs each line of a recipe that has $(MAKE) in
// it, or begins with +.
func TestMakeOnlyPrintsWhenAsked(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	recipes := 0
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(line, "\t")
		if !ok {
			continue
		}
		recipes++
		if strings.Contains(command, "$(MAKE)") || strings.Contains(command, "${MAKE}") || strings.HasPrefix(command, "+") {
			t.Errorf("make -n runs %q", command)
		}
	}
	if recipes < 10 {
		t.Errorf("%d lines of recipes", recipes)
	}
}
