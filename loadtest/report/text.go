package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Text writes a summary for people; only what the run has. The error is w's.
func Text(w io.Writer, s Summary) error {
	for _, reason := range s.Reasons {
		if _, err := fmt.Fprintln(w, "INVALID:", reason); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%d open at most, %s, %d workers\n", cmp.Or(s.Scenario, "unnamed"), s.PeakOpen, seconds(s.Seconds), s.Workers)
	c := s.Counts
	fmt.Fprintf(t, "connects\t%d opened, %d failed, %.0f/s\n", c[record.Opened], c[record.Failed], s.ConnectRate)
	if c[record.Sent]+c[record.Received] > 0 {
		fmt.Fprintf(t, "messages\t%d sent (%.0f/s), %d received (%.0f/s)\n", c[record.Sent], s.SentRate, c[record.Received], s.Received)
	}
	if c[record.Due] > 0 {
		fmt.Fprintf(t, "schedule\t%d due, %d late, %d dropped, %d unanswered\n", c[record.Due], c[record.Late], c[record.Dropped], c[record.Unanswered])
	}
	if b := s.Broadcasts; b != nil {
		fmt.Fprintf(t, "broadcasts\t%d, %d deliveries, %d missing\n", b.Count, b.Deliveries, b.Missing)
	}
	if e := s.Expiry; e != nil {
		fmt.Fprintf(t, "expiry\t%d on time or late, %d early, %d never%s\n", e.Count, e.Early, e.Unexpired, e.ticks())
	}
	if d := s.Drain; d != nil {
		fmt.Fprintf(t, "drain\t%d closes in %d s, %d/s at most, max over mean %.2f\n", d.Closes, d.Seconds, d.Max, d.Ratio)
	}
	table(t, "closes", s.Closes)
	table(t, "errors", s.Errors)
	if v := s.Server; v != nil {
		fmt.Fprintf(t, "server\tRSS %s before, %s peak, %s after; CPU %.1f %%%s\n", size(float64(v.RSSBefore)), size(float64(v.RSSPeak)), size(float64(v.RSSAfter)), v.CPU, v.perUnit())
	}
	if i := s.Itself; i != nil {
		fmt.Fprintf(t, "tool\tCPU %.1f %%, RSS %s, %s per connection%s\n", i.CPU, size(float64(i.RSSPeak)), size(i.PerConnection), i.waited())
	}
	if err := t.Flush(); err != nil || len(s.Latencies) == 0 {
		return err
	}
	return latencyTable(w, s.Latencies)
}

func latencyTable(w io.Writer, all map[string]Latency) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nlatency\tcount\tp50\tp90\tp99\tp99.9\tmax\t\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l := all[name]
		fmt.Fprintf(t, "%s\t%d\t", name, l.Count)
		for _, v := range []float64{l.P50, l.P90, l.P99, l.P999, l.Max} {
			fmt.Fprintf(t, "%s\t", seconds(v/1000))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func (e *Expiry) ticks() string {
	if e.TickMS == 0 {
		return ""
	}
	return fmt.Sprintf("; late by %.2f ticks at p99, %.2f at most", e.P99Ticks, e.MaxTicks)
}

func (i *Itself) waited() string {
	if i.DelayShare == 0 {
		return ""
	}
	return fmt.Sprintf("; waited for a CPU %.2f %% of the time", i.DelayShare)
}

func (v *Server) perUnit() (text string) {
	if v.PerSession > 0 {
		text += "; " + size(v.PerSession) + " per session"
	}
	if v.SocketPerSession > 0 {
		text += ", kernel " + size(v.SocketPerSession)
	}
	if v.CPUPerThousand > 0 {
		text += fmt.Sprintf("; %.2f ms CPU per 1,000 messages", v.CPUPerThousand)
	}
	return text
}

func table[K cmp.Ordered](w io.Writer, title string, all map[K]int64) {
	if len(all) == 0 {
		return
	}
	var cells []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		cells = append(cells, fmt.Sprintf("%v: %d", k, all[k]))
	}
	fmt.Fprintf(w, "%s\t%s\n", title, strings.Join(cells, ", "))
}

// seconds writes a time with three digits that matter.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}

func size(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 {
			return fmt.Sprintf("%.4g %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.2f GiB", n)
}
