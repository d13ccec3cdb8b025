package loadtest

import "time"

// How long the end waits, beyond what the scenario says.
const (
	answerWait  = 5 * time.Second  // for the last echoes and receipts
	resumeWait  = 2 * time.Second  // for what slow readers have to read
	leaveWait   = 5 * time.Second  // for the server's answers to our close frames
	expiryGrace = 10 * time.Second // or half the timeout: who is open then does not expire
)

// end ends the hold.
func (l *lane) end() {
	if l.phase != holding {
		return
	}
	l.dropUndone()
	l.phase = ending
	sc := &l.e.job.Scenario
	until := answerWait
	switch {
	case sc.Expire != nil:
		until = sc.Expire.Timeout.Std() + max(expiryGrace, sc.Expire.Timeout.Std()/2)
	case sc.Drain != nil:
		until = sc.Drain.Within.Std()
	case sc.SlowReaders != nil:
		l.resume()
		until = resumeWait
	}
	l.at(l.e.now()+until, func(time.Time) { l.giveUp() })
	l.settle()
}

// cutHold ends the hold before its time, or, if it has not begun, as soon as it does.
func (l *lane) cutHold() {
	l.cut = true
	l.end()
}

// drained tells the engine of the close that a drain begins with: the first that
// the server had a close frame for, or the last, if it has none for any. A single
// connection that breaks is no drain.
func (l *lane) drained(code int) {
	if l.e.job.Scenario.Drain == nil || l.phase >= leaving || (code == noFrame && l.open > 0) {
		return
	}
	select {
	case l.e.drains <- l.e.now():
	default: // it is known
	}
}

// noFrame is the code of a connection that ended without a close frame (RFC 6455,
// section 7.1.5).
const noFrame = 1006

// resume has the slow readers read again, so that they are told how they ended.
// They stay slow: what they get late is no delivery.
func (l *lane) resume() {
	for i := range l.sessions {
		if s := &l.sessions[i]; s.slow {
			s.conn.Resume()
		}
	}
}

// complete reports whether all has come that the end waits for.
func (l *lane) complete() bool {
	sc := &l.e.job.Scenario
	switch {
	case sc.Expire != nil || sc.Drain != nil:
		return l.open == 0 && l.opening == 0
	case sc.SlowReaders != nil:
		return false
	}
	return l.pending == 0 && l.awaited == 0 && l.opening == 0
}

// giveUp ends the wait.
func (l *lane) giveUp() {
	if l.phase != ending {
		return
	}
	if l.e.job.Scenario.Expire != nil {
		l.count(unexpired, l.open)
	}
	l.phase = ended
	l.e.events <- event{l.index, ended}
}

// leave closes what is left. The crowd ends with it.
func (l *lane) leave() {
	if l.phase < leaving {
		l.dropUndone()
		l.phase = leaving
		l.count(kept, l.open)
	}
	n := 0
	for i := range l.sessions {
		s := &l.sessions[i]
		if s.state != open {
			continue
		}
		if n++; n > turn {
			l.at(l.e.now(), func(time.Time) { l.leave() })
			return
		}
		l.part(s)
	}
	l.settle()
}

// outlast counts a session lost in a storm that the hold's end finds absent: it was due
// and nobody came to it, or its turn would come later.
func (l *lane) outlast(s *session) {
	s.storm = false
	l.count(due, 1)
	if s.since <= l.e.now() {
		l.count(dropped, 1)
		return
	}
	l.count(cutOff, 1)
}

// last counts what the run's end leaves undecided.
func (l *lane) last() {
	l.count(cutOff, l.opening)
	for i := range l.sessions {
		l.count(unanswered, int(l.sessions[i].unanswered))
	}
	for _, n := range l.parting {
		l.count(unanswered, int(n))
	}
}
