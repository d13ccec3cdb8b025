package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/capacity"
	"github.com/wheelgate/wheelgate/loadtest/report"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// What capacity does unless it is told otherwise.
const (
	capacityFrom        = 1000
	capacityMost        = 100_000
	capacityConnectRate = 2000
	capacityHold        = 5 * time.Second
)

func capacityCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "capacity", Usage: "raise connections or rate until an objective breaks, and plan from what was measured", ArgsUsage: "SCENARIO|FILE",
		Flags: append(loadFlags(), under("Capacity",
			text("slo", `objectives that have to hold, such as "p99(echo)<50ms, errors<0.1%"; without it, that all connect and none is lost, unless the scenario is about that`),
			text("raise", "what is raised: connections or rate (default: connections)"),
			text("from", "first step (default: 1000)"),
			text("most", "no step is above it (default: 100000)"),
			text("json", "file for the plan as JSON; - is stdout, in place of the text"),
			toggle("progress", "show how each step goes"))...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			c, err := readClimb(cmd, o)
			if err != nil {
				return err
			}
			return c.run(ctx, s)
		},
	}
}

// climb raises the load step by step.
type climb struct {
	options    *options
	slo        []report.Objective
	rate       bool // it is the rate that is raised
	from, most int
	json       string

	steps  []step
	points []capacity.Point
	host   capacity.Machine
}

// step is one run of the climb.
type step struct {
	n       int
	held    bool
	why     string // it did not hold
	rss     int64  // of the server while held; 0: unknown
	late    bool   // the tool was the bottleneck
	summary report.Summary
}

// defaultSLO is that all connect and none is lost, which is no error if the server
// says goodbye. Scenarios in which it may end some bear that.
func defaultSLO(s scenario.Scenario) string {
	const connects = "errors==0, failed==0"
	if s.Loss() == scenario.LossExpected || s.SlowReaders != nil {
		return connects
	}
	return connects + ", closed==0"
}

func readClimb(cmd *cli.Command, o *options) (*climb, error) {
	r := &reader{cmd: cmd}
	c := &climb{options: o, from: capacityFrom, most: capacityMost}
	slo, given := r.text("slo")
	if !given {
		slo = defaultSLO(o.scenario)
	}
	var err error
	if c.slo, err = report.ParseObjectives(slo); err != nil {
		r.fail("--slo: %s", oneLine(err))
	}
	switch raise, given := r.text("raise"); {
	case raise == "rate":
		c.rate = true
		if o.scenario.Messages == nil && o.scenario.Broadcasts == nil && o.scenario.Churn == nil {
			r.fail("--raise: scenario %s has no rate to raise", o.scenario.Name)
		}
	case given && raise != "connections":
		r.bad("raise", raise, "connections or rate")
	}
	r.whole("from", 1, scenario.MaxConnections, &c.from)
	r.whole("most", 1, scenario.MaxConnections, &c.most)
	if c.most < c.from {
		r.fail("--most: %d is below --from, %d", c.most, c.from)
	}
	c.json, _ = r.text("json")
	if !cmd.IsSet("connect-rate") {
		o.scenario.Connect.Rate = capacityConnectRate
	}
	if !cmd.IsSet("hold") && !cmd.IsSet("duration") {
		o.scenario.Hold = scenario.Duration(capacityHold)
	}
	o.quiet = !cmd.Bool("progress")
	return c, r.fault
}

// run climbs, and prints the plan.
func (c *climb) run(ctx context.Context, s streams) error {
	if err := checkFile("json", c.json); err != nil {
		return err
	}
	ctx, kill, release := withSignals(ctx)
	defer release()
	search := capacity.NewSearch(c.from, c.most)
	err := c.ascend(ctx, kill, search, s)
	release()
	if code := exitCode(0); len(c.steps) == 0 || errors.As(err, &code) {
		return err
	}
	return c.conclude(search, err, s)
}

