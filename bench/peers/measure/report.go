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
}

var table = []figure{
	{key: "memory", title: "resident memory per idle session, B", bound: "1/24 = 0.042, and 0.5 of nbio", scale: 1},
	{key: "anonymous", title: "of it anonymous (heap and stacks), B", scale: 1},
	{key: "goroutines", title: "goroutines per idle session", bound: "0", digits: 2, scale: 1, plain: true},
	{key: "echo", title: "server CPU per echoed message, µs", bound: "0.65", digits: 2, scale: 1},
	{key: "pacedEcho", title: "the same at 10,000 a second, each by itself, µs", bound: "0.7", digits: 2, scale: 1},
	{key: "broadcast", title: "server CPU per delivered broadcast message, back to back, µs", bound: "0.85", digits: 2, scale: 1},
	{key: "paced", title: "the same to all once a second, µs", bound: "0.7", digits: 2, scale: 1},
	{key: "few", title: "the same to 100 sessions, 100 times a second, µs", digits: 2, scale: 1},
	{key: "handshake", title: "server CPU per handshake, µs", bound: "1", digits: 1, scale: 1},
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
	failed map[string]error // in some round, which then does not count
}

func newReport(o options, cores []int, targets []target) *report {
	r := &report{began: loadNow(), o: o, cores: cores, rounds: map[string][]figures{}, failed: map[string]error{}}
	for _, t := range targets {
		r.names = append(r.names, t.Name)
	}
	return r
}

func (r *report) add(name string, f figures, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "measure: %s: %v\n", name, err)
		r.failed[name] = err
		f = nil
	}
	r.rounds[name] = append(r.rounds[name], f)
}

// of returns a figure in all turns of all rounds.
func (r *report) of(name string, fig figure) (v []float64) {
	for _, f := range r.rounds[name] {
		v = append(v, f[fig.key]...)
	}
	return v
}

// ratios returns those of the figure to stock gws's in the same turn.
func (r *report) ratios(name string, fig figure) (v []float64) {
	for round, stock := range r.rounds[base] {
		if round >= len(r.rounds[name]) {
			break
		}
		turns := r.rounds[name][round][fig.key]
		for i := range min(len(turns), len(stock[fig.key])) {
			v = append(v, turns[i]/stock[fig.key][i])
		}
	}
	return v
}

// quantile is the value below which the part q of v is; NaN if there is none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	at := q * float64(len(v)-1)
	low, high := v[int(at)], v[int(math.Ceil(at))]
	return low + (high-low)*(at-math.Floor(at))
}

func median(v []float64) float64 { return quantile(v, 0.5) }

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
	nbio := median(r.of("nbio", table[0]))
	for _, name := range r.names {
		if strings.HasPrefix(name, "wheelgate") && !math.IsNaN(nbio) {
			fmt.Fprintf(w, "\nResident memory per idle session of %s to nbio: %.2f.\n", name, median(r.of(name, table[0]))/nbio)
		}
	}
	r.printSpread(w)
	for name, err := range r.failed {
		fmt.Fprintf(w, "\n%s failed in a round: %v\n", name, err)
	}
}

func (r *report) cell(name string, f figure) string {
	v := median(r.of(name, f))
	if math.IsNaN(v) {
		return "–"
	}
	text := fmt.Sprintf("%.*f", f.digits, v*f.scale)
	if ratio := median(r.ratios(name, f)); !f.plain && !math.IsNaN(ratio) {
		text += fmt.Sprintf(" (%.3g)", ratio)
	}
	return text
}

// printSpread prints between what the middle half of the ratios is.
func (r *report) printSpread(w io.Writer) {
	fmt.Fprint(w, "\nThe middle half of the ratios, of all turns:\n\n")
	r.row(w, "figure", r.names)
	r.row(w, "---", slices.Repeat([]string{"--:"}, len(r.names)))
	for _, f := range table {
		if f.plain {
			continue
		}
		var cells []string
		for _, name := range r.names {
			v := r.ratios(name, f)
			cells = append(cells, fmt.Sprintf("%.3g to %.3g", quantile(v, 0.25), quantile(v, 0.75)))
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
	fmt.Fprintf(w, "%d sessions, %d of them busy, %d echoes, %d broadcasts of %d bytes in a turn; %d turns for each CPU cost, %d rounds. Medians; a ratio is the median of those of turns side by side.\n\n",
		r.o.n, r.o.busy, r.o.messages, r.o.broadcasts, messageSize, r.o.repeats, r.o.rounds)
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
