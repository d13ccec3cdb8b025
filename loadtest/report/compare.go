package report

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
)

// Compare writes two runs side by side with the ratio b/a. One run each is no
// statistic, and it says so. The error is w's.
func Compare(w io.Writer, a, b Summary) error {
	var out strings.Builder
	for _, warning := range differences(a, b) {
		fmt.Fprintln(&out, "WARNING:", warning)
	}
	fmt.Fprintln(&out, "One run each is no statistic: a ratio may be noise. Repeat both before you believe it.")
	fmt.Fprintln(&out)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t\ta\tb\tb/a\t\n")
	section := ""
	for _, pair := range pairs(compared(a), compared(b)) {
		f := pair.one()
		title := ""
		if f.Section != section {
			section, title = f.Section, f.Section
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", title, f.Name, cell(pair.a), cell(pair.b), pair.ratio())
	}
	_ = t.Flush() // into a strings.Builder
	_, err := io.WriteString(w, out.String())
	return err
}

// compared is figures with the latencies.
func compared(s Summary) []figure {
	all := figures(s)
	for _, name := range s.latencyNames() {
		for _, q := range quantiles {
			all = append(all, figure{name, q, s.Latencies[name].quantile(q) / 1000, seconds})
		}
	}
	return all
}

// pair is what two runs have for one figure; nil: it has none.
type pair struct{ a, b *figure }

func (p pair) one() *figure { return cmp.Or(p.a, p.b) }

func (p pair) ratio() string {
	if p.a == nil || p.b == nil || p.a.value == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", p.b.value/p.a.value)
}

func cell(f *figure) string {
	if f == nil {
		return "-"
	}
	return f.Value()
}

// pairs joins two lists in a's order; what only b has follows at the end of its
// section, or of all.
func pairs(a, b []figure) (all []pair) {
	type key struct{ section, name string }
	of := func(f *figure) key { return key{f.Section, f.Name} }
	inA, inB := map[key]bool{}, map[key]*figure{}
	for i := range a {
		inA[of(&a[i])] = true
	}
	for i := range b {
		inB[of(&b[i])] = &b[i]
	}
	onlyB := func(wanted func(section string) bool) {
		for i := range b {
			if f := &b[i]; wanted(f.Section) && !inA[of(f)] {
				all = append(all, pair{b: f})
			}
		}
	}
	done := map[string]bool{}
	for i := range a {
		f := &a[i]
		all = append(all, pair{f, inB[of(f)]})
		if i+1 == len(a) || a[i+1].Section != f.Section {
			done[f.Section] = true
			onlyB(func(section string) bool { return section == f.Section })
		}
	}
	onlyB(func(section string) bool { return !done[section] })
	return all
}

// differences are why two runs may not be comparable.
func differences(a, b Summary) (all []string) {
	for _, d := range []struct {
		what string
		a, b any
	}{
		{"scenario", a.Scenario, b.Scenario},
		{"machine", a.Machine, b.Machine},
		{"tool", a.Tool, b.Tool},
		{"number of workers", a.Workers, b.Workers},
		{"server", a.Targets, b.Targets},
	} {
		if !reflect.DeepEqual(d.a, d.b) {
			all = append(all, fmt.Sprintf("the %s differs: %v, %v", d.what, d.a, d.b))
		}
	}
	for i, s := range []Summary{a, b} {
		if !s.Valid {
			all = append(all, fmt.Sprintf("%c is invalid: %s", 'a'+i, strings.Join(s.Reasons, "; ")))
		}
	}
	return all
}