// ascend takes step after step. Its error is why it ended early; from the second step
// on that is no usage error, as something has been run.
func (c *climb) ascend(ctx, kill context.Context, search *capacity.Search, s streams) error {
	for n, done := search.First(), false; !done; {
		st, err := c.try(ctx, kill, n, s)
		code := exitCode(0)
		switch {
		case err != nil && (len(c.steps) == 0 || errors.As(err, &code)):
			return err
		case err != nil:
			return fmt.Errorf("the step with %d: %s", n, oneLine(err))
		}
		if c.steps = append(c.steps, st); len(c.steps) == 1 {
			c.host = c.machine() // while the server is there
		}
		c.point(st)
		fmt.Fprintln(s.err, c.line(st))
		n, done = search.Next(st.held)
	}
	return nil
}

// try runs one step.
func (c *climb) try(ctx, kill context.Context, n int, s streams) (step, error) {
	o := *c.options
	if c.rate {
		o.scenario = withRate(o.scenario, float64(n))
	} else {
		o.scenario = withConnections(o.scenario, n)
	}
	if err := o.scenario.Validate(); err != nil {
		return step{}, usagef("scenario %s: %s", o.scenario.Name, oneLine(err))
	}
	file, err := newRecordFile("")
	if err != nil {
		return step{}, err
	}
	defer file.close()
	if err := o.execute(ctx, kill, file, s); err != nil {
		return step{}, err
	}
	run, err := report.Read(file.read())
	if err != nil {
		return step{}, err
	}
	if err := verdict(run.End, true); err != nil && (run.End == nil || run.End.Lost == "") { // that is a step that did not hold
		return step{}, err
	}
	st := c.judge(n, report.Summarize(run))
	st.rss, st.late = heldMemory(run), run.End != nil && len(run.End.Saturated) > 0
	return st, nil
}

// heldMemory is the last that the servers' processes took before the crowd left, of
// all together: the peak would have what handshakes needed for a moment. A process of
// several targets counts once. 0 if one could not be looked at.
func heldMemory(run *report.Run) int64 {
	held, targets := map[int]int64{}, map[int]bool{} // by process
	var until time.Duration
	for i, mark := range run.Marks {
		if until = mark.At; i > 0 && run.Marks[i-1].Text == "holding" {
			break // the hold's end
		}
	}
	for _, line := range run.Servers {
		if line.Process != nil && line.At < until {
			held[line.Process.PID], targets[line.Target] = line.Process.RSS, true
		}
	}
	if len(targets) < len(run.Header.Targets) {
		return 0
	}
	total := int64(0)
	for _, rss := range held {
		if rss <= 0 {
			return 0
		}
		total += rss
	}
	return total
}

// judge says whether a step held. One in which the tool was the bottleneck did not:
// nobody knows what the server would have done.
func (c *climb) judge(n int, summary report.Summary) step {
	var broken []string
	for _, o := range c.slo {
		switch holds, got, err := o.Holds(summary); {
		case err != nil:
			broken = append(broken, oneLine(err))
		case !holds:
			broken = append(broken, fmt.Sprintf("%s is broken by %s", o.Text, got))
		}
	}
	broken = append(broken, summary.Reasons...)
	return step{n: n, held: len(broken) == 0, why: strings.Join(broken, "; "), summary: summary}
}

// withConnections is a scenario with another number of connections, of whom no more
// than there are talk.
func withConnections(s scenario.Scenario, n int) scenario.Scenario {
	s.Connections = n
	if s.Messages != nil {
		m := *s.Messages
		m.Senders = min(m.Senders, n)
		s.Messages = &m
	}
	return s
}

// withRate is a scenario with another rate of what --rate is for.
func withRate(s scenario.Scenario, rate float64) scenario.Scenario {
	switch {
	case s.Messages != nil:
		m := *s.Messages
		m.Rate, s.Messages = rate, &m
	case s.Broadcasts != nil:
		b := *s.Broadcasts
		b.Rate, s.Broadcasts = rate, &b
	case s.Churn != nil:
		ch := *s.Churn
		ch.Rate, s.Churn = rate, &ch
	}
	return s
}

func (c *climb) unit() string {
	if c.rate {
		return "per second"
	}
	return "connections"
}

func (c *climb) line(st step) string {
	if st.held {
		return fmt.Sprintf("%s %s: held", thousands(st.n), c.unit())
	}
	return fmt.Sprintf("%s %s: did not hold: %s", thousands(st.n), c.unit(), st.why)
}
