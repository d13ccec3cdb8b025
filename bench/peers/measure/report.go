//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// base is the server that the others are compared with.
const base = "gws"

// figure is a row of the table.
type figure struct {
	key, title, bound string
	digits            int
	scale             float64
	plain             bool // has no ratio
	best              bool // the lowest round counts, else the median
}

var table = []figure{
	{key: "memory", title: "resident memory per idle session, B", bound: "1/24 = 0.042, and 0.5 of nbio", scale: 1},
	{key: "anonymous", title: "of it anonymous (heap and stacks), B", scale: 1},
	{key: "goroutines", title: "goroutines per idle session", bound: "0", digits: 2, scale: 1, plain: true},
	{key: "echo", title: "server CPU per echoed message, µs", bound: "0.65", digits: 2, scale: 1, best: true},
	{key: "pacedEcho", title: "the same at 10,000 a second, each by itself, µs", bound: "0.7", digits: 2, scale: 1, best: true},
	{key: "broadcast", title: "server CPU per delivered broadcast message, back to back, µs", bound: "0.85", digits: 2, scale: 1, best: true},
	{key: "paced", title: "the same to all once a second, µs", bound: "0.7", digits: 2, scale: 1, best: true},
	{key: "few", title: "the same to 100 sessions, 100 times a second, µs", digits: 2, scale: 1, best: true},
	{key: "handshake", title: "server CPU per handshake, µs", bound: "1", digits: 1, scale: 1, best: true},
	{key: "rate", title: "handshakes a second", bound: "≥ 1", scale: 1},
	{key: "idle", title: "server CPU, all idle, % of a core", bound: "< 0.5 %", digits: 2, scale: 1, plain: true},
	{key: "start", title: "resident memory at the start, MB", digits: 2, scale: 1e-6, plain: true},
	{key: "left", title: "resident memory after all have left, MB", digits: 2, scale: 1e-6},
	{key: "leftRatio", title: "… to the start", bound: "1.20 of the start", digits: 2, scale: 1, plain: true},
}

// report collects the figures of all rounds.
type report struct {
	began  load
	o      options
	cores  []int
	names  []string
	rounds map[string][]figures
	failed map[string]error
}

func newReport(o options, cores []int, targets []target) *report {
	r := &report{began: loadNow(), o: o, cores: cores, rounds: map[string][]figures{}, failed: map[string]error{}}
	for _, t := range targets {
		r.names = append(r.names, t.name)
	}
	return r
}

func (r *report) add(name string, f figures, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "measure: %s: %v\n", name, err)
		r.failed[name] = err
		return
	}
	r.rounds[name] = append(r.rounds[name], f)
}

// of returns a figure, and how far its rounds are apart.
func (r *report) of(name string, fig figure) (value, low, high float64) {
	var v []float64
	for _, f := range r.rounds[name] {
		v = append(v, f[fig.key])
	}
	if len(v) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	slices.Sort(v)
	if fig.best {
		return v[0], v[0], v[len(v)-1]
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, v[0], v[len(v)-1]
}

func (r *report) print(w io.Writer) {
	r.printHeader(w)
	r.row(w, "figure (ratio to gws)", append(slices.Clone(r.names), "wheelgate must"))
	r.row(w, "---", slices.Repeat([]string{"--:"}, len(r.names)+1))
	for _, f := range table {
		var cells []string
		for _, name := range r.names {
			cells = append(cells, r.cell(name, f))
		}
		r.row(w, f.title, append(cells, f.bound))
	}
	nbio, _, _ := r.of("nbio", table[0])
	for _, name := range r.names {
		if memory, _, _ := r.of(name, table[0]); strings.HasPrefix(name, "wheelgate") {
			fmt.Fprintf(w, "\nResident memory per idle session of %s to nbio: %.2f.\n", name, memory/nbio)
		}
	}
	r.printSpread(w)
	for name, err := range r.failed {
		fmt.Fprintf(w, "\n%s failed in a round: %v\n", name, err)
	}
}

func (r *report) cell(name string, f figure) string {
	median, _, _ := r.of(name, f)
	if math.IsNaN(median) {
		return "–"
	}
	text := fmt.Sprintf("%.*f", f.digits, median*f.scale)
	if stock, _, _ := r.of(base, f); !f.plain && stock > 0 {
		text += fmt.Sprintf(" (%.3g)", median/stock)
	}
	return text
}

// printSpread prints how far the rounds are apart, in percent.
func (r *report) printSpread(w io.Writer) {
	if r.o.rounds < 2 {
		return
	}
	fmt.Fprint(w, "\nHighest less lowest round, in % of the figure above:\n\n")
	r.row(w, "figure", r.names)
	r.row(w, "---", slices.Repeat([]string{"--:"}, len(r.names)))
	for _, f := range table {
		if f.plain {
			continue
		}
		var cells []string
		for _, name := range r.names {
			median, low, high := r.of(name, f)
			cells = append(cells, fmt.Sprintf("%.0f", 100*(high-low)/median))
		}
		r.row(w, f.title, cells)
	}
}

func (r *report) row(w io.Writer, title string, cells []string) {
	fmt.Fprintf(w, "| %s | %s |\n", title, strings.Join(cells, " | "))
}

func (r *report) printHeader(w io.Writer) {
	pinned := "servers and client have all cores"
	if r.o.pinned && len(r.cores) > 1 {
		pinned = fmt.Sprintf("servers pinned to core %d, the client to core %d", r.cores[0], r.cores[1])
	}
	fmt.Fprintf(w, "%d sessions, %d of them busy, %d echoes, %d broadcasts of %d bytes; %d rounds: the best of the CPU costs, the median of the rest.\n\n",
		r.o.n, r.o.busy, r.o.messages, r.o.broadcasts, messageSize, r.o.rounds)
	fmt.Fprintf(w, "- Machine: %s, %d cores; Linux %s; %s.\n", cpuModel(), len(r.cores), kernel(), pinned)
	fmt.Fprintf(w, "- Other processes took %.0f %% of a core meanwhile, on average.\n", r.began.others(loadNow()))
	fmt.Fprintf(w, "- %s, commit %s.\n- Command: measure %s\n\n", runtime.Version(), commit(), strings.Join(os.Args[1:], " "))
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(release))
}

// commit is git's, marked if files of it have changed.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
