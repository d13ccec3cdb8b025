package fleet

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/probe"
	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Config is a run.
type Config struct {
	Job loadtest.Job // Worker, Workers and Loops are set for each worker
	// Emit gets the lines of the run's record, from any goroutine.
	Emit func(record.Line)
	// Local is how many worker processes are started; Command starts one, with
	// stdin and stdout for the conversation.
	Local   int
	Command []string
	Remote  []string      // host:port of workers on other machines
	Token   string        // theirs
	Servers []Server      // what to look at, by index of the target
	Trigger *Trigger      // of broadcasts; nil: none
	Header  record.Header // what is known of it before the run; Targets are as they may be kept

	silence time.Duration // for tests; 0: silence
}

// SetupError is why a run did not begin: nothing has been measured.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// How long the coordinator waits for workers.
const (
	setupWait = 30 * time.Second
	lead      = 250 * time.Millisecond // between an order and the moment it is for
	stopWait  = 15 * time.Second       // for workers to leave in order
	// silence is how long a worker may say nothing, of whom a sample comes each second,
	// before it counts as lost: it hangs, or the network to it does.
	silence = 30 * time.Second
)

// Run runs it and returns how it ended, which has been emitted too. The end of ctx
// ends the run early and in order; the end of kill at once. Its workers have ended
// when it returns. An error is a *SetupError.
func Run(ctx, kill context.Context, config Config) (record.End, error) {
	c := &coordinator{Config: config, messages: make(chan message), losses: newLosses()}
	defer c.end()
	if err := c.setUp(ctx, kill); err != nil {
		return record.End{}, &SetupError{err}
	}
	return c.run(ctx, kill), nil
}

// message is what a worker says; ok is false when it has gone.
type message struct {
	worker int
	answer answer
	ok     bool
}

type coordinator struct {
	Config

	links    []*link
	messages chan message
	start    time.Time
	stopped  context.CancelFunc // of probes and trigger
	overdue  context.CancelFunc // of the trigger alone
	beside   sync.WaitGroup     // probes, trigger, and those who forward messages

	// Owned by run.
	connected, done int
	arrived         time.Duration // when the last worker's crowd had connected; 0: not yet
	phase           string        // the latest mark
	stopping        bool
	draining        bool
	fault, lost     string
	losses          *losses
	saturated       []string
	triggered       *triggered // nil: no broadcasts are asked for
	holdEnd         <-chan time.Time
}

// setUp starts the workers and gives each its job.
func (c *coordinator) setUp(ctx, kill context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupWait)
	defer cancel()
	for i := range c.Local {
		l, err := local(kill, fmt.Sprintf("worker %d", i), c.Command)
		if err != nil {
			return err
		}
		c.links = append(c.links, l)
	}
	for _, addr := range c.Remote {
		l, err := remote(ctx, kill, addr, c.Token)
		if err != nil {
			return err
		}
		c.links = append(c.links, l)
	}
	for i, l := range c.links {
		if c.giveJob(i, l) != nil {
			return l.gone("before it began")
		}
	}
	for _, l := range c.links {
		if err := l.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *coordinator) giveJob(i int, l *link) error {
	job := c.Job
	job.Worker, job.Workers = i, len(c.links)
	if !l.remote {
		job.Loops = loopsOf(runtime.GOMAXPROCS(0), c.Local)
	}
	return l.orders.send(order{Job: &job})
}

// loopsOf shares the CPUs that this program may use among its workers.
func loopsOf(cpus, workers int) int { return max(1, (cpus+workers-1)/max(1, workers)) }

// ready waits until the worker has taken its job.
func (l *link) ready(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: not ready: %w", l.name, context.Cause(ctx))
	case a, ok := <-l.answers:
		switch {
		case !ok:
			return l.gone("before it began")
		case a.Fault != "":
			return fmt.Errorf("%s: %s", l.name, a.Fault)
		}
	}
	if !l.remote {
		return nil
	}
	if err := l.synchronize(ctx); err != nil {
		return fmt.Errorf("worker %s: %w", l.name, err)
	}
	return nil
}

// run is the run proper.
func (c *coordinator) run(ctx, kill context.Context) record.End {
	before := c.before()
	c.start = time.Now().Add(lead)
	c.begin(func(at time.Time) order { return order{Start: &at} }, c.start)
	c.Header.Version, c.Header.Started, c.Header.Workers = record.Version, c.start.Round(0), len(c.links)
	c.Header.Scenario = c.Job.Scenario
	c.Emit(record.Line{Header: &c.Header})
	c.mark(0, "connecting")
	for _, line := range before {
		c.Emit(line)
	}

	beside, stop := context.WithCancel(ctx)
	c.stopped = stop
	c.beside.Go(func() { c.probe(beside) })
	for i, l := range c.links {
		c.beside.Go(func() { c.forward(i, l, kill) })
	}
	interrupted := c.supervise(ctx, kill)
	stop()
	c.judgeEnd(interrupted)
	c.judgeTrigger()
	end := record.End{At: c.now(), Arrived: c.arrived, Interrupted: interrupted, Error: c.fault, Lost: c.lost, Saturated: c.saturated}
	c.end()
	c.Emit(record.Line{End: &end})
	return end
}

// begin tells all workers of a moment, each by its own clock.
func (c *coordinator) begin(what func(time.Time) order, at time.Time) {
	for _, l := range c.links {
		_ = l.orders.send(what(at.Round(0).Add(l.offset))) // one that has gone is noticed by its answers
	}
}

func (c *coordinator) mark(at time.Duration, text string) {
	c.phase = text
	c.Emit(record.Line{Mark: &record.Mark{At: at, Text: text}})
}

