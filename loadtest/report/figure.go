package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// figure is one number of a summary with its name, as text, page and comparison
// show it. Its name can be read after its value: "3 failed".
type figure struct {
	Section, Name string
	value         float64
	as            func(float64) string
}

// Value is the number for people.
func (f figure) Value() string { return f.as(f.value) }

// figures lists what a summary has, in the order to read it in, without the
// latencies, which make a table of their own.
func figures(s Summary) []figure {
	var all []figure
	section := ""
	add := func(v float64, as func(float64) string, name string) {
		all = append(all, figure{section, name, v, as})
	}
	count := func(c record.Count, name string) { add(float64(s.Counts[c]), whole, name) }
	some := func(c record.Count, name string) {
		if s.Counts[c] > 0 {
			count(c, name)
		}
	}

	section = "connections"
	add(float64(s.PeakOpen), whole, "open at most")
	count(record.Opened, "opened")
	count(record.Failed, "failed")
	add(s.ConnectRate, whole, "connects per second")
	if s.Counts[record.Sent]+s.Counts[record.Received] > 0 {
		section = "messages"
		count(record.Sent, "sent")
		count(record.Received, "received")
		add(s.SentRate, whole, "sent per second")
		add(s.Received, whole, "received per second")
	}
	if s.Counts[record.Due] > 0 {
		section = "schedule"
		count(record.Due, "due")
		count(record.Late, "late")
		count(record.Dropped, "dropped")
		count(record.Unanswered, "unanswered")
		some(record.Abandoned, "abandoned")
		some(record.CutOff, "cut off by the end")
	}
	section = "on purpose"
	for _, c := range []record.Count{record.Vanished, record.Paused, record.Left} {
		some(c, string(c))
	}
	all = append(all, s.Broadcasts.figures()...)
	all = append(all, s.Expiry.figures()...)
	all = append(all, s.Drain.figures()...)
	all = append(all, each("closes by code", "of ", s.Closes)...)
	all = append(all, each("errors by kind", "", s.Errors)...)
	all = append(all, s.Server.figures()...)
	return append(all, s.Itself.figures(s.Latencies[string(record.Lag)])...)
}

func (b *Broadcasts) figures() []figure {
	if b == nil {
		return nil
	}
	const section = "broadcasts"
	return []figure{
		{section, "sent to all", float64(b.Count), whole},
		{section, "deliveries", float64(b.Deliveries), whole},
		{section, "missing", float64(b.Missing), whole},
	}
}

func (e *Expiry) figures() []figure {
	if e == nil {
		return nil
	}
	const section = "expiry"
	if e.Count+e.Early+e.Unexpired == 0 {
		return []figure{{section, "expired while the run lasted", 0, nothing}}
	}
	all := []figure{
		{section, "on time or late", float64(e.Count), whole},
		{section, "early", float64(e.Early), whole},
		{section, "never", float64(e.Unexpired), whole},
	}
	if e.TickMS == 0 || e.Count == 0 {
		return all
	}
	return append(all,
		figure{section, "ticks late at p50", e.P50Ticks, plain},
		figure{section, "ticks late at p99", e.P99Ticks, plain},
		figure{section, "ticks late at most", e.MaxTicks, plain})
}

func (d *Drain) figures() []figure {
	if d == nil {
		return nil
	}
	const section = "drain"
	if d.Closes == 0 {
		return []figure{{section, "closed while the run lasted", 0, nothing}}
	}
	all := []figure{
		{section, "closes", float64(d.Closes), whole},
		{section, "from the first to the last", d.Seconds, seconds},
		{section, "a second on average", d.Mean, whole},
		{section, "a second at most", float64(d.Max), whole},
		{section, "times the mean at most", d.Ratio, plain},
	}
	if d.Kept > 0 {
		all = append(all, figure{section, "not closed", float64(d.Kept), whole})
	}
	return all
}

func each[K cmp.Ordered](section, before string, counts map[K]int64) (all []figure) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, figure{section, before + fmt.Sprint(k), float64(counts[k]), whole})
	}
	return all
}

func (v *Server) figures() []figure {
	if v == nil {
		return nil
	}
	const section = "server"
	var all []figure
	add := func(value float64, as func(float64) string, name string) {
		all = append(all, figure{section, name, value, as})
	}
	if v.RSSPeak > 0 {
		add(float64(v.RSSBefore), size, "RSS before")
		add(float64(v.RSSPeak), size, "RSS at most")
		add(float64(v.RSSAfter), size, "RSS after")
		add(v.PerSession, size, "RSS growth per session")
		all = append(all, cpuHeld(section, v.CPU))
		add(v.CPUSeconds, seconds, "CPU in all")
	}
	if v.CPUPerThousand > 0 {
		add(v.CPUPerThousand/1000, seconds, "CPU per 1,000 messages")
	}
	if v.Goroutines > 0 {
		add(float64(v.Goroutines), whole, "goroutines at most")
	}
	if v.FDs > 0 {
		add(float64(v.FDs), whole, "descriptors at most")
	}
	if v.SocketPerSession > 0 {
		add(v.SocketPerSession, size, "socket buffers per session")
	}
	if v.StructuresPerSocket > 0 {
		add(v.StructuresPerSocket, size, "of the kernel's structures per socket")
	}
	return all
}

func (i *Itself) figures(lag Latency) []figure {
	if i == nil {
		return nil
	}
	const section = "tool"
	all := []figure{
		{section, "RSS at most", float64(i.RSSPeak), size},
		{section, "of that per connection", i.PerConnection, size},
		cpuHeld(section, i.CPU),
		{section, "CPU in all", i.CPUSeconds, seconds},
	}
	if i.DelayShare > 0 {
		all = append(all, figure{section, "waiting for a CPU", i.DelayShare, percentage})
	}
	if lag.Count > 0 {
		all = append(all, figure{section, "lag at p99", lag.P99 / 1000, seconds})
	}
	return all
}

// nothing is a count of 0 that is the news.
func nothing(float64) string { return "nothing" }

// cpuHeld is the CPU of a hold, in percent of a core; nil: it was too short to tell.
func cpuHeld(section string, cpu *float64) figure {
	const name = "CPU while held"
	if cpu == nil {
		return figure{section, name, 0, func(float64) string { return "unknown (hold too short)" }}
	}
	return figure{section, name, *cpu, percentage}
}

// whole writes 1234567 as 1,234,567.
func whole(v float64) string {
	if v != 0 && v < 10 && v != float64(int64(v)) {
		return plain(v)
	}
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func plain(v float64) string      { return trimmed(strconv.FormatFloat(v, 'f', 2, 64)) }
func percentage(v float64) string { return trimmed(strconv.FormatFloat(v, 'f', 1, 64)) + " %" }

func trimmed(text string) string {
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// seconds writes a time with three digits that matter.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}

func size(n float64) string {
	unit := "B"
	for _, larger := range []string{"KiB", "MiB", "GiB"} {
		if n < 1024 && n > -1024 {
			break
		}
		n, unit = n/1024, larger
	}
	digits := 0
	if unit != "B" && n < 100 && n > -100 {
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + " " + unit
}
