package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Text writes a summary for people; only what the run has. The error is w's.
func Text(w io.Writer, s Summary) error {
	var b strings.Builder
	for _, reason := range s.Reasons {
		fmt.Fprintln(&b, "INVALID:", reason)
	}
	if len(s.Reasons) > 0 {
		fmt.Fprintln(&b)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%s\n", cmp.Or(s.Scenario, "unnamed"), s.circumstances())
	title, line, last := "", "", ""
	for _, f := range figures(s) {
		text := f.Value() + " " + f.Name
		switch {
		case f.Section != last:
			flush(t, title, line)
			title, line = f.Section, text
		case len(line)+len(text) > width:
			flush(t, title, line+",")
			title, line = "", text
		default:
			line += ", " + text
		}
		last = f.Section
	}
	flush(t, title, line)
	_ = t.Flush() // into a strings.Builder
	s.latencyTable(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// width is how long a line of figures may become, in bytes.
const width = 90

func flush(w io.Writer, title, line string) {
	if line != "" {
		fmt.Fprintf(w, "%s\t%s\n", title, line)
	}
}

// circumstances are in one line how long, with what and against what.
func (s *Summary) circumstances() string {
	workers := "workers"
	if s.Workers == 1 {
		workers = "worker"
	}
	text := fmt.Sprintf("%s, %d %s", seconds(s.Seconds), s.Workers, workers)
	if len(s.Targets) > 0 {
		text += ", " + s.Targets[0]
	}
	if more := len(s.Targets) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// measured is the order to read latencies in.
var measured = []string{
	string(record.Connect), string(record.Handshake), string(record.Echo), string(record.Deliver), spread,
	string(record.Expiry), string(record.Reconnect), string(record.Lag),
}

// spread is the latency from a broadcast's first receiver to its last.
const spread = "spread"

// latencyNames are those the run has, first the known ones.
func (s *Summary) latencyNames() []string {
	names := slices.Sorted(maps.Keys(s.Latencies))
	slices.SortStableFunc(names, func(a, b string) int {
		place := func(name string) int {
			if i := slices.Index(measured, name); i >= 0 {
				return i
			}
			return len(measured)
		}
		return cmp.Compare(place(a), place(b))
	})
	return names
}

func (s *Summary) latencyTable(w io.Writer) {
	if len(s.Latencies) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nlatency\tp50\tp90\tp99\tp99.9\tmax\tcount\t\n")
	for _, name := range s.latencyNames() {
		l := s.Latencies[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", name, strings.Join(l.cells(), "\t"), whole(float64(l.Count)))
	}
	_ = t.Flush() // into a strings.Builder
}

// cells are the quantiles for people.
func (l Latency) cells() (all []string) {
	for _, q := range quantiles {
		all = append(all, seconds(l.quantile(q)/1000))
	}
	return all
}
