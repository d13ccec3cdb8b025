package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

var (
	//go:embed page.html
	page string
	//go:embed uplot/uPlot.iife.min.js
	plotScript string
	//go:embed uplot/uPlot.min.css
	plotStyle string
	pageShape = template.Must(template.New("page").Parse(page))
)

// plot is one chart over the seconds of the run; a nil value is a gap.
type plot struct {
	Title  string   `json:"title"`
	Names  []string `json:"names"`
	Values [][]any  `json:"values"`
}

// mark is a vertical line in every plot.
type mark struct {
	At   float64 `json:"at"` // seconds
	Text string  `json:"text"`
}

// HTML writes the run as one page that needs nothing else, not even a network.
// The error is w's.
func HTML(w io.Writer, r *Run) error {
	s := Summarize(r)
	var text strings.Builder
	if err := Text(&text, s); err != nil {
		return err
	}
	var marks []mark
	for _, m := range r.Marks {
		marks = append(marks, mark{m.At.Seconds(), m.Text})
	}
	return pageShape.Execute(w, map[string]any{
		"Summary": s, "Text": text.String(), "Plots": r.plots(), "Marks": marks, "Seconds": len(r.Seconds),
		"Script": template.JS(plotScript), "Style": template.CSS(plotStyle),
	})
}

func (r *Run) plots() []plot {
	all := []plot{
		r.each("open connections", []string{"open"}, func(s *Second) []any { return []any{s.Open} }),
		r.counts("connects per second", record.Opened, record.Failed),
		r.counts("messages per second", record.Sent, record.Received),
	}
	for _, m := range []record.Measure{record.Handshake, record.Echo, record.Deliver, record.Lag} {
		if r.Histograms[m] != nil {
			all = append(all, r.each(string(m)+", ms", []string{"p50", "p99", "max"}, func(s *Second) []any {
				h := s.Histogram(m)
				if h == nil {
					return []any{nil, nil, nil}
				}
				return []any{ms(h.ValueAtPercentile(50)), ms(h.ValueAtPercentile(99)), ms(h.Max())}
			}))
		}
	}
	codes, kinds := map[int]int64{}, map[string]int64{}
	for n := range r.Seconds {
		sum(codes, r.Seconds[n].Closes)
		sum(kinds, r.Seconds[n].Errors)
	}
	all = append(all, keyed(r, "closes per second by code", codes, func(s *Second) map[int]int64 { return s.Closes }),
		keyed(r, "errors per second by kind", kinds, func(s *Second) map[string]int64 { return s.Errors }),
		r.processes("server", r.serverMoments()), r.processes("tool", r.toolMoments()))
	return slices.DeleteFunc(all, func(p plot) bool { return len(p.Names) == 0 })
}

func (r *Run) each(title string, names []string, values func(*Second) []any) plot {
	p := plot{title, names, make([][]any, len(names))}
	for n := range r.Seconds {
		for i, v := range values(&r.Seconds[n]) {
			p.Values[i] = append(p.Values[i], v)
		}
	}
	return p
}

func (r *Run) counts(title string, a, b record.Count) plot {
	return r.each(title, []string{string(a), string(b)}, func(s *Second) []any { return []any{s.Counts[a], s.Counts[b]} })
}

func keyed[K int | string](r *Run, title string, keys map[K]int64, of func(*Second) map[K]int64) plot {
	order := slices.Sorted(maps.Keys(keys))
	var names []string
	for _, k := range order {
		names = append(names, fmt.Sprint(k))
	}
	return r.each(title, names, func(s *Second) (values []any) {
		for _, k := range order {
			values = append(values, of(s)[k])
		}
		return values
	})
}

// processes plots memory and CPU, from the last moment of each second.
func (r *Run) processes(who string, all []moment) plot {
	if len(all) == 0 {
		return plot{}
	}
	p := plot{who + ": RSS in MiB, CPU in percent", []string{"RSS", "CPU"}, make([][]any, 2)}
	var before *moment
	i := 0
	for n := range r.Seconds {
		var now *moment
		for ; i < len(all) && all[i].at <= time.Duration(n+1)*time.Second; i++ {
			now = &all[i]
		}
		var rss, cpu any
		if now != nil {
			rss = float64(now.rss) / (1 << 20)
			if before != nil && now.at > before.at {
				cpu = 100 * float64(now.cpu-before.cpu) / float64(now.at-before.at)
			}
			before = now
		}
		p.Values[0], p.Values[1] = append(p.Values[0], rss), append(p.Values[1], cpu)
	}
	return p
}
