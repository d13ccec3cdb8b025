package wsconn

// This file is how the connections of a loop give memory back to the budgets.

// loopOutbox is c as the owner of its outbox.
type loopOutbox struct{ *loopConn }

func (c loopOutbox) evict(h *holder, class uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o := c.out; {
	case o == nil || &o.holder != h:
	case o.evict(class):
		c.attendLocked()
	case o.abandon(class):
		c.loseLocked(ErrOutboxBudget)
	}
}

// loopPartial is c as the owner of its partial, which is its loop's.
type loopPartial struct{ *loopConn }

func (c loopPartial) evict(h *holder, class uint8) {
	if c.loop.t.cfg.Budgets.partials.take(h, class) {
		c.mu.Lock()
		c.attendLocked()
		c.mu.Unlock()
	}
}

// tellEvicted ends c if a budget has chosen its outbox, or its partial, which the loop may
// have completed since. It tells the handler unless c is closed already.
func (l *loop) tellEvicted(c *loopConn, outbox bool) {
	partial := c.partial != nil && c.partial.state.Load() != stateHeld
	if partial {
		l.forget(c)
	}
	if !partial && !outbox || c.guard.end != stepMore || c.deaf.Load() {
		return
	}
	v := OverBudget
	if outbox {
		v = OutboxOverBudget
	}
	c.guard.stop(v)
	l.forget(c)
	if !l.t.cfg.guarded(func() { c.handler.Violation(v) }) {
		c.Abort() // nobody is left to do it
	}
}
