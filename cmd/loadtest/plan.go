package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/wheelgate/wheelgate/loadtest/capacity"
	"github.com/wheelgate/wheelgate/loadtest/fleet"
	"github.com/wheelgate/wheelgate/loadtest/probe"
)

// result is what --json writes.
type result struct {
	Raised string             `json:"raised"`
	Best   int                `json:"best"`
	Broke  int                `json:"broke,omitempty"`
	Why    string             `json:"broke_because,omitempty"`
	Cut    string             `json:"ended_early_because,omitempty"`
	CPU    float64            `json:"cpu_ms_per_1000_messages,omitempty"`
	Plan   *capacity.Plan     `json:"plan,omitempty"`
	Rates  *capacity.RatePlan `json:"rate_plan,omitempty"`
	Check  *check             `json:"check,omitempty"`
}

// check is the highest step, as the steps below it would have predicted it.
type check struct {
	Sessions  int     `json:"sessions"`
	Predicted float64 `json:"predicted_rss_bytes"`
	Measured  int64   `json:"measured_rss_bytes"`
	Error     float64 `json:"error"` // share of what was measured
}

// conclude tells what the steps there are have shown; cut is why there are no more, nil
// if none were needed.
func (c *climb) conclude(search *capacity.Search, cut error, s streams) error {
	r := result{Raised: strings.ReplaceAll(c.unit(), "per second", "rate"), Best: search.Best(), Broke: search.Broke()}
	for _, st := range c.steps {
		if st.n == r.Broke {
			r.Why = st.why
		}
		if st.n == r.Best && st.summary.Server != nil {
			r.CPU = st.summary.Server.CPUPerThousand
		}
	}
	if cut != nil {
		r.Cut = oneLine(cut)
	}
	if c.rate {
		r.Rates = capacity.NewRatePlan(c.ratePoints(), c.host.CPUs, cmp.Or(r.Why, r.Cut))
	}
	if len(c.points) >= 2 {
		var err error
		if r.Plan, err = capacity.NewPlan(c.points, c.host); err != nil {
			fmt.Fprintln(s.err, "no plan:", oneLine(err))
		}
		r.Check = c.check()
	}
	if r.Best == 0 && cut == nil {
		cut = errors.New("not even the first step held")
	}
	return errors.Join(c.write(r, s), cut)
}

// write writes all that can be written: one that fails keeps the other from nothing.
func (c *climb) write(r result, s streams) error {
	var text error
	if c.json != "-" {
		text = c.text(r, s)
	}
	return errors.Join(text, toJSON(c.json, s.out, r))
}

func (c *climb) text(r result, s streams) error {
	fmt.Fprintf(s.out, "held    %s %s\n", thousands(r.Best), c.unit())
	if r.Broke > 0 {
		fmt.Fprintf(s.out, "broke   %s %s: %s\n", thousands(r.Broke), c.unit(), r.Why)
	}
	if r.Cut != "" {
		fmt.Fprintf(s.out, "ended   early: %s\n", r.Cut)
	}
	if r.Rates != nil {
		return r.Rates.Text(s.out)
	}
	if r.CPU > 0 && (r.Plan == nil || r.Plan.CPU == nil) {
		fmt.Fprintf(s.out, "CPU     %.1f ms of the server's per 1,000 messages in or out with %s connections, all included\n", r.CPU, thousands(r.Best))
	}
	if r.Check != nil {
		fmt.Fprintf(s.out, "check   %s sessions took %.1f MiB; the smaller steps predict %.1f MiB, %.1f %% off\n",
			thousands(r.Check.Sessions), float64(r.Check.Measured)/(1<<20), r.Check.Predicted/(1<<20), 100*r.Check.Error)
	}
	if r.Plan == nil {
		return nil
	}
	return r.Plan.Text(s.out)
}

// ratePoints are what the steps took, of a rate that is raised.
func (c *climb) ratePoints() (all []capacity.RatePoint) {
	for _, st := range c.steps {
		p := capacity.RatePoint{Rate: st.n, Messages: st.summary.SentRate + st.summary.Received, Held: st.held, Saturated: st.late}
		if server := st.summary.Server; server != nil {
			p.Server = known(server.CPU)
		}
		if tool := st.summary.Itself; tool != nil && len(c.options.remote) == 0 {
			p.Tool = known(tool.CPU)
		}
		all = append(all, p)
	}
	return all
}

// known is 0 for what was not measured.
func known(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func (c *climb) check() *check {
	last := len(c.points) - 1
	if last < 2 {
		return nil
	}
	var x, y []float64
	for _, p := range c.points[:last] {
		x, y = append(x, float64(p.Sessions)), append(y, float64(p.RSS))
	}
	line, err := capacity.Fit(x, y)
	if err != nil {
		return nil
	}
	p := c.points[last]
	predicted := line.At(float64(p.Sessions))
	off := predicted/float64(p.RSS) - 1
	return &check{Sessions: p.Sessions, Predicted: predicted, Measured: p.RSS, Error: max(off, -off)}
}

// machine is what bounds the servers here; what is not known of them all is left out.
func (c *climb) machine() capacity.Machine {
	tool := c.steps[0].summary.Machine
	m := capacity.Machine{CPUs: tool.CPUs, Memory: tool.Memory, Page: os.Getpagesize(), Sysctls: map[string][]int{}}
	for _, name := range capacity.Sysctls() {
		m.Sysctls[name] = probe.Sysctl(name)
	}
	processes := map[int]bool{}
	for _, server := range c.options.servers() {
		if processes[server.PID] {
			continue // of several targets
		}
		limit := openFiles(server)
		if limit == 0 {
			return capacity.Machine{} // on another machine, perhaps
		}
		processes[server.PID] = true
		m.Descriptors += limit
	}
	m.Processes = len(processes)
	return m
}

func openFiles(server fleet.Server) int {
	if server.PID == 0 {
		return 0
	}
	return int(min(probe.OpenFiles(server.PID), 1<<30))
}

// point keeps what the server took, of steps higher than all before: after a higher
// one it may not have given its memory back.
func (c *climb) point(st step) {
	server := st.summary.Server
	if c.rate || server == nil || st.rss == 0 {
		return
	}
	open := st.summary.PeakOpen
	if last := len(c.points) - 1; last >= 0 && open <= c.points[last].Sessions {
		return
	}
	c.points = append(c.points, capacity.Point{
		Sessions: open, RSS: st.rss, Sockets: int64(server.SocketPerSession * float64(open)),
		Structures:  int64(server.StructuresPerSocket * float64(open)),
		Descriptors: server.FDs, CPU: known(server.CPU), Messages: st.summary.SentRate + st.summary.Received,
	})
}
