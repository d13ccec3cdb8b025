package wsconn

import "time"

// blockage is why the loop waits for a peer that does not take what it is sent.
type blockage struct {
	since time.Time // when it last took something
	acked uint64    // bytes that it has acknowledged in all
	known bool      // the kernel tells that: what the kernel itself takes is then no sign of the peer's
}

// noteBlocked notes that c has a backlog, of which the kernel took something.
func (l *loop) noteBlocked(c *loopConn, took bool) {
	b, waiting := l.blocked[c]
	if !waiting {
		b.acked, b.known = l.acked(c.fd)
		b.since = time.Now()
	} else if took && !b.known {
		b.since = time.Now()
	}
	l.blocked[c] = b
}

// dropStuck ends connections whose peers took nothing for the write timeout, at
// most a quarter of it late.
func (l *loop) dropStuck() {
	if len(l.blocked) == 0 || time.Since(l.checked) < l.t.cfg.WriteTimeout/8 {
		return
	}
	l.checked = time.Now()
	for c := range l.blocked {
		if l.stuck(c) {
			c.lose(ErrWriteTimeout)
			l.finish(c)
		}
	}
}

// stuck judges c, which is blocked. The peer may have taken something though the loop does
// not know it: the loop was held up, or it was too little for epoll, which wants a third of
// the buffer free.
func (l *loop) stuck(c *loopConn) bool {
	b := l.blocked[c]
	if b.known {
		if acked, _ := l.acked(c.fd); acked > b.acked {
			b.acked, b.since = acked, time.Now()
			l.blocked[c] = b
		}
	}
	if time.Since(b.since) < l.t.cfg.WriteTimeout {
		return false
	}
	l.flush(c)
	now, still := l.blocked[c]
	return still && now.since.Equal(b.since)
}
