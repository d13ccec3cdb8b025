package loadtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
	"github.com/wheelgate/wheelgate/loadtest/probe"
	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// Engine is one worker's run.
type Engine struct {
	// Static after New.
	job     Job
	plan    scenario.Plan // this worker's
	targets []*client.Target
	prefix  []byte // of the marks of this run
	emit    func(record.Line)

	// Static after the run's start.
	start time.Time
	lanes []*lane

	level level // of all lanes

	// Owned by Run.
	saturation saturation
	waves      map[int]*seen
	begun      time.Duration      // the hold; 0: not yet
	events     chan event         // from the lanes
	drains     chan time.Duration // from the lanes: when the server first let go
	fault      error
}

// event is a lane that has come to a phase.
type event struct {
	lane  int
	phase phase
}

// seen is a broadcast as those lanes saw it that have told so far.
type seen struct {
	wave
	lanes int
}

// New checks a job and resolves its targets. emit gets the run's Samples and
// Broadcasts, from Run's goroutine.
func New(job Job, emit func(record.Line)) (*Engine, error) {
	if err := job.Scenario.Validate(); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if len(job.Targets) == 0 || job.Workers < 1 || job.Worker < 0 || job.Worker >= job.Workers || len(job.Run) != runLength {
		return nil, errors.New("job: needs targets, a worker of its workers, and a run id of 8 hexadecimal digits")
	}
	plan := job.Scenario.Plan()
	e := &Engine{
		job: job, plan: plan.Split(job.Worker, job.Workers), emit: emit,
		prefix: []byte(markPrefix + job.Run + ":"),
		waves:  map[int]*seen{},
	}
	limit, used := probe.Descriptors()
	if need := e.plan.Connections.Len() + used + Spare; uint64(need) > limit {
		return nil, fmt.Errorf("connections: %d and what else is open need %d descriptors, and the limit is %d per process: use more workers or raise RLIMIT_NOFILE",
			e.plan.Connections.Len(), need, limit)
	}
	var err error
	e.targets, err = job.dials()
	return e, err
}

// Connections is how many the worker's share is.
func (e *Engine) Connections() int { return e.plan.Connections.Len() }

// Signals are what an Engine and who leads it tell each other during a run. The
// functions are called from Run's goroutine and must not wait for Run.
type Signals struct {
	// Connected: each session's handshake has ended, well or not. Run waits for Hold now.
	Connected func()
	// Draining: the scenario is a drain, and the server has begun to let go, at so
	// long after the start. The worker's hold is over; the others' is by Over.
	Draining func(at time.Duration)
	Hold     <-chan time.Time // the hold's begin, the same for all workers
	Over     <-chan struct{}  // the hold is over before its time; nil: it never is
}

// Run runs the job once, from start on, which is the same moment for all workers.
// It returns when all connections are closed, with the reasons why the tool itself
// may have been the bottleneck. The end of ctx ends the run early and in order.
func (e *Engine) Run(ctx context.Context, start time.Time, signals Signals) (saturated []string, err error) {
	crowd, err := client.New(e.job.config(), e)
	if err != nil {
		return nil, err
	}
	defer crowd.Close()
	e.start = local(start)
	loops := crowd.Loops()
	e.lanes = make([]*lane, len(loops))
	e.events = make(chan event, 8*len(loops)) // more than there are phases: lanes do not wait
	e.drains = make(chan time.Duration, 1)
	e.saturation = newSaturation(e.job.Limits, e.job.usable(len(loops)))
	for i, loop := range loops {
		e.lanes[i] = newLane(e, loop, i, len(loops))
	}
	for _, l := range e.lanes {
		l.at(0, func(time.Time) { l.arrive() })
	}
	e.supervise(ctx, signals)
	e.sample(true)
	return e.saturation.reasons(), e.fault
}

// local is a moment that came as wall time, with this process's monotonic clock.
func local(t time.Time) time.Time {
	now := time.Now()
	return now.Add(t.Sub(now.Round(0)))
}

func (e *Engine) now() time.Duration { return time.Since(e.start) }

