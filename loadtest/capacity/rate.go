package capacity

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// RatePoint is what one rate took; CPU is in percent of one core.
type RatePoint struct {
	Rate     int     `json:"rate_per_s"`     // of what is raised
	Messages float64 `json:"messages_per_s"` // in and out of the server
	Server   float64 `json:"server_cpu_percent"`
	Tool     float64 `json:"tool_cpu_percent"`
	Held     bool    `json:"held"`
	// Saturated: the tool was the bottleneck, so nobody knows what the server would do.
	Saturated bool `json:"tool_saturated,omitempty"`
}

// RatePlan is how much work a server does.
type RatePlan struct {
	Points []RatePoint `json:"points"`
	CPU    *CPU        `json:"cpu,omitempty"` // nil: the points do not tell
	// Messages are the server's, in and out, for one of what is raised.
	Messages float64 `json:"messages_per_raised,omitempty"`
	// Limits are the rates at which the CPUs are used up, the lower first.
	Limits []RateLimit `json:"limits,omitempty"`
	// First is what was met first: what broke the least rate that did not hold, as far as
	// it shows from outside. Its rate is 0.
	First RateLimit `json:"first_limit"`
	// Highest is the highest rate that held; 0: none did.
	Highest int `json:"highest_rate"`
}

// RateLimit is a bound on the rate and the setting that moves it.
type RateLimit struct {
	Name    string `json:"name"`
	Rate    int    `json:"rate_per_s,omitempty"`
	Setting string `json:"setting"`
}

// busy is the share of this machine's CPUs from which on they are what is short: the
// rest goes to the kernel's work for both, which no process is charged with.
const busy = 0.85

// NewRatePlan says what the points tell, in the order they were measured, of a server
// on a machine with so many CPUs; 0: the machine is unknown. why is what broke or, if
// nothing did, what ended the search early; "" if all held.
func NewRatePlan(points []RatePoint, cpus int, why string) *RatePlan {
	p := &RatePlan{Points: points}
	var broke *RatePoint
	var fit []Point
	for i, x := range points {
		fit = append(fit, Point{CPU: x.Server, Messages: x.Messages})
		switch {
		case x.Held && x.Rate > p.Highest:
			p.Highest = x.Rate
			p.Messages = x.Messages / float64(x.Rate)
		case !x.Held && (broke == nil || x.Rate < broke.Rate):
			broke = &points[i]
		}
	}
	p.CPU = fitRate(fit)
	p.First = firstRate(broke, cpus, why)
	p.limits(cpus)
	return p
}

// fitRate is FitCPU for points of a fixed crowd; what costs less than nothing is noise.
func fitRate(points []Point) *CPU {
	if len(points) < 2 {
		return nil
	}
	c := FitCPU(points)
	if c == nil || c.PerThousandMessages <= 0 {
		return nil
	}
	return c
}

func (p *RatePlan) limits(cpus int) {
	if p.CPU == nil || p.Messages <= 0 || cpus == 0 {
		return
	}
	room := max(0, 100*float64(cpus)-max(0, p.CPU.Base))
	each, tool := p.CPU.PerThousandMessages*p.Messages/10_000, p.tool() // percent of a core for one a second
	if tool > 0 {
		p.Limits = append(p.Limits, RateLimit{"CPU, with the tool on the same machine", int(room / (each + tool)), "the tool on another machine (--workers host:port)"})
	}
	p.Limits = append(p.Limits, RateLimit{"CPU, if the server has all of this machine", int(room / each), "more CPUs, or fewer and smaller messages"})
}

// tool is what the tool takes for one a second at the highest rate that held, in percent
// of a core.
func (p *RatePlan) tool() float64 {
	if best := p.best(); best != nil {
		return best.Tool / float64(best.Rate)
	}
	return 0
}

// best is the point of the highest rate that held; nil: none did.
func (p *RatePlan) best() *RatePoint {
	for i, x := range p.Points {
		if x.Rate == p.Highest && x.Held {
			return &p.Points[i]
		}
	}
	return nil
}

const moreTools = "more workers, on other machines (--workers host:port)"

// firstRate names the limit from what was used when a rate did not hold.
func firstRate(broke *RatePoint, cpus int, why string) RateLimit {
	all := 100 * float64(cpus)
	switch {
	case broke == nil && why != "":
		return RateLimit{Name: "none was met: " + why, Setting: "a search that is not cut short"}
	case broke == nil:
		return RateLimit{Name: "none was met", Setting: "--most, which ended the search"}
	case cpus > 0 && broke.Server >= busy*all:
		return RateLimit{Name: fmt.Sprintf("CPU: the server used %.0f %% of %.0f", broke.Server, all), Setting: "more CPUs, or fewer and smaller messages"}
	case cpus > 0 && broke.Server+broke.Tool >= busy*all:
		return RateLimit{
			Name:    fmt.Sprintf("CPU that the server shares with the tool: %.0f and %.0f %% of %.0f", broke.Server, broke.Tool, all),
			Setting: "the tool on another machine (--workers host:port), or more CPUs",
		}
	case broke.Saturated && cpus > 0:
		return RateLimit{Name: fmt.Sprintf("the tool itself: it used %.0f and the server %.0f %% of %.0f", broke.Tool, broke.Server, all), Setting: moreTools}
	case broke.Saturated:
		return RateLimit{Name: "the tool itself", Setting: moreTools}
	case strings.Contains(why, "no descriptors"):
		return RateLimit{Name: "descriptors", Setting: "ulimit -n (RLIMIT_NOFILE)"}
	case cpus == 0:
		return RateLimit{Name: "unknown, as the server's machine is", Setting: "what the server's own metrics show"}
	}
	return RateLimit{
		Name:    fmt.Sprintf("not CPU, of which the server used %.0f %% of %.0f", broke.Server, all),
		Setting: "the server's own limits (queues, rates, locks, one busy thread): see its metrics",
	}
}

// Text writes the plan for people. The error is w's.
func (p *RatePlan) Text(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if p.CPU != nil {
		fmt.Fprintf(t, "CPU\t%.1f ms per 1,000 messages in or out, and %.1f %% of a core besides; %.1f %% off at most\n", p.CPU.PerThousandMessages, max(0, p.CPU.Base), 100*p.CPU.Error)
	} else {
		fmt.Fprintln(t, "CPU\tunknown: needs two rates at which the server's process is seen (--server-pid) for two seconds or more (--hold)")
	}
	if best := p.best(); best != nil && best.Server > 0 && best.Messages > 0 {
		fmt.Fprintf(t, "measured\tserver %.0f %% and tool %.0f %% of a core at %s per second: %.1f ms of the server's for 1,000 messages, all included\n",
			best.Server, best.Tool, thousands(best.Rate), 10_000*best.Server/best.Messages)
	}
	if p.Messages > 0 {
		fmt.Fprintf(t, "messages\t%.4g of the server's, in and out, for one of what is raised\n", p.Messages)
	}
	_ = t.Flush() // into a strings.Builder
	if len(p.Limits) > 0 {
		t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "\nper second\tlimit of this machine, by the CPU that was measured\tmoved by\n")
		for _, l := range p.Limits {
			fmt.Fprintf(t, "%s\t%s\t%s\n", thousands(l.Rate), l.Name, l.Setting)
		}
		_ = t.Flush()
	}
	fmt.Fprintf(&b, "\nfirst limit: %s; moved by %s\n", p.First.Name, p.First.Setting)
	_, err := io.WriteString(w, b.String())
	return err
}
