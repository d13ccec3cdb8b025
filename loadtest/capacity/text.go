package capacity

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text writes the plan for people. The error is w's.
func (p *Plan) Text(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "memory\t%s and %.0f bytes per session, %.1f %% off at most\n", mib(p.RSS.Base), p.RSS.Slope, 100*p.RSS.Error)
	if p.Sockets.Slope > 0 {
		fmt.Fprintf(t, "buffers\t%.0f bytes of the kernel's per session, both ends if the tool runs here too\n", p.Sockets.Slope)
	}
	fmt.Fprintf(t, "structures\t%s\n", p.structures())
	if p.Descriptors.Slope > 0 {
		fmt.Fprintf(t, "descriptors\t%.0f and %.2f per session\n", p.Descriptors.Base, p.Descriptors.Slope)
	}
	if c := p.CPU; c != nil {
		fmt.Fprintf(t, "CPU\t%s\n", c.text())
	}
	_ = t.Flush() // into a strings.Builder
	p.tables(&b)
	if p.First != nil {
		fmt.Fprintf(&b, "\nfirst limit: %s, at %s sessions; moved by %s\n", p.First.Name, thousands(p.First.Sessions), p.First.Setting)
	}
	if p.Backlog > 0 {
		fmt.Fprintf(&b, "%s connects may wait to be accepted (sysctl %s): it bounds how many come back at once\n", thousands(p.Backlog), backlog)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// structures says what they take, or why that is not in the plan.
func (p *Plan) structures() string {
	if p.Structures == nil {
		return "unknown, and in no memory below: /proc/meminfo and /proc/net/sockstat tell of them, with some hundred connections and more"
	}
	return fmt.Sprintf("%.0f bytes of the kernel's per session, for the server's end alone, %.1f %% off at most", p.Structures.Slope, 100*p.Structures.Error)
}

func (p *Plan) tables(w io.Writer) {
	kernel := "with the kernel's buffers and structures"
	if p.Structures == nil {
		kernel = "with the kernel's buffers alone"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nmemory\tsessions\t%s\t\n", kernel)
	for _, f := range p.Fits {
		fmt.Fprintf(t, "%d GiB\t%s\t%s\t\n", f.GiB, thousands(f.Process), thousands(f.Together))
	}
	_ = t.Flush()
	if len(p.Limits) == 0 {
		return
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nsessions\tlimit of this machine\tmoved by\n")
	for _, l := range p.Limits {
		fmt.Fprintf(t, "%s\t%s\t%s\n", thousands(l.Sessions), l.Name, l.Setting)
	}
	_ = t.Flush()
}

func (c *CPU) text() string {
	off := fmt.Sprintf(", %.1f %% off at most", 100*c.Error)
	switch {
	case c.Together:
		return fmt.Sprintf("%.1f ms per 1,000 messages, the idle sessions included%s", c.PerThousandMessages, off)
	case c.PerThousandMessages != 0:
		return fmt.Sprintf("%.1f ms per 1,000 messages, %.2f %% of a core per 1,000 idle sessions%s", c.PerThousandMessages, c.PerThousandIdle, off)
	}
	return fmt.Sprintf("%.2f %% of a core per 1,000 idle sessions%s", c.PerThousandIdle, off)
}

func mib(n float64) string { return fmt.Sprintf("%.1f MiB", n/(1<<20)) }

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
