package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"io"
	"strings"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

//go:embed uplot/uPlot.iife.min.js
var plotScript string

//go:embed uplot/uPlot.min.css
var plotStyle string

// HTML writes the run as one page that asks for nothing else and opens offline. The
// error is w's.
func HTML(w io.Writer, r *Run) error {
	shape, err := template.New("page").Funcs(template.FuncMap{"hash": hash}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	scenario, err := json.MarshalIndent(r.Header.Scenario, "", "  ")
	if err != nil {
		return err
	}
	s := Summarize(r)
	marks := make([]mark, 0, len(r.Marks))
	for _, m := range r.Marks {
		marks = append(marks, mark{m.At.Seconds(), m.Text})
	}
	return shape.Execute(w, map[string]any{
		"Summary": &s, "Highlights": highlights(s), "Latencies": s.latencyRows(), "Sections": sections(s),
		"About": s.circumstances(), "Memory": size(float64(s.Machine.Memory)),
		"Command": strings.Join(r.Header.Command, " "), "Scenario": r.Header.Scenario, "ScenarioText": string(scenario),
		"Data":    map[string]any{"plots": r.plots(), "marks": marks},
		"Scripts": []template.JS{template.JS(plotScript), template.JS(pageScript)},
		"Styles":  []template.CSS{template.CSS(plotStyle), template.CSS(pageStyle)},
	})
}

// hash is how the page's policy names a script or style that may be used.
func hash(text any) string {
	var content string
	switch t := text.(type) {
	case template.JS:
		content = string(t)
	case template.CSS:
		content = string(t)
	}
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// mark is a vertical line in the plots over time.
type mark struct {
	At   float64 `json:"at"` // seconds
	Text string  `json:"text"`
}

// highlight is a figure to see first.
type highlight struct {
	Name, Value string
	Bad         bool
}

func highlights(s Summary) []highlight {
	all := []highlight{{"open at most", whole(float64(s.PeakOpen)), false}}
	add := func(name, value string, bad bool) { all = append(all, highlight{name, value, bad}) }
	faults := func(name string, n int64) { add(name, whole(float64(n)), n > 0) }
	if failed := s.Counts[record.Failed]; failed > 0 {
		faults("connects failed", failed)
	}
	faults("errors", s.ErrorCount)
	if s.Received > 0 {
		add("received per second", whole(s.Received), false)
	}
	for _, m := range []string{string(record.Echo), string(record.Deliver), string(record.Handshake)} {
		if l, ok := s.Latencies[m]; ok {
			add(m+" p99", seconds(l.P99/1000), false)
		}
	}
	if s.Broadcasts != nil {
		faults("deliveries missing", s.Broadcasts.Missing)
	}
	if e := s.Expiry; e != nil {
		faults("expired early", e.Early)
		if e.TickMS > 0 && e.Count > 0 {
			add("ticks late at p99", plain(e.P99Ticks), false)
		}
	}
	if s.Drain != nil && s.Drain.Closes > 0 {
		add("drain, max over mean", plain(s.Drain.Ratio), false)
	}
	if s.Server != nil && s.Server.PerSession > 0 {
		add("server RSS growth per session", size(s.Server.PerSession), false)
	}
	return all
}

// latencyRow is a row of the page's table.
type latencyRow struct {
	Name, Count string
	Cells       []string
}

func (s *Summary) latencyRows() (all []latencyRow) {
	for _, name := range s.latencyNames() {
		l := s.Latencies[name]
		all = append(all, latencyRow{name, whole(float64(l.Count)), l.cells()})
	}
	return all
}

// table is the figures of one section.
type table struct {
	Title string
	Rows  []figure
}

func sections(s Summary) (all []table) {
	for _, f := range figures(s) {
		if len(all) == 0 || all[len(all)-1].Title != f.Section {
			all = append(all, table{Title: f.Section})
		}
		last := &all[len(all)-1]
		last.Rows = append(last.Rows, f)
	}
	return all
}
