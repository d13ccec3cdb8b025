package main

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// silence is how long a handshake may take while places run short and its address holds
// more of them than its share. An honest client's is over well before, unless we are short
// of processor time: a crowd's handshakes then go on side by side and end together.
const silence = 2 * time.Second

// Reasons of wheelgate_connections_refused_total.
const (
	refusedShare    = "share"
	refusedDeadline = "deadline"
)

// handshakes is the listener for clients. It bounds the connections that are no session
// yet, of which the server has to tell it: so a storm of clients, or clients that say
// nothing, cannot take the files that sessions and the other listeners need. From accept
// to session a connection has one deadline, whatever it does meanwhile.
//
// Who comes beyond the bound waits in the kernel's queue (listen(2)). When three
// quarters of the places are taken, an address above its share gets no more of them:
// its next connection waits, for some two seconds. It is closed at once if one of its
// handshakes has lasted longer and few of the others became sessions meanwhile. A crowd
// behind one address is served as fast as ever. An address that keeps places without
// using them does not hold up others, who stand behind it in the kernel's queue.
type handshakes struct {
	net.Listener
	// Static after newHandshakes.
	most, share int
	timeout     time.Duration
	trusted     []netip.Prefix // their addresses stand for many clients: no share
	metrics     *doorMetrics
	log         zerolog.Logger
	full, hog   rate.Sometimes // the log lines of both
	freed       chan struct{}
	done        chan struct{}
	once        sync.Once

	mu       sync.Mutex
	order    list.List // of *handshake, the oldest first
	of       map[net.Conn]*list.Element
	from     map[netip.Prefix]*source
	deadline *time.Timer // of the oldest; nil: there is none
}

// source is an address with handshakes in progress.
type source struct {
	held      int
	now, last int       // how many became sessions since the mark, and in the time of silence before it
	mark      time.Time // when now began
}

// turn begins another period where it is time to.
func (s *source) turn() {
	switch since := time.Since(s.mark); {
	case since >= 2*silence:
		s.now, s.last, s.mark = 0, 0, time.Now()
	case since >= silence:
		s.now, s.last, s.mark = 0, s.now, s.mark.Add(silence)
	}
}

// moves reports whether a quarter of what it holds becomes sessions in the time of
// silence. When we are short of processor time, handshakes take long, and still end.
func (s *source) moves() bool {
	s.turn()
	return 4*max(s.now, s.last) >= s.held
}

// handshake is a connection that is no session yet.
type handshake struct {
	net.Conn
	from    netip.Prefix // zero: any number may come from there
	since   time.Time
	expired bool // closed at the deadline; the server has not told yet
}

func newHandshakes(l net.Listener, most int, o *options, metrics *doorMetrics, log zerolog.Logger) *handshakes {
	return &handshakes{
		Listener: l, most: most, share: max(1, most/32), timeout: o.gateway.HandshakeTimeout, trusted: o.trustedProxies,
		metrics: metrics, log: log, full: rate.Sometimes{Interval: time.Minute}, hog: rate.Sometimes{Interval: time.Minute},
		freed: make(chan struct{}, 1), done: make(chan struct{}),
		of: map[net.Conn]*list.Element{}, from: map[netip.Prefix]*source{},
	}
}

// Accept implements net.Listener. It waits for a place after it has accepted, since it
// must know whose connection it is.
func (l *handshakes) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.enter(&handshake{Conn: conn, from: l.client(conn)}) {
			return conn, nil
		}
		_ = conn.Close()
		select {
		case <-l.done:
			return nil, net.ErrClosed
		default:
		}
	}
}

// enter waits for a place. It reports false if there will be none.
func (l *handshakes) enter(h *handshake) bool {
	for {
		taken, wait := l.try(h)
		if taken || wait < 0 {
			return taken
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.freed:
		case <-timer.C:
		case <-l.done:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// try takes a place for h if it may have one now. Otherwise it says after what time to
// try again, unless a place is freed before; a negative one is never.
func (l *handshakes) try(h *handshake) (taken bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.order.Len()
	if s := l.from[h.from]; h.from.IsValid() && n >= l.most-l.most/4 && s != nil && s.held >= l.share {
		if wait := silence - time.Since(l.oldest(h.from)); wait > 0 {
			return false, wait
		}
		if s.moves() {
			return false, silence
		}
		l.refuse(h.from, s.held)
		return false, -1
	}
	if n >= l.most {
		l.full.Do(func() {
			l.log.Warn().Int("handshakes", n).Msg("All places for handshakes are taken; further clients wait")
		})
		return false, l.timeout
	}
	l.add(h)
	return true, 0
}

// oldest is when the oldest handshake from an address, which has one, began.
func (l *handshakes) oldest(from netip.Prefix) time.Time {
	for e := l.order.Front(); ; e = e.Next() {
		if h := e.Value.(*handshake); h.from == from {
			return h.since
		}
	}
}

func (l *handshakes) refuse(from netip.Prefix, held int) {
	l.metrics.refused.WithLabelValues(refusedShare).Inc()
	l.hog.Do(func() {
		l.log.Warn().Stringer("from", from).Int("handshakes", held).Int("share", l.share).
			Msg("An address holds too many unfinished handshakes, so its next connections are closed; if it is a proxy, add it to trusted-proxies")
	})
}

func (l *handshakes) add(h *handshake) {
	h.since = time.Now()
	l.of[h.Conn] = l.order.PushBack(h)
	s := l.from[h.from]
	if s == nil {
		s = &source{mark: h.since}
		l.from[h.from] = s
	}
	s.held++
	if l.deadline == nil {
		l.deadline = time.AfterFunc(l.timeout, l.expire)
	}
}

// expire closes what has had its time.
func (l *handshakes) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = nil
	for e := l.order.Front(); e != nil; e = e.Next() {
		h := e.Value.(*handshake)
		if left := l.timeout - time.Since(h.since); left > 0 {
			l.deadline = time.AfterFunc(left, l.expire)
			return
		}
		if !h.expired {
			h.expired = true
			l.metrics.refused.WithLabelValues(refusedDeadline).Inc()
			_ = h.Close()
		}
	}
}

// changed is the server's http.Server.ConnState.
func (l *handshakes) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateHijacked && state != http.StateClosed { // each ends with one of them
		return
	}
	secure, ok := conn.(*tls.Conn)
	if ok {
		conn = secure.NetConn()
	}
	l.leave(conn, state == http.StateHijacked)
	if ok && state == http.StateClosed {
		// Of a handshake that has ended this only tells how.
		if err := secure.Handshake(); err != nil {
			l.metrics.tlsFailures.WithLabelValues(tlsCause(err)).Inc()
		}
	}
}

// leave gives the place of conn back, which may have become a session.
func (l *handshakes) leave(conn net.Conn, session bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of[conn]
	if e == nil {
		return
	}
	delete(l.of, conn)
	h := l.order.Remove(e).(*handshake)
	s := l.from[h.from]
	if session {
		s.turn()
		s.now++
	}
	if s.held--; s.held == 0 {
		delete(l.from, h.from)
	}
	select {
	case l.freed <- struct{}{}:
	default: // told already
	}
}

// client is whom conn counts for: an IPv4 address, or an IPv6 /64, as that is what one
// household has. It is zero for a trusted proxy, and where there is no address.
func (l *handshakes) client(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if slices.ContainsFunc(l.trusted, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return netip.Prefix{}
	}
	prefix, _ := addr.Prefix(min(addr.BitLen(), 64))
	return prefix
}

// inProgress is how many places are taken.
func (l *handshakes) inProgress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order.Len()
}

// Close implements net.Listener.
func (l *handshakes) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
