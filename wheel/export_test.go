package wheel

import (
	"fmt"
	"math"

	"github.com/RussellLuo/timingwheel"
)

// Check walks all lists of a wheel on which nothing is going on and reports the
// first thing that is not as it should be.
func (w *Wheel[T]) Check() error {
	w.serving.Lock()
	defer w.serving.Unlock()
	entries, listed, waiting := 0, 0, 0
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		defer s.mu.Unlock()
		c := checker[T]{w: w, shard: i}
		for level := range s.levels {
			for slot := range s.levels[level] {
				c.walk(&s.levels[level][slot], filed, func(e *Entry[T]) error { return c.slotOf(e, level, uint(slot)) })
			}
		}
		c.walk(&s.sweep, filed, func(e *Entry[T]) error {
			if !w.isStopped() {
				return fmt.Errorf("left in the sweep of a turning wheel")
			}
			return nil
		})
		inSlots := c.n
		c.walk(&s.due, queued, func(*Entry[T]) error { return nil })
		if n := int(s.queued.Load()); c.err == nil && n != c.n-inSlots {
			c.err = fmt.Errorf("shard %d: queued is %d, but %d are", i, n, c.n-inSlots)
		}
		if c.err != nil {
			return c.err
		}
		entries, listed, waiting = entries+s.entries, listed+c.n, waiting+c.n-inSlots
	}
	return w.checkTotals(entries, listed, waiting)
}

func (w *Wheel[T]) checkTotals(entries, listed, waiting int) error {
	if n := int(w.queued.Load()); n != waiting {
		return fmt.Errorf("queued is %d, but %d are", n, waiting)
	}
	firing := entries - listed // these are in no list
	if firing < 0 || firing > w.cfg.Workers || (w.isStopped() && firing > 0) {
		return fmt.Errorf("%d entries, but %d in lists", entries, listed)
	}
	for m := w.served.Load() + 1; m < w.served.Load()+slots; m++ {
		if w.armed.Load()&(1<<(uint(m)%slots)) != 0 && !w.isUsed(m) {
			return fmt.Errorf("step %d counts as armed without a cohort, served is %d", m, w.served.Load())
		}
	}
	return nil
}

type checker[T any] struct {
	w     *Wheel[T]
	shard int
	n     int
	err   error
}

// walk counts the entries of l and checks their links, states and more.
func (c *checker[T]) walk(l *list[T], state uint8, more func(*Entry[T]) error) {
	for e := l.root.next; e != &l.root && c.err == nil; e = e.next {
		c.n++
		switch {
		case e.next.prev != e || e.prev.next != e:
			c.err = fmt.Errorf("shard %d: broken links", c.shard)
		case e.state != state || int(e.shard) != c.shard:
			c.err = fmt.Errorf("shard %d, state %d: entry of shard %d, state %d", c.shard, state, e.shard, e.state)
		default:
			c.err = more(e)
		}
	}
}

// slotOf checks that e is in the slot of the step in which it is to be looked
// at, that this step is still to come, and that it is not after e's deadline.
func (c *checker[T]) slotOf(e *Entry[T], level int, slot uint) error {
	at, served := c.w.dueLocked(e), c.w.served.Load()
	want := uint(at) % slots
	if level == 1 {
		want = uint(at>>slotBits) % slots
	}
	due := max(c.w.cfg.Deadline(e.owner), served+1)
	switch {
	case slot != want || (level == 1 && at%slots != 0):
		return fmt.Errorf("step %d is in slot %d of level %d", at, slot, level)
	case at <= served || at > due || (level == 0 && at >= served+slots) || at>>slotBits >= served>>slotBits+slots:
		return fmt.Errorf("level %d: filed for step %d, due %d, served %d", level, at, due, served)
	case c.w.used[level].Load()&(1<<slot) == 0:
		return fmt.Errorf("slot %d of level %d counts as empty", slot, level)
	}
	return nil
}

// SkipSteps moves the clock of a wheel that was not started.
func (w *Wheel[T]) SkipSteps(n int64) { w.clock.now.Add(n) }

// Serve serves the steps that are over of a wheel that was not started.
func (w *Wheel[T]) Serve() { w.serve() }

// ArmNear does the turner's arming, with an engine that only takes the timers.
func (w *Wheel[T]) ArmNear() {
	w.engine = &engine{arms: make(chan arming, slots)}
	w.armNear()
}

// Engine identifies the engine in use. The turner must be asleep in a bubble, here
// and in what follows.
func (w *Wheel[T]) Engine() any {
	defer w.publish()
	return w.engine
}

// FreezeEngine makes the engine take timers and never fire them.
func (w *Wheel[T]) FreezeEngine() {
	defer w.publish()
	w.engine.wheel.Stop()
	w.engine.wheel = timingwheel.NewTimingWheel(w.engine.tick, math.MaxInt16)
}

// Backlog is how many timers an engine takes before it works on them.
const Backlog = engineBacklog

// BlockEngine makes the engine work on no timer more and hear no order to end. It
// still takes as many as room; the returned function ends it.
func (w *Wheel[T]) BlockEngine(room int) (end func()) {
	defer w.publish()
	quit := w.engine.quit
	w.engine.arms = make(chan arming, room)
	w.engine.quit = make(chan struct{})
	w.engine.ended = make(chan struct{})
	return func() { close(quit) }
}

// publish tells the race detector what is true in a bubble: that the turner, which
// reads this when it wakes up, comes later.
func (w *Wheel[T]) publish() { w.clock.paused.Add(0) }
