package client

import (
	"bufio"
	"bytes"
	"runtime"
	"slices"
	"sync"
	"time"
)

// inputBuffer is what one connection may give in a turn, in bytes.
const inputBuffer = 64 << 10

// holdBack is how long what has arrived may stay unread at most.
const holdBack = time.Millisecond

// turnOfOthers is how long a loop that holds back keeps its processor. While it sleeps,
// Go's scheduler thinks that it runs, and took 20 to 40 ms to give others a turn.
const turnOfOthers = 5 * time.Millisecond

// Loop runs the connections dialled on it, and functions, one after the other. Its
// methods say where they may be called; all else belongs to its goroutine.
type Loop struct {
	crowd   *Crowd
	index   int
	key     [4]byte // masks all frames; see doc.go
	source  int     // of Config.Sources, next in turn
	poller  *poller
	yielded time.Time     // when others had their turn
	output  []byte        // the frame being sent
	head    *bufio.Reader // over the head of an answer

	handshakes deadlines // connecting or upgrading
	closings   deadlines // closing, or waiting for the server's FIN
	links      map[*link]struct{}

	mu       sync.Mutex
	posted   []func() // guarded by mu
	timers   []timer  // guarded by mu; the earliest last
	asleep   bool     // guarded by mu: it waits, or is about to
	stopping bool     // guarded by mu
	spare    []func() // the other buffer of posted
}

type timer struct {
	due time.Time
	f   func(now time.Time)
}

// Index is the loop's place in Crowd.Loops.
func (l *Loop) Index() int { return l.index }

// Post has f run soon on the loop; from any goroutine, the loop's too. After
// Crowd.Close it is dropped.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	if !l.stopping {
		l.posted = append(l.posted, f)
	}
	l.wakeLocked()
}

// At has f run on the loop once due has come, never before; from any goroutine, the
// loop's too, where it allocates nothing. Timers are kept in order: meant for a few
// per loop, not one for each connection.
func (l *Loop) At(due time.Time, f func(now time.Time)) {
	l.mu.Lock()
	i, _ := slices.BinarySearchFunc(l.timers, due, func(t timer, due time.Time) int {
		if t.due.After(due) {
			return -1
		}
		return 1 // before its equals: they run in the order of the calls
	})
	l.timers = slices.Insert(l.timers, i, timer{due, f})
	l.wakeLocked()
}

func (l *Loop) stop() {
	l.mu.Lock()
	l.stopping = true
	l.wakeLocked()
}

// wakeLocked unlocks mu and wakes the loop if it waits.
func (l *Loop) wakeLocked() {
	wake := l.asleep
	l.asleep = false
	l.mu.Unlock()
	if wake {
		l.poller.wake()
	}
}

// run is the loop.
func (l *Loop) run() {
	l.head = bufio.NewReader(bytes.NewReader(nil))
	for l.runPosted() {
		now := time.Now()
		l.runTimers(now)
		l.handshakes.expire(now, (*Conn).handshakeTimeout)
		l.closings.expire(now, (*Conn).closeTimeout)
		if l.holdsBack(now) {
			l.poller.look()
			l.poller.serve()
			l.rest(l.poller.nap)
			if now.Sub(l.yielded) > turnOfOthers {
				l.yielded = now
				runtime.Gosched()
			}
			continue
		}
		if !l.rest(l.poller.wait) {
			l.poller.look()
		}
		l.poller.serve()
	}
	l.poller.shut()
	for k := range l.links {
		k.close(nil, true)
	}
}

// runPosted reports whether to go on.
func (l *Loop) runPosted() bool {
	l.mu.Lock()
	if l.stopping {
		l.mu.Unlock()
		return false
	}
	l.posted, l.spare = l.spare[:0], l.posted
	l.mu.Unlock()
	for i, f := range l.spare {
		f()
		l.spare[i] = nil
	}
	return true
}

// runTimers runs those that are due now; what they add runs in the next turn.
func (l *Loop) runTimers(now time.Time) {
	l.mu.Lock()
	for n := len(l.timers); n > 0; n-- {
		last := len(l.timers) - 1
		if last < 0 || l.timers[last].due.After(now) {
			break
		}
		f := l.timers[last].f
		l.timers[last] = timer{}
		l.timers = l.timers[:last]
		l.mu.Unlock()
		f(time.Now())
		l.mu.Lock()
	}
	l.mu.Unlock()
}

// rest has wait wait until the next thing is due, zero for as long as it takes, unless
// there is something to do now: then it reports false.
func (l *Loop) rest(wait func(due time.Time)) bool {
	due := earlier(l.handshakes.first(), l.closings.first())
	l.mu.Lock()
	if len(l.posted) > 0 || l.stopping {
		l.mu.Unlock()
		return false
	}
	if n := len(l.timers); n > 0 {
		due = earlier(due, l.timers[n-1].due)
	}
	l.asleep = true
	l.mu.Unlock()
	wait(due)
	l.mu.Lock()
	l.asleep = false
	l.mu.Unlock()
	return true
}

// holdsBack reports whether what arrives may wait until the next timer. Where messages
// are sent by a schedule, a loop would wake twice for each, to send it and to see the
// answer, and the server once: so it looks for answers when it is to send anyway. When
// they arrived is the kernel's to tell, see poller.read. Handshakes do not wait, as
// their next step is the loop's, nor do links, whose goroutines need the processor; nor
// does a loop that has not got one for itself, as it would keep that from another.
func (l *Loop) holdsBack(now time.Time) bool {
	if l.crowd.cfg.Loops > runtime.GOMAXPROCS(0) || len(l.links) > 0 || !l.handshakes.first().IsZero() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.timers)
	return n > 0 && l.timers[n-1].due.Sub(now) < holdBack
}

// earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// deadlines of connections that all have the same time for something: a queue.
type deadlines struct {
	queue []deadline
	done  int // entries at the front that are over
}

type deadline struct {
	c     *Conn
	due   time.Time
	state stateSet // it holds while c is in one of these
}

func (d *deadlines) add(c *Conn, due time.Time, state stateSet) {
	d.queue = append(d.queue, deadline{c, due, state})
}

// expire calls f for the connections whose time is over, and forgets those at the
// front that are past it.
func (d *deadlines) expire(now time.Time, f func(*Conn)) {
	for d.done < len(d.queue) {
		e := d.queue[d.done]
		if e.state.has(e.c.state) {
			if e.due.After(now) {
				break
			}
			f(e.c)
		}
		d.queue[d.done] = deadline{}
		d.done++
	}
	if d.done == len(d.queue) {
		// A crowd's worth of entries is not kept for the next one.
		d.queue, d.done = nil, 0
	} else if d.done > len(d.queue)/2 {
		d.queue, d.done = append([]deadline(nil), d.queue[d.done:]...), 0
	}
}

func (d *deadlines) first() time.Time {
	if d.done == len(d.queue) {
		return time.Time{}
	}
	return d.queue[d.done].due
}
