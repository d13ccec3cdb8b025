package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
)

const metricsFile = "../../docs/metrics.md"

// TestMetricsDocs holds docs/metrics.md against what the program registers.
func TestMetricsDocs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have less to tell about a process")
	}
	page, err := os.ReadFile(metricsFile)
	if err != nil && !*update {
		t.Error(err)
	}
	metrics := described(t, serversRegistry(t))
	_, cert, key, _ := someCertificate(t)
	p, _ := start(t, "--tls-cert="+cert, "--tls-key="+key) // which has a metric
	observe(metrics, p.scrape(t))
	same(t, metricsFile, string(page), metricsPage(t, metrics))
}

// serversRegistry has the metrics of a gateway and its servers.
func serversRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	_, cert, key, _ := someCertificate(t)
	r, err := resolve(t.Context(), map[string]string{
		"listen": "127.0.0.1:0", "admin-listen": "127.0.0.1:0", "env-file": "", "tls-cert": cert, "tls-key": key,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := open(ctx, &r.options, 16, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	out := newLogWriter(io.Discard)
	t.Cleanup(out.close)
	s.live = newLive(r, nil, out)
	g, err := gateway.New(r.gateway)
	if err != nil {
		t.Fatal(err)
	}
	g.Registry().MustRegister(s.live.metrics()...)
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, g, &r.options) }()
	awaitReady(ctx, g)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.closeListeners()
	})
	return g.Registry()
}

// metric is a row of the page.
type metric struct {
	name, kind, help string
	labels           []string            // whose values depend on the build
	values           map[string][]string // by label, the known ones
}

// What *prometheus.Desc tells about itself is only to be had as text.
var (
	descName   = regexp.MustCompile(`fqName: ("(?:[^"\\]|\\.)*")`)
	descHelp   = regexp.MustCompile(`help: ("(?:[^"\\]|\\.)*")`)
	descLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
	descConst  = regexp.MustCompile(`constLabels: \{(.*)\}, variableLabels`)
)

// described is what the registry tells about its metrics, those without a value yet too.
func described(t *testing.T, registry *prometheus.Registry) map[string]*metric {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() { defer close(descs); registry.Describe(descs) }()
	metrics := map[string]*metric{}
	for d := range descs {
		text := d.String()
		part := func(re *regexp.Regexp) string {
			found := re.FindStringSubmatch(text)
			if found == nil {
				t.Fatalf("%s does not match %s", text, re)
			}
			if unquoted, err := strconv.Unquote(found[1]); err == nil {
				return unquoted
			}
			return found[1]
		}
		m := &metric{name: part(descName), help: part(descHelp), values: map[string][]string{}}
		for label := range strings.SplitSeq(part(descLabels), ",") {
			if label != "" {
				m.values[label] = nil
			}
		}
		for label := range strings.SplitSeq(part(descConst), ",") {
			if name, _, ok := strings.Cut(label, "="); ok {
				m.labels = append(m.labels, name)
			}
		}
		metrics[m.name] = m
	}
	return metrics
}

// observe adds what a running program tells: the kinds of metrics, the values of labels
// that there are from the start, which are those from the code, and what others than
// its servers have registered.
func observe(metrics map[string]*metric, families map[string]*dto.MetricFamily) {
	for name, family := range families {
		m := metrics[name]
		if m == nil {
			m = &metric{name: name, help: family.GetHelp(), values: map[string][]string{}}
			for _, label := range family.GetMetric()[0].GetLabel() {
				m.values[label.GetName()] = nil
			}
			metrics[name] = m
		}
		m.kind = strings.ToLower(family.GetType().String())
		for _, sample := range family.GetMetric() {
			for _, label := range sample.GetLabel() {
				values, variable := m.values[label.GetName()]
				if variable && !slices.Contains(values, label.GetValue()) {
					m.values[label.GetName()] = append(values, label.GetValue())
				}
			}
		}
	}
}

// scrape returns what p's /metrics has, by name.
func (p *program) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil || len(families) == 0 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	return families
}

func metricsPage(t *testing.T, metrics map[string]*metric) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Metrics\n\nMade by `make generate` from what the program registers. [operations.md](operations.md) says which are worth an alert.\n" +
		"Names end in their unit; `_total` is a counter since the start. Histograms have native buckets too.\n")
	for _, section := range []struct{ title, prefix string }{
		{"The gateway", "wheelgate_"}, {"The process", "process_"}, {"Go's runtime", "go_"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", section.title)
		for _, name := range slices.Sorted(maps.Keys(metrics)) {
			if strings.HasPrefix(name, section.prefix) {
				b.WriteString(metrics[name].row(t))
				delete(metrics, name)
			}
		}
	}
	for name := range metrics {
		t.Errorf("%s: its prefix has no section", name)
	}
	return b.String()
}

func (m *metric) row(t *testing.T) string {
	t.Helper()
	if m.kind == "" && strings.HasSuffix(m.name, "_total") {
		m.kind = "counter"
	}
	if m.kind == "" {
		t.Errorf("%s: no series when the program starts, and no counter: its type is not to be seen", m.name)
	}
	labels := make([]string, 0, len(m.labels)+len(m.values))
	for _, name := range m.labels {
		labels = append(labels, "`"+name+"`")
	}
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		label := "`" + name + "`"
		if values := m.values[name]; values != nil {
			slices.Sort(values)
			label += ": " + strings.Join(values, ", ")
		}
		labels = append(labels, label)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(labels, "; "), strings.ReplaceAll(m.help, "|", `\|`))
}

// TestEveryMetricIsOnThePage: a program that has done something has no more of them.
func TestEveryMetricIsOnThePage(t *testing.T) {
	page, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := start(t, "--drain-window=0s")
	p.dial(t, "/ws", nil)
	for name := range p.scrape(t) {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("%s is not in %s: make generate", name, metricsFile)
		}
	}
}
