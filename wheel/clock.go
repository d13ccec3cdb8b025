package wheel

import (
	"sync/atomic"
	"time"
)

// Stamp is the step of a session's last activity. The zero Stamp is step 0, the
// wheel's beginning. It is safe for any goroutine.
type Stamp struct{ step atomic.Int64 }

// Step returns the step of the last touch.
func (s *Stamp) Step() int64 { return s.step.Load() }

// raise moves the stamp up to step now. A goroutine stopped for some steps before
// the swap has overwritten a later touch, and puts it back. A swap costs what an
// atomic store does; a compare-and-swap is twice as slow on memory not in cache.
func (s *Stamp) raise(now int64) {
	for old := s.step.Swap(now); old > now; old = s.step.Swap(now) {
		now = old
	}
}

// clock counts logical steps since its start. Only the turner moves it.
type clock struct {
	now    atomic.Int64 // the current step; read by every touch
	_      [56]byte     // and so kept off the cache lines that are written often
	step   time.Duration
	start  atomic.Pointer[time.Time] // nil before Start
	paused atomic.Int64              // nanoseconds that do not count
}

// elapsed is the logical time since the start. Between a pause and the turner's
// next turn it runs ahead, so nothing is decided by it beyond step now.
func (c *clock) elapsed() time.Duration {
	start := c.start.Load()
	if start == nil {
		return 0
	}
	return time.Since(*start) - time.Duration(c.paused.Load())
}

// untilNext is how long the turner may sleep.
func (c *clock) untilNext() time.Duration {
	return time.Duration(c.now.Load()+1)*c.step - c.elapsed()
}

// turn moves on by one step if that is due. A turn later than half a step
// is taken for a pause and does not count: a touch in between was stamped with the
// old step, and readyAt leaves just half a step for that.
func (c *clock) turn() (turned bool) {
	next := c.now.Load() + 1
	begins := time.Duration(next) * c.step
	if c.elapsed() < begins {
		return false
	}
	c.now.Store(next)
	// Measured after the store: we may have been stopped just before it.
	if late := c.elapsed() - begins; late > c.step/2 {
		c.paused.Add(int64(late))
	}
	return true
}

// readyAt is the logical time at which step m is surely over for all that were
// touched in the steps counted by Steps.
func (c *clock) readyAt(m int64) time.Duration {
	return time.Duration(m)*c.step + c.step/2
}

// ready is the last step that may be served now.
func (c *clock) ready() int64 {
	now := c.now.Load()
	if c.elapsed() < c.readyAt(now) {
		return now - 1
	}
	return now
}