func (c *coordinator) forward(i int, l *link, kill context.Context) {
	for {
		m := message{worker: i}
		select {
		case m.answer, m.ok = <-l.answers:
		case <-kill.Done():
			return
		}
		select {
		case c.messages <- m:
		case <-l.stop:
			return
		case <-kill.Done():
			return
		}
		if !m.ok {
			return
		}
	}
}

// supervise takes the workers through the run until all are done.
func (c *coordinator) supervise(ctx, kill context.Context) (interrupted bool) {
	cancelled := ctx.Done()
	var giveUp <-chan time.Time
	watchdog := time.NewTicker(time.Second)
	defer watchdog.Stop()
	for _, l := range c.links {
		l.heard = time.Now()
	}
	for c.done < len(c.links) {
		select {
		case m := <-c.messages:
			c.take(ctx, m)
		case <-c.holdEnd:
			c.holdEnd = nil
			c.mark(c.now(), c.endingMark())
		case <-cancelled:
			cancelled, interrupted = nil, true
			c.stop()
		case <-watchdog.C:
			c.listenFor()
		case <-giveUp:
			c.fail("some workers did not leave in order")
			return interrupted
		case <-kill.Done():
			return true
		}
		if c.stopping && giveUp == nil {
			giveUp = time.After(stopWait)
		}
	}
	return interrupted
}

// leaving is the mark from which on the workers close what is open.
const leaving = "leaving"

func (c *coordinator) endingMark() string {
	switch {
	case c.Job.Scenario.Expire != nil:
		return "silent"
	case c.Job.Scenario.Drain != nil:
		return "waiting for the drain"
	}
	return leaving
}

// stop asks all workers to leave.
func (c *coordinator) stop() {
	c.stopping = true
	c.stopped()
	c.holdEnd = nil
	if c.phase != leaving {
		c.mark(c.now(), leaving)
	}
	for _, l := range c.links {
		_ = l.orders.send(order{Stop: true})
	}
}

// fail keeps the first fault and ends the run in order.
func (c *coordinator) fail(fault string) {
	if c.fault == "" {
		c.fault = fault
	}
	if !c.stopping {
		c.stop()
	}
}

// listenFor fails a run of which a worker has fallen silent; the end of the run ends it.
func (c *coordinator) listenFor() {
	most := cmp.Or(c.silence, silence)
	for _, l := range c.links {
		if quiet := time.Since(l.heard); !l.done && quiet > most {
			l.done = true // nobody waits for it
			c.done++
			c.fail(fmt.Sprintf("%s has said nothing for %v", l.name, quiet.Round(time.Second)))
		}
	}
}

func (c *coordinator) take(ctx context.Context, m message) {
	l := c.links[m.worker]
	l.heard = time.Now()
	if l.done {
		return // its stream's end
	}
	switch a := m.answer; {
	case !m.ok:
		l.done = true
		c.done++
		c.fail(l.gone("midway").Error())
	case a.Line != nil:
		c.Emit(*a.Line)
		if a.Line.Sample != nil {
			c.watch(a.Line.Sample)
		}
	case a.Connected:
		if c.connected++; c.connected == len(c.links) && !c.stopping {
			c.arrived = c.now()
			c.hold(ctx)
		}
	case a.Draining != nil:
		c.drain(*a.Draining)
	case a.Done != nil:
		l.done = true
		c.done++
		for _, reason := range a.Done.Saturated {
			c.saturated = append(c.saturated, l.name+": "+reason)
		}
		if a.Done.Error != "" {
			c.fail(l.name + ": " + a.Done.Error)
		}
	}
}

// hold begins the hold for all.
func (c *coordinator) hold(ctx context.Context) {
	at := time.Now().Add(lead)
	c.begin(func(at time.Time) order { return order{Hold: &at} }, at)
	c.losses.held = at.Sub(c.start)
	if c.draining {
		return // it has no hold
	}
	c.mark(at.Sub(c.start), "holding")
	c.holdEnd = time.After(time.Until(at.Add(c.Job.Scenario.Hold.Std())))
	if c.Trigger != nil {
		beside, stop := context.WithCancel(ctx)
		before := c.stopped
		c.stopped, c.overdue, c.triggered = func() { stop(); before() }, stop, newTriggered()
		c.beside.Go(func() { c.trigger(beside, at) })
	}
}

// drain is the server's begin to let go, as the first worker saw it: nothing more is
// asked of it, and all workers wait for the rest.
func (c *coordinator) drain(at time.Duration) {
	if c.draining || c.stopping {
		return
	}
	c.draining, c.holdEnd = true, nil
	c.mark(at, "draining")
	if c.overdue != nil {
		c.overdue()
	}
	for _, l := range c.links {
		_ = l.orders.send(order{Over: true})
	}
}

// end ends all conversations, workers and what runs beside.
func (c *coordinator) end() {
	if c.stopped != nil {
		c.stopped()
	}
	var ending sync.WaitGroup
	for _, l := range c.links {
		ending.Go(func() { _ = l.end() })
	}
	ending.Wait()
	c.links = nil
	c.beside.Wait()
	slices.Sort(c.saturated)
}

// now is how long the run has lasted; 0: it has not begun, and may have been interrupted.
func (c *coordinator) now() time.Duration { return max(0, time.Since(c.start)) }

// self tells what the coordinator takes; its samples have worker -1.
func (c *coordinator) self(s *record.Sample) {
	s.Worker, s.At, s.Process = record.Coordinator, c.now(), probe.Self()
	c.Emit(record.Line{Sample: s})
}
