package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Compare writes two runs side by side with the ratio b/a. One run each is no
// statistic, and it says so. The error is w's.
func Compare(w io.Writer, a, b Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, warning := range differences(a, b) {
		fmt.Fprintln(w, "WARNING:", warning)
	}
	fmt.Fprintln(w, "One run each: a ratio may be noise. Repeat both before you believe it.")
	fmt.Fprint(t, "\n\ta\tb\tb/a\t\n")
	fa, fb := figures(a), figures(b)
	names := maps.Clone(fa)
	maps.Copy(names, fb)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		va, inA := fa[name]
		vb, inB := fb[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t", name, cell(va, inA), cell(vb, inB))
		if inA && inB && va != 0 {
			fmt.Fprintf(t, "%.2f", vb/va)
		}
		fmt.Fprint(t, "\t\n")
	}
	return t.Flush()
}

func cell(v float64, has bool) string {
	if !has {
		return "-"
	}
	return fmt.Sprintf("%.6g", v)
}

func differences(a, b Summary) (all []string) {
	for _, d := range []struct {
		what string
		a, b any
	}{
		{"scenario", a.Scenario, b.Scenario},
		{"machine", a.Machine, b.Machine},
		{"tool", a.Tool, b.Tool},
		{"number of workers", a.Workers, b.Workers},
	} {
		if d.a != d.b {
			all = append(all, fmt.Sprintf("the %s differs: %v, %v", d.what, d.a, d.b))
		}
	}
	for name, s := range map[string]Summary{"a": a, "b": b} {
		if !s.Valid {
			all = append(all, name+" is invalid")
		}
	}
	slices.Sort(all)
	return all
}

func figures(s Summary) map[string]float64 {
	f := map[string]float64{"open": float64(s.PeakOpen), "errors": float64(s.ErrorCount), "connects/s": s.ConnectRate}
	for name, l := range s.Latencies {
		for _, q := range quantiles {
			f[fmt.Sprintf("%s(%s) ms", q, name)] = l.quantile(q)
		}
	}
	if s.SentRate+s.Received > 0 {
		f["sent/s"], f["received/s"] = s.SentRate, s.Received
	}
	if s.Broadcasts != nil {
		f["missing"] = float64(s.Broadcasts.Missing)
	}
	if s.Expiry != nil {
		f["early"] = float64(s.Expiry.Early)
	}
	if s.Drain != nil {
		f["drain max/mean"] = s.Drain.Ratio
	}
	if v := s.Server; v != nil {
		f["server RSS bytes"], f["server CPU %"] = float64(v.RSSPeak), v.CPU
		f["server bytes per session"] = v.PerSession
	}
	if i := s.Itself; i != nil {
		f["tool CPU %"] = i.CPU
	}
	return f
}
