package loadtest

import (
	"slices"
	"time"
)

// members is a set of a lane's sessions.
type members struct {
	bits []uint64
	n    int
}

func newMembers(sessions int) members { return members{bits: make([]uint64, (sessions+63)/64)} }

// add adds session i, which is not in it.
func (m *members) add(i int) {
	m.bits[i/64] |= 1 << (i % 64)
	m.n++
}

// remove reports whether session i was in it.
func (m *members) remove(i int) bool {
	bit := uint64(1) << (i % 64)
	if m.n == 0 || m.bits[i/64]&bit == 0 {
		return false
	}
	m.bits[i/64] &^= bit
	m.n--
	return true
}

func (m *members) clone() members { return members{slices.Clone(m.bits), m.n} }

// wave is one broadcast, as this lane's sessions receive it.
type wave struct {
	due         time.Duration
	first, last time.Duration // after due
	receipts    int
	expected    int
	awaited     members // those expected who have not got it, and may
}

// waveDue is when broadcast k is due.
func (l *lane) waveDue(k int) time.Duration { return l.held + l.plan.Broadcasts.DueIndex(k) }

// begin begins the broadcasts up to number k. It is due or has been heard of, so those
// before it are due too. Who receives now is expected to get them.
func (l *lane) begin(k int) {
	for next := l.oldest + len(l.waves); next <= k; next++ {
		w := &wave{due: l.waveDue(next), expected: l.receivers.n, awaited: l.receivers.clone()}
		l.waves = append(l.waves, w)
		l.awaited += w.expected
	}
}

// beginDue begins what is due by now, before a session comes that was not there then.
func (l *lane) beginDue(now time.Duration) {
	if l.phase != holding {
		return
	}
	for next := l.oldest + len(l.waves); next < l.plan.Broadcasts.Total && l.waveDue(next) <= now; next++ {
		l.begin(next)
	}
}

// receipt is a broadcast that has reached a session. It counts once, and not for a
// session that came after the broadcast had begun.
func (l *lane) receipt(i, k int, at time.Duration) {
	s, due := &l.sessions[i], l.waveDue(k)
	if e := l.e.job.Scenario.Expire; e != nil && e.Out() {
		s.active = max(s.active, due)
	}
	l.begin(k)
	after := at - due
	if k < l.oldest || l.waves[k-l.oldest] == nil {
		if after > waveAge { // told as missing: how late it is shows all the same
			l.tally.record(deliver, after)
		}
		return
	}
	w := l.waves[k-l.oldest]
	if !w.awaited.remove(i) {
		return
	}
	l.awaited--
	l.tally.record(deliver, after)
	if w.receipts == 0 {
		w.first, w.last = after, after
	}
	// What arrived first need not be read first.
	w.first, w.last = min(w.first, after), max(w.last, after)
	w.receipts++
	l.settle()
}

// giveUpOn waits no longer for a session to get what is under way. Who left by our doing
// is not expected to have got it.
func (l *lane) giveUpOn(i int, ours bool) {
	for _, w := range l.waves {
		if w == nil || !w.awaited.remove(i) {
			continue
		}
		l.awaited--
		if ours {
			w.expected--
		}
	}
}

// waveAge is when a broadcast is told that not all have received.
const waveAge = 30 * time.Second

// tellWaves returns the broadcasts that nobody waits for, or that are old, and forgets
// them; at the last call, all.
func (l *lane) tellWaves(last bool) map[int]wave {
	tell, now := map[int]wave{}, l.e.now()
	for i, w := range l.waves {
		if w == nil || !last && w.awaited.n > 0 && now-w.due <= waveAge {
			continue
		}
		l.awaited -= w.awaited.n
		l.count(expected, w.expected)
		w.awaited = members{}
		tell[l.oldest+i] = *w
		l.waves[i] = nil
	}
	for len(l.waves) > 0 && l.waves[0] == nil {
		l.waves = l.waves[1:]
		l.oldest++
	}
	return tell
}
