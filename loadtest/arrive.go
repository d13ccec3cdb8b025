package loadtest

import "time"

// turn is how much work is begun before the loop looks at its sockets again.
const turn = 64

// arrive dials what is due, as far as handshakes may be under way. With a rate it
// is open: late ones are late. Without one, a session is due when its turn comes.
func (l *lane) arrive() {
	if l.phase != arriving {
		return
	}
	series := l.plan.Connections
	for n := 0; l.next < len(l.sessions) && l.opening < l.parallel; n++ {
		now := l.e.now()
		dueAt := now
		if series.Rate > 0 {
			dueAt = series.Due(l.next)
		}
		switch {
		case dueAt > now:
			l.wake(dueAt)
			return
		case n == turn:
			l.wake(now)
			return
		}
		l.begun(dueAt, max(dueAt, min(l.freed, now)), now)
		l.next++
		l.dial(l.next-1, dueAt)
	}
	l.settle()
}

// wake has arrive look again.
func (l *lane) wake(at time.Duration) {
	if l.armed {
		return
	}
	l.armed = true
	l.at(at, func(time.Time) {
		l.armed = false
		l.arrive()
	})
}

// dial opens a connection for an absent session.
func (l *lane) dial(i int, dueAt time.Duration) {
	s := &l.sessions[i]
	s.state, s.since, s.active = opening, dueAt, l.e.now()
	l.opening++
	l.count(dialed, 1)
	target := l.e.targets[l.plan.Connections.Index(i)%len(l.e.targets)]
	s.conn = l.loop.Dial(target, i)
}

// retry is a session that was refused in a storm, and when it tries again.
type retry struct {
	session int
	due     time.Duration
}

// retryAfter is what clients commonly wait before they try again.
const retryAfter = time.Second

// retry has a session try again later. All wait as long, so the queue is in order.
func (l *lane) retry(i int) {
	s := &l.sessions[i]
	s.since = l.e.now() + retryAfter
	if l.phase > holding {
		l.outlast(s)
		return
	}
	l.retries = append(l.retries, retry{i, s.since})
	if len(l.retries) == 1 {
		l.at(l.retries[0].due, l.retryDue)
	}
}

func (l *lane) retryDue(time.Time) {
	for range turn {
		now := l.e.now()
		switch {
		case len(l.retries) == 0 || l.phase != holding:
			return
		case l.retries[0].due > now:
			l.at(l.retries[0].due, l.retryDue)
			return
		}
		r := l.retries[0]
		l.retries = l.retries[1:]
		l.begun(r.due, r.due, now)
		l.dial(r.session, r.due)
	}
	if len(l.retries) > 0 {
		l.at(l.e.now(), l.retryDue)
	}
}
