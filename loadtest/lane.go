package loadtest

import (
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// state is what a session is to its lane.
//
//	absent ──dial──> opening ──Opened──> open ──Closed, churn, storm──> absent
//	                    └────Failed────> absent      open ──Vanish──> silent
type state uint8

const (
	absent  state = iota
	opening       // handshake under way
	open
	silent // half-open: we have gone, and the server has not been told
)

// session is one member of the crowd, through all of its connections. All times
// are since the run's start.
type session struct {
	conn       *client.Conn  // nil: absent or silent
	since      time.Duration // opening, or absent after a storm: when that is due
	active     time.Duration // opening: when it was dialed; open: last activity, see doc.go
	lost       time.Duration // storm: when it was lost
	unanswered int32         // echoes under way
	state      state
	slow       bool // does not read
	storm      bool // lost in a storm and not back yet
}

// phase is how far a lane has come; it never goes back.
type phase uint8

const (
	arriving phase = iota
	arrived        // waits for the hold's begin, which is the same for all workers
	holding
	ending // waits for expiry, drain, or the last answers
	ended
	leaving
	gone
)

// lane is what happens on one loop: its share of the sessions and of the work.
// All of it belongs to the loop.
type lane struct {
	e        *Engine
	loop     *client.Loop
	index    int
	plan     scenario.Plan
	phase    phase
	sessions []session
	tally    *tally // this second's
	spare    *tally // the last second's, while it is read

	open, opening int     // sessions by state
	closing       int     // connections that we closed and that are not closed yet
	pending       int     // echoes under way
	receivers     members // sessions that a broadcast should reach
	// parting are connections that we have closed, with the echoes under way there:
	// what was sent before the close frame may still be answered.
	parting map[*client.Conn]int32

	// Arrival, see arrive.
	next     int
	parallel int
	freed    time.Duration // when the last handshake ended that others waited for
	armed    bool          // a timer for the next one is set

	// Hold.
	held      time.Duration // its begin
	told      bool          // held is known
	cut       bool          // it ends as soon as it begins, or now
	schedules []*schedule
	retries   []retry
	payload   []byte
	waves     []*wave // the broadcasts from number oldest on; nil: told
	oldest    int
	awaited   int // receipts of the waves
}

const defaultParallel = 256 // handshakes at once in a worker

func newLane(e *Engine, loop *client.Loop, index, of int) *lane {
	plan := e.plan.Split(index, of)
	parallel := e.job.Scenario.Connect.Parallel
	if parallel == 0 {
		parallel = defaultParallel
	}
	l := &lane{
		e: e, loop: loop, index: index, plan: plan,
		sessions: make([]session, plan.Connections.Len()),
		tally:    newTally(), spare: newTally(),
		parallel:  max(1, parallel/of),
		receivers: newMembers(plan.Connections.Len()),
		parting:   map[*client.Conn]int32{},
	}
	if m := e.job.Scenario.Messages; m != nil {
		l.payload = Payload(e.job.Run, kindEcho, 0, m.Bytes)
	}
	return l
}

// at calls f on the loop, not before due.
func (l *lane) at(due time.Duration, f func(time.Time)) { l.loop.At(l.e.start.Add(due), f) }

func (l *lane) count(c counter, n int) { l.tally.counts[c] += int64(n) }

// begun counts a piece of work that begins now and was due; what the tool is to
// blame for counts from free, when nothing but the tool kept it from beginning.
func (l *lane) begun(dueAt, free, now time.Duration) {
	l.count(due, 1)
	l.tally.record(lag, now-free)
	if now-dueAt > time.Millisecond {
		l.count(late, 1)
	}
}

// part closes a session's connection in order: what still happens to that is no longer
// the session's, but for the echoes under way.
func (l *lane) part(s *session) {
	c := s.conn
	if s.unanswered > 0 {
		l.parting[c] = s.unanswered
		s.unanswered = 0
	}
	l.lose(s, l.phase < leaving) // the run has waited for what is under way when it leaves
	l.closing++
	c.Close(1000, "")
}

// parted is a connection whose close has ended.
func (l *lane) parted(c *client.Conn) {
	l.closing--
	if n, ok := l.parting[c]; ok {
		delete(l.parting, c)
		l.count(unanswered, int(n))
		l.pending -= int(n)
	}
}

// lose makes an open session absent. What is under way there is missing, unless it was
// ours to cut it: then nobody knows whether it would have come.
func (l *lane) lose(s *session, ours bool) {
	l.open--
	l.e.level.fall()
	l.receivers.remove(s.conn.Tag())
	l.giveUpOn(s.conn.Tag(), ours)
	echoes := unanswered
	if ours {
		echoes = abandoned
	}
	l.count(echoes, int(s.unanswered))
	l.pending -= int(s.unanswered)
	s.conn, s.unanswered, s.slow, s.state = nil, 0, false, absent
}

// free ends a handshake. Only where there were as many as may be has another waited
// for it: else nothing but the tool kept that from beginning.
func (l *lane) free(now time.Duration) {
	if l.opening == l.parallel {
		l.freed = now
	}
	l.opening--
}

// opened is called by the crowd.
func (l *lane) opened(c *client.Conn, connected, upgraded time.Duration) {
	s, now := &l.sessions[c.Tag()], l.e.now()
	l.free(now)
	l.open++
	l.e.level.rise()
	l.beginDue(now)
	l.receivers.add(c.Tag())
	l.count(opened, 1)
	l.tally.record(connect, s.active-s.since+connected)
	l.tally.record(handshake, upgraded)
	s.conn, s.state = c, open
	s.active += connected
	if s.storm {
		l.tally.record(reconnect, s.active+upgraded-s.lost)
		s.storm = false
	}
	if l.phase >= leaving {
		l.part(s)
	}
	l.arrive()
	l.settle()
}

// failed is called by the crowd.
func (l *lane) failed(c *client.Conn, err *client.Error) {
	s := &l.sessions[c.Tag()]
	l.free(l.e.now())
	l.count(failed, 1)
	l.tally.errors[err.Kind]++
	s.conn, s.state = nil, absent
	if s.storm {
		l.retry(c.Tag())
	}
	l.arrive()
	l.settle()
}

// closed is called by the crowd.
func (l *lane) closed(c *client.Conn, code int, err *client.Error, at time.Duration) {
	s := &l.sessions[c.Tag()]
	switch {
	case err != nil && err.Kind == client.KindVanished:
		l.count(vanished, 1)
		return
	case err != nil && err.Kind == client.KindNotVanished:
		l.tally.errors[err.Kind]++
		return
	}
	if s.conn != c {
		l.count(left, 1)
		l.parted(c)
		l.settle()
		return
	}
	l.count(closed, 1)
	l.tally.closes[code]++
	if err != nil {
		l.tally.errors[err.Kind]++
	}
	if e := l.e.job.Scenario.Expire; e != nil {
		if over := at - s.active - e.Timeout.Std(); over < 0 {
			l.count(early, 1)
		} else {
			l.tally.record(expiry, over)
		}
	}
	l.lose(s, false)
	l.drained(code)
	l.settle()
}

// settle moves on to the next phase when nothing is left to do in this one.
func (l *lane) settle() {
	switch {
	case l.phase == arriving && l.next == len(l.sessions) && l.opening == 0:
		l.phase = arrived
	case l.phase == ending && l.complete():
		l.phase = ended
	case l.phase == leaving && l.open == 0 && l.closing == 0:
		l.phase = gone
	default:
		return
	}
	l.e.events <- event{l.index, l.phase}
}

// swap returns what was counted since the last call; it is the caller's until the
// next call.
func (l *lane) swap() *tally {
	l.tally, l.spare = l.spare, l.tally
	l.tally.reset()
	return l.spare
}
