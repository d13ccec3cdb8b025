package wheel

import (
	"sync"
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

// clock counts logical steps since its start. The turner moves it, and while that is
// strained whoever calls CatchUp.
//
// A step that begins late has touches that are stamped with the one before, and
// readyAt leaves half a step for that. What is more counts as a pause: time
// stands still for it, so nobody is expired early, however late. If the process did not
// run, that is all there is to it. But a process that runs may keep the turner from
// its turn, for tens of milliseconds on busy processors. To call that a pause would
// stretch every timeout, with a short step by half and more. So a turner that is late
// makes the clock strained: whoever handles input then looks at the time too, and the
// first that sees a new step begins it. The turner may come as late as it likes, the
// stamps are right, and no time is dropped. A pause is then what it says: nobody handled
// input and nobody turned. It costs a look at the time as long as this lasts.
type clock struct {
	now      atomic.Int64 // the current step; read by every touch
	strained atomic.Bool  // the turner is late these days; read with every input
	_        [48]byte     // and so kept off the cache lines that are written often
	step     time.Duration
	start    atomic.Pointer[time.Time] // nil before Start

	turning sync.Mutex    // whose holder moves now, and has what follows
	paused  atomic.Int64  // nanoseconds that do not count; readable by all
	wasLate time.Duration // logical time when the turner last was
}

// strainLasts is how long the clock stays strained after the turner was late: more
// than what one late turn in so long can drop.
const strainLasts = 10 * time.Second

// CatchUp helps a clock that is late for lack of a processor: call it often from what
// takes the processor, such as the handling of input, before the touch that follows. It is
// an atomic load, and while the clock is late a look at the time. Without it, and with no
// turn in time, the lateness counts as a pause.
func (c *clock) CatchUp() {
	if c.strained.Load() {
		c.catchUp()
	}
}

// catchUp begins the next step if that is due. Of several that see it one does; what
// the others miss meanwhile counts as a pause if it is long enough to matter.
func (c *clock) catchUp() {
	if c.elapsed() >= c.nextStep() && c.turning.TryLock() {
		c.turnLocked()
		c.turning.Unlock()
	}
}

// elapsed is the logical time since the start. Between a pause and the next turn it
// runs ahead, so nothing is decided by it beyond step now.
func (c *clock) elapsed() time.Duration {
	start := c.start.Load()
	if start == nil {
		return 0
	}
	return time.Since(*start) - c.pausedFor()
}

// nextStep is the logical time at which the next step begins.
func (c *clock) nextStep() time.Duration { return time.Duration(c.now.Load()+1) * c.step }

// pausedFor is the time so far that does not count.
func (c *clock) pausedFor() time.Duration { return time.Duration(c.paused.Load()) }

// turn moves on to the current step. It is the turner's, which slept until due.
func (c *clock) turn(due time.Duration) {
	c.turning.Lock()
	defer c.turning.Unlock()
	switch at := c.elapsed(); {
	case at-due > c.step/2: // what turnLocked would call a pause
		c.wasLate = at
		c.strained.Store(true)
	case c.strained.Load() && at-c.wasLate > strainLasts:
		c.strained.Store(false)
	}
	for c.turnLocked() {
	}
}

// turnLocked moves on by one step if that is due.
func (c *clock) turnLocked() (turned bool) {
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
