package main

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// adminEvictAfter is how long a connection may wait for something before it gives way to
	// one that waits for a place. Who asks for health alone needs no more than a moment.
	adminEvictAfter  = time.Second
	healthEvictAfter = 100 * time.Millisecond
	// lastLook is how long bytes may take that are on their way up in this machine.
	lastLook = time.Millisecond
	// shortLinger is linger where the place is wanted.
	shortLinger = 50 * time.Millisecond
)

// Reasons of wheelgate_admin_connections_evicted_total.
const (
	evictedIdle     = "idle"     // nothing was asked for evictAfter
	evictedHeader   = "header"   // a request's header was not whole after evictAfter
	evictedAnswered = "answered" // refused, and the body had still not come
	evictedWaiting  = "waiting"  // the request waited for its turn, and got a 503
)

// lobby is a listener for operators and their programs. It bounds the connections. Who
// comes beyond waits, and gets the place of the next one that is answered, or of the one
// that has been idle the longest, for evictAfter at least. A header that takes longer than
// that counts as idle. No request is cut whose header has arrived.
type lobby struct {
	net.Listener
	most       int
	evictAfter time.Duration
	evicted    *prometheus.CounterVec
	changed    chan struct{} // something that Accept may wait for
	done       chan struct{}
	once       sync.Once

	mu       sync.Mutex
	open     int
	wanted   bool      // Accept has a connection in hand and no place for it
	leaving  *guest    // is to give its place to that one
	told     time.Time // when leaving was
	yielding list.List // of *guest: who may be told to, the longest idle first
}

// phase is what a guest is about.
type phase int8

const (
	quiet   phase = iota // nothing has come of its next request
	asking               // some of the header has
	serving              // the header is whole
)

// guest is a connection in the lobby.
type guest struct {
	net.Conn
	lobby *lobby

	// Of the lobby's lock.
	entry  *list.Element // in yielding, or nil
	since  time.Time
	reason string
	yield  func() // has it leave soon; called with the lock held
	phase  phase
	cut    bool // its Read was told to end
	gone   bool // closed
}

func newLobby(l net.Listener, most int, evictAfter time.Duration, evicted *prometheus.CounterVec) *lobby {
	return &lobby{
		Listener: l, most: most, evictAfter: evictAfter, evicted: evicted,
		changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Accept implements net.Listener. It waits for a place after it has accepted, since
// nobody has to give way before someone is there.
func (l *lobby) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		entered, wait := l.enter()
		if entered {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.changed:
		case <-timer.C:
		case <-l.done:
			timer.Stop()
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		timer.Stop()
	}
	g := &guest{Conn: conn, lobby: l}
	l.mayYield(g, evictedIdle, l.evictAfter, g.stopReading) // as long as it says nothing
	return g, nil
}

// enter takes a place, or has the next one made free and says when to look again.
func (l *lobby) enter() (entered bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.most {
		l.open++
		l.wanted, l.leaving = false, nil
		return true, 0
	}
	l.wanted = true
	if l.leaving != nil && time.Since(l.told) < l.evictAfter {
		return false, l.evictAfter
	}
	front := l.yielding.Front()
	if front == nil {
		return false, l.evictAfter
	}
	g := front.Value.(*guest)
	if left := l.evictAfter - time.Since(g.since); left > 0 {
		return false, left
	}
	l.forget(g)
	l.leaving, l.told = g, time.Now()
	l.evicted.WithLabelValues(g.reason).Inc()
	g.yield()
	return false, l.evictAfter
}

// mayYield says that g can be told to leave, by yield, once it has been idle for
// evictAfter, of which left is still to come.
func (l *lobby) mayYield(g *guest, reason string, left time.Duration, yield func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offer(g, reason, left, yield)
}

// offer is mayYield with the lock held.
func (l *lobby) offer(g *guest, reason string, left time.Duration, yield func()) {
	l.forget(g)
	if g.gone {
		return // the server may tell of what it did before it saw that
	}
	if left <= 0 && l.leaving == g {
		yield()
		return
	}
	g.since, g.reason, g.yield = time.Now().Add(left-l.evictAfter), reason, yield
	if left > 0 {
		g.entry = l.yielding.PushBack(g)
	} else {
		g.entry = l.yielding.PushFront(g)
	}
	l.tell()
}

// stays says that g is busy. One that was to leave has been faster: it stays too.
func (l *lobby) stays(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(g)
}

// heard says that something came from g, which then stays. A header has evictAfter
// from its first byte on, however often another one comes.
func (l *lobby) heard(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch g.phase {
	case quiet:
		g.phase = asking
		l.keep(g)
		l.offer(g, evictedHeader, l.evictAfter, g.stopReading)
	case serving:
		l.keep(g)
	case asking:
	}
}

// keep is stays with the lock held.
func (l *lobby) keep(g *guest) {
	l.forget(g)
	if g.cut { // for one that may have found another place meanwhile
		g.cut = false
		_ = g.SetReadDeadline(time.Now().Add(adminHeaderTimeout))
	}
	if l.leaving == g {
		l.leaving = nil
		l.tell()
	}
}

// forget takes g off the list. The lock is held.
func (l *lobby) forget(g *guest) {
	if g.entry != nil {
		l.yielding.Remove(g.entry)
		g.entry = nil
	}
}

// tell has Accept look again.
func (l *lobby) tell() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// claimed reports whether g is to leave after the answer that begins now.
func (l *lobby) claimed(g *guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.wanted || l.leaving != nil {
		return false
	}
	l.leaving, l.told = g, time.Now()
	return true
}

// state is the server's http.Server.ConnState.
func (l *lobby) state(conn net.Conn, state http.ConnState) {
	g := guestOf(conn)
	switch state {
	case http.StateActive: // the header has come
		l.enterPhase(g, serving)
		l.stays(g)
	case http.StateIdle:
		l.enterPhase(g, quiet)
		l.mayYield(g, evictedIdle, l.evictAfter, g.stopReading)
	}
}

func (l *lobby) enterPhase(g *guest, p phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.phase = p
}

// guestOf returns the guest that conn runs over.
func guestOf(conn net.Conn) *guest {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*guest)
}

// stopReading has the server close a connection whose Read it waits for. The lock is held.
func (g *guest) stopReading() {
	g.cut = true
	_ = g.SetReadDeadline(time.Unix(1, 0))
}

// hurry bounds what is left of linger. The lock is held.
func (g *guest) hurry() { _ = g.SetReadDeadline(time.Now().Add(shortLinger)) }

// Read implements net.Conn. What arrives makes a quiet g stay, even at the last moment.
func (g *guest) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && g.mayStay() {
		_ = g.SetReadDeadline(time.Now().Add(lastLook))
		n, err = g.Conn.Read(p)
	}
	if n > 0 {
		g.lobby.heard(g)
	}
	return n, err
}

// mayStay reports whether g's Read was told to end before anything came.
func (g *guest) mayStay() bool {
	g.lobby.mu.Lock()
	defer g.lobby.mu.Unlock()
	return g.cut && g.phase == quiet
}

// Close implements net.Conn.
func (g *guest) Close() error {
	err := g.Conn.Close()
	l := g.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.gone {
		return err
	}
	g.gone = true
	l.forget(g)
	l.open--
	if l.leaving == g {
		l.leaving = nil
	}
	l.tell()
	return err
}

// taken is how many places are.
func (l *lobby) taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close implements net.Listener.
func (l *lobby) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
