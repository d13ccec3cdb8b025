package loadtest

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// schedule is a series of work in the hold.
type schedule struct {
	series scenario.Series
	next   int
	do     func(n int, dueAt time.Duration)
	step   func(time.Time)
}

// follow does each item of a series when it is due, and those that are late as
// soon as it can.
func (l *lane) follow(series scenario.Series, do func(n int, dueAt time.Duration)) *schedule {
	s := &schedule{series: series, do: do}
	s.step = func(time.Time) { l.step(s) }
	l.step(s)
	return s
}

func (l *lane) step(s *schedule) {
	for range turn {
		if s.next == s.series.Len() || l.phase != holding {
			return
		}
		dueAt := l.held + s.series.Due(s.next)
		if dueAt > l.e.now() {
			l.at(dueAt, s.step)
			return
		}
		s.next++
		s.do(s.next-1, dueAt)
	}
	l.at(l.e.now(), s.step)
}

// work is follow for what counts as work: what the hold's end finds undone was
// due and is dropped.
func (l *lane) work(series scenario.Series, do func(n int, dueAt time.Duration)) {
	l.schedules = append(l.schedules, l.follow(series, func(n int, dueAt time.Duration) {
		l.begun(dueAt, dueAt, l.e.now())
		do(n, dueAt)
	}))
}

// dropUndone also drops the connects that were due by their rate, and waited for others.
func (l *lane) dropUndone() {
	now := l.e.now()
	if came := l.plan.Connections; came.Rate > 0 {
		for ; l.next < len(l.sessions) && came.Due(l.next) <= now; l.next++ {
			l.count(due, 1)
			l.count(dropped, 1)
		}
	}
	for _, s := range l.schedules {
		for ; s.next < s.series.Len() && l.held+s.series.Due(s.next) <= now; s.next++ {
			l.count(due, 1)
			l.count(dropped, 1)
		}
	}
	l.schedules = nil
	for i := range l.sessions {
		if s := &l.sessions[i]; s.storm && s.state == absent {
			l.outlast(s)
		}
	}
}

// awaitHold has the hold begin at a moment that is the same for all lanes and
// workers. It is known before, since another lane may begin first, and a broadcast
// of that one's be here already.
func (l *lane) awaitHold(begin time.Duration) {
	l.held, l.told = begin, true
	l.at(begin, func(time.Time) { l.hold() })
}

func (l *lane) hold() {
	if l.phase > arrived {
		return // leaving already, or begun by a broadcast
	}
	l.phase = holding
	if l.cut {
		l.end()
		return
	}
	sc := &l.e.job.Scenario
	if sc.SlowReaders != nil {
		l.pause(sc.SlowReaders.Share)
	}
	if sc.HalfOpen != nil {
		l.vanish(sc.HalfOpen.Share)
	}
	l.follow(l.plan.Broadcasts, func(k int, _ time.Duration) { l.begin(k) })
	if l.e.job.BroadcastMessage != "" && l.e.job.Worker == 0 && l.index == 0 {
		l.work(l.plan.Broadcasts, l.sendBroadcast)
	}
	l.work(l.plan.Messages, l.sendMessage)
	l.work(l.plan.Churn, l.churn)
	l.follow(l.plan.Storms, l.storm) // no work: the reconnects are
	l.at(l.held+sc.Hold.Std(), func(time.Time) { l.end() })
}

// sendMessage sends item n of the messages. The first senders of the connections
// are the senders, so that a sender's number is its session's.
func (l *lane) sendMessage(n int, _ time.Duration) {
	s := &l.sessions[n%l.plan.Senders.Len()]
	number(l.payload, l.plan.Messages.Index(n))
	if l.send(s, l.payload) && l.e.job.Scenario.Messages.Echo {
		s.unanswered++
		l.pending++
	}
}

// send sends text on a session, or counts it as dropped.
func (l *lane) send(s *session, text []byte) bool {
	if s.state != open || s.slow {
		l.count(dropped, 1)
		return false
	}
	before := l.e.now()
	if err := s.conn.Send(client.Text, text); err != nil {
		l.count(dropped, 1)
		if errors.Is(err, client.ErrFull) {
			l.tally.errors[client.KindSlow]++
		}
		return false
	}
	s.active = before
	l.count(sent, 1)
	l.count(sentBytes, len(text))
	return true
}