// supervise takes the lanes through their phases and samples each second.
func (e *Engine) supervise(ctx context.Context, signals Signals) {
	second := time.NewTimer(time.Until(e.start.Add(time.Second)))
	defer second.Stop()
	var giveUp <-chan time.Time // set while leaving
	done, drains, count := ctx.Done(), e.drains, map[phase]int{}
	leave := func() {
		if giveUp == nil {
			giveUp = time.After(leaveWait)
			e.all(func(l *lane) { l.leave() })
		}
		done = nil
	}
	for {
		select {
		case <-second.C:
			e.sample(false)
			second.Reset(time.Until(e.start.Add(e.now().Truncate(time.Second) + time.Second)))
		case ev := <-e.events:
			if count[ev.phase]++; count[ev.phase] < len(e.lanes) {
				continue
			}
			switch ev.phase {
			case arrived:
				signals.Connected()
			case ended:
				leave()
			case gone:
				return
			}
		case at := <-drains:
			drains = nil
			e.all(func(l *lane) { l.cutHold() })
			signals.Draining(at)
		case <-signals.Over:
			signals.Over = nil
			e.all(func(l *lane) { l.cutHold() })
		case at := <-signals.Hold:
			signals.Hold = nil
			e.begun = local(at).Sub(e.start)
			e.all(func(l *lane) { l.awaitHold(e.begun) })
		case <-done:
			leave()
		case <-giveUp:
			return
		}
	}
}

// all has each lane do f on its loop.
func (e *Engine) all(f func(*lane)) {
	for _, l := range e.lanes {
		l.loop.Post(func() { f(l) })
	}
}

// report is what a lane has to tell each second.
type report struct {
	tally         *tally
	open, opening int
	waves         map[int]wave
}

// sample gathers the last second from all lanes, and emits it.
func (e *Engine) sample(last bool) {
	reports := make(chan report, len(e.lanes))
	e.all(func(l *lane) {
		if last {
			l.last()
		}
		told := l.tellWaves(last)
		reports <- report{l.swap(), l.open, l.opening, told}
	})
	sum := newTally()
	s := &record.Sample{Worker: e.job.Worker}
	for range e.lanes {
		r := <-reports
		sum.add(r.tally)
		s.Open += r.open
		s.Opening += r.opening
		e.see(r.waves)
	}
	s.At, s.Peak = max(0, e.now()), e.level.peak() // it may be stopped before the start
	s.Process = probe.Self()
	if err := sum.sample(s); err != nil && e.fault == nil {
		e.fault = err
	}
	paced := e.begun > 0 || e.job.Scenario.Connect.Rate > 0
	e.saturation.observe(s.At, s.Process, sum.histograms[lag], paced)
	e.emit(record.Line{Sample: s})
	if last {
		for k := range e.waves {
			e.tell(k)
		}
	}
}

// see merges what a lane saw of broadcasts, and emits those all have told of.
func (e *Engine) see(waves map[int]wave) {
	for k, w := range waves {
		s := e.waves[k]
		if s == nil {
			s = &seen{}
			s.due = w.due
			e.waves[k] = s
		}
		if w.receipts > 0 {
			if s.receipts == 0 || w.first < s.first {
				s.first = w.first
			}
			s.last = max(s.last, w.last)
		}
		s.receipts += w.receipts
		s.expected += w.expected
		if s.lanes++; s.lanes == len(e.lanes) {
			e.tell(k)
		}
	}
}

func (e *Engine) tell(k int) {
	s := e.waves[k]
	delete(e.waves, k)
	e.emit(record.Line{Broadcast: &record.Broadcast{
		At: s.due, Worker: e.job.Worker, ID: k,
		First: s.first, Last: s.last, Receipts: s.receipts, Expected: s.expected,
	}})
}

// Opened, Failed, Message and Closed make Engine the crowd's client.Handler.
func (e *Engine) Opened(c *client.Conn, connected, upgraded time.Duration) {
	e.lane(c).opened(c, connected, upgraded)
}

// Failed is part of client.Handler.
func (e *Engine) Failed(c *client.Conn, err *client.Error) { e.lane(c).failed(c, err) }

// Message is part of client.Handler.
func (e *Engine) Message(c *client.Conn, _ client.Opcode, payload []byte, at time.Time) {
	e.lane(c).message(c, payload, at.Sub(e.start))
}

// Closed is part of client.Handler.
func (e *Engine) Closed(c *client.Conn, code int, _ string, err *client.Error, at time.Time) {
	e.lane(c).closed(c, code, err, at.Sub(e.start))
}

func (e *Engine) lane(c *client.Conn) *lane { return e.lanes[c.Loop().Index()] }
