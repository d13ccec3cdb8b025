package wsconn

import (
	"errors"
	"os"
	"time"
)

// This file is how the connections of Goroutine give memory back to the budgets.

// goroutineOutbox is c as the owner of its outbox.
type goroutineOutbox struct{ *goroutineConn }

func (c goroutineOutbox) evict(h *holder, class uint8) {
	c.mu.Lock()
	tell, lose := false, false
	if o := c.out; o != nil && &o.holder == h {
		tell = o.evict(class) && !c.closing
		lose = o.abandon(class)
	}
	c.mu.Unlock()
	if tell {
		c.evicted.Store(true)
		c.wake()
	}
	if lose {
		c.lose(ErrOutboxBudget, true)
	}
}

// goroutinePartial is c as the owner of the unfinished message, which is its reader's.
type goroutinePartial struct{ *goroutineConn }

func (c goroutinePartial) evict(h *holder, class uint8) {
	if c.transport.cfg.Budgets.partials.take(h, class) {
		c.wake()
	}
}

// settlePartial counts n bytes for the unfinished message. It reports false if the budget
// has chosen it.
func (c *goroutineConn) settlePartial(n int) bool {
	budget := &c.transport.cfg.Budgets.partials
	stays := budget.settle(&c.partial, n, n)
	budget.check()
	return stays
}

// wake makes the reader look at what the budgets want. Nothing else sets read deadlines.
func (c *goroutineConn) wake() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) }

// wakened reports whether wake ended the last read, and makes the next one possible. The
// reader looks at what the budgets want after it, or would miss a second wake.
func (c *goroutineConn) wakened() bool {
	if !errors.Is(c.readErr, os.ErrDeadlineExceeded) {
		return false
	}
	c.readErr = c.conn.SetReadDeadline(time.Time{}) // an error is that of a closed one
	return c.readErr == nil
}