// churn replaces one session's connection by a new one, in turn.
func (l *lane) churn(n int, dueAt time.Duration) {
	if len(l.sessions) == 0 {
		l.count(dropped, 1)
		return
	}
	i := n % len(l.sessions)
	switch s := &l.sessions[i]; s.state {
	case open:
		l.part(s)
		l.dial(i, dueAt)
	case absent:
		l.dial(i, dueAt)
	default:
		l.count(dropped, 1)
	}
}

// storm drops all and has them come back, each at a moment of its own within the jitter.
func (l *lane) storm(_ int, dueAt time.Duration) {
	var lost []int
	jitter := l.e.job.Scenario.Storm.Jitter.Std()
	comes := func(i int) time.Duration { return l.sessions[i].since }
	for i := range l.sessions {
		if s := &l.sessions[i]; s.state == open {
			s.storm, s.lost = true, dueAt
			s.since = dueAt + time.Duration(scenario.Spread(l.plan.Connections.Index(i))*float64(jitter))
			lost = append(lost, i)
			c := s.conn
			l.lose(s, true)
			l.closing++
			c.Abort()
		}
	}
	slices.SortFunc(lost, func(a, b int) int { return int(comes(a) - comes(b)) })
	var back func(time.Time)
	back = func(time.Time) {
		for n := 0; len(lost) > 0 && l.phase == holding; n++ {
			now := l.e.now()
			if comes(lost[0]) > now || n == turn {
				l.at(max(now, comes(lost[0])), back)
				return
			}
			i := lost[0]
			lost = lost[1:]
			l.begun(comes(i), comes(i), now)
			l.dial(i, comes(i))
		}
	}
	back(time.Time{})
}

// chosen reports whether a session is of a share of the crowd.
func (l *lane) chosen(i int, share float64) bool {
	return l.sessions[i].state == open && scenario.Spread(l.plan.Connections.Index(i)) < share
}

// pause makes slow readers of a share.
func (l *lane) pause(share float64) {
	for i := range l.sessions {
		if s := &l.sessions[i]; l.chosen(i, share) {
			s.slow = true
			l.receivers.remove(i)
			l.giveUpOn(i, true)
			l.count(paused, 1)
			s.conn.Pause()
		}
	}
}

// vanish makes a share half-open. Their descriptors are kept until the run ends:
// to close them would tell the server.
func (l *lane) vanish(share float64) {
	for i := range l.sessions {
		if s := &l.sessions[i]; l.chosen(i, share) {
			c := s.conn
			l.lose(s, true)
			s.state = silent
			c.Vanish()
		}
	}
}

// sendBroadcast asks for broadcast k by a message from one of the sessions, in turn.
func (l *lane) sendBroadcast(k int, _ time.Duration) {
	payload := BroadcastPayload(l.e.job.Run, k, l.e.job.Scenario.Broadcasts.Bytes)
	text := bytes.Replace([]byte(l.e.job.BroadcastMessage), []byte(BroadcastPlace), payload, 1)
	for n := range l.sessions {
		if s := &l.sessions[(k+n)%len(l.sessions)]; s.state == open && !s.slow {
			l.send(s, text)
			return
		}
	}
	l.count(dropped, 1)
}

// message is called by the crowd.
func (l *lane) message(c *client.Conn, payload []byte, at time.Duration) {
	l.count(received, 1)
	l.count(receivedBytes, len(payload))
	if !l.told {
		return
	}
	s := &l.sessions[c.Tag()]
	kind, k, ok := marked(l.e.prefix, payload)
	switch {
	case !ok:
	case kind == kindEcho && l.asked(c.Tag(), k) && l.answered(s, c):
		l.pending--
		l.tally.record(echo, at-l.held-l.plan.Messages.DueIndex(k))
		l.settle()
	case kind == kindBroadcast && k < l.plan.Broadcasts.Total:
		if l.phase == arrived {
			l.hold() // another lane was faster, and who is to be slow or silent here is not yet
		}
		if s.conn == c && !s.slow {
			l.receipt(c.Tag(), k, at)
		}
	}
}

// answered takes one echo off those under way on a connection, if there are any.
func (l *lane) answered(s *session, c *client.Conn) bool {
	if s.conn == c {
		if s.unanswered == 0 {
			return false
		}
		s.unanswered--
		return true
	}
	n := l.parting[c]
	if n > 0 {
		l.parting[c] = n - 1
	}
	return n > 0
}

// asked reports whether message k is of this session, and not another's that a
// server sends to all.
func (l *lane) asked(i, k int) bool {
	m := l.plan.Messages
	n := k - m.First
	return m.Step > 0 && n >= 0 && n%m.Step == 0 && (n/m.Step)%l.plan.Senders.Len() == i
}
