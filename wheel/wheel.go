package wheel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// MinTick is the shortest tick. Below it the engine's own tick and the
// scheduler's jitter eat up the two ticks that are promised.
const MinTick = 20 * time.Millisecond

// Never is the deadline of an entry that is not to be handed out.
const Never = math.MaxInt64

// DefaultWorkers is the number of goroutines that call Fire unless told otherwise.
const DefaultWorkers = 8

// Config describes a Wheel over owners of type T.
type Config[T any] struct {
	// Tick bounds the lateness (two ticks). At least MinTick.
	Tick time.Duration
	// Deadline returns the step in which the owner is due: its stamp plus
	// Steps(timeout), or Never. It is called under a lock, so it must be quick,
	// must not block and must not call the wheel.
	Deadline func(*T) int64
	// Fire handles an owner that is due. It runs on a worker and may block, which
	// delays others. Afterwards the entry is filed again by its new deadline,
	// unless Cancel was called; a deadline still in the past comes back next step.
	Fire func(*T)
	// Workers is the number of goroutines calling Fire; 0 is DefaultWorkers.
	Workers int
	// Rate bounds how many due owners are looked at in a second; 0 is no bound.
	Rate int
	// Panicked is told of a panic in Fire, from the worker's goroutine with the
	// stack still in place. May be nil. The entry stays filed.
	Panicked func(owner *T, value any)
	// Paused is told of time that does not count, as it grows in Stats.Paused. May be
	// nil. It and Replaced hold up the wheel: they must be quick.
	Paused func(d time.Duration)
	// Replaced is told when Stats.Watchdog grows. May be nil.
	Replaced func()
}

// Wheel hands out owners when their deadline has passed. See the package comment.
type Wheel[T any] struct {
	clock

	// Static after New.
	cfg     Config[T]
	shards  []shard[T]
	limiter *rate.Limiter // nil: no bound

	served   atomic.Int64 // the last step that was served; moved under serving
	serving  sync.Mutex
	used     [levels]atomic.Uint64 // slots that may hold entries
	armed    atomic.Uint64         // slots of level 0 and block starts with a timer
	queued   atomic.Int64          // entries waiting for a worker
	watchdog atomic.Int64
	panics   atomic.Int64

	doubted atomic.Int64 // a step that the engine is late to report; 0: none

	// Owned by the turner.
	engine    *engine
	doubtedAt time.Duration // logical time since when

	pokes   chan struct{} // to the sweeper: a step is over
	work    chan struct{} // to the workers: something was queued
	life    sync.Mutex    // guards started, and Start against Stop
	started bool
	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New returns a wheel at step 0 that does not turn yet.
func New[T any](cfg Config[T]) (*Wheel[T], error) {
	switch {
	case cfg.Tick < MinTick:
		return nil, fmt.Errorf("wheel: tick is %v: must be at least %v", cfg.Tick, MinTick)
	case cfg.Deadline == nil || cfg.Fire == nil:
		return nil, errors.New("wheel: Deadline and Fire must be set")
	case cfg.Workers < 0 || cfg.Rate < 0:
		return nil, fmt.Errorf("wheel: workers %d, rate %d: must not be negative", cfg.Workers, cfg.Rate)
	}
	if cfg.Workers == 0 {
		cfg.Workers = DefaultWorkers
	}
	w := &Wheel[T]{
		cfg:    cfg,
		shards: newShards[T](),
		pokes:  make(chan struct{}, 1),
		work:   make(chan struct{}, cfg.Workers),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.clock.step = cfg.Tick / 2
	if cfg.Rate > 0 {
		// Fifty bursts a second: fine enough to be a pace, coarse enough to sleep.
		w.limiter = rate.NewLimiter(rate.Limit(cfg.Rate), max(1, cfg.Rate/50))
	}
	return w, nil
}

// Start sets the wheel turning. Starting twice, or after Stop, does nothing.
func (w *Wheel[T]) Start() {
	w.life.Lock()
	defer w.life.Unlock()
	if w.started || w.isStopped() {
		return
	}
	w.started = true
	now := time.Now()
	w.clock.start.Store(&now)
	w.engine = newEngine(w.clock.step)
	w.running.Go(w.turner)
	w.running.Go(w.sweeper)
	for i := range w.cfg.Workers {
		w.running.Go(func() { w.worker(i) })
	}
}

// Stop ends the wheel and returns when nothing will be handed out any more. It
// waits for calls of Fire under way, so Fire must not call it. Stopping twice
// waits twice; entries stay filed.
func (w *Wheel[T]) Stop() {
	w.life.Lock()
	w.cancel()
	w.life.Unlock()
	w.running.Wait()
}

func (w *Wheel[T]) isStopped() bool { return w.ctx.Err() != nil }

// Now returns the current step.
func (w *Wheel[T]) Now() int64 { return w.clock.now.Load() }

// Step returns the length of a step: half a tick.
func (w *Wheel[T]) Step() time.Duration { return w.clock.step }

// Elapsed returns the logical time since Start; step s began at s*Step().
func (w *Wheel[T]) Elapsed() time.Duration { return w.clock.elapsed() }

// Steps returns how many steps after its stamp a session is due that may be
// inactive for d. It rounds up and adds the step of the stamp itself, since
// the touch may have come at its end: that is why nothing is early. A negative d
// counts as 0.
func (w *Wheel[T]) Steps(d time.Duration) int64 {
	steps := 1 + int64(max(d, 0)/w.clock.step)
	if d > 0 && d%w.clock.step != 0 {
		steps++
	}
	return steps
}

// Touch records activity now and returns the step of the last one: two atomic loads,
// and one atomic write if the stamp is of an earlier step.
func (w *Wheel[T]) Touch(s *Stamp) (before int64) {
	now := w.clock.now.Load()
	if before = s.step.Load(); before < now {
		s.raise(now)
	}
	return before
}

// Add files e for owner by its deadline. Key chooses the shard and should differ
// from one owner to the next. An entry is added at most once.
func (w *Wheel[T]) Add(e *Entry[T], owner *T, key uint32) {
	e.owner, e.shard = owner, uint8(key%shardCount)
	s := w.lockShard(e)
	defer s.mu.Unlock()
	if e.state != idle {
		panic("wheel: entry added twice")
	}
	s.entries++
	w.fileLocked(s, e, w.cfg.Deadline(owner))
}

// Reschedule looks at e's deadline again. It is needed only when the deadline has
// become earlier; later ones are noticed when the old one comes.
func (w *Wheel[T]) Reschedule(e *Entry[T]) {
	s := w.lockShard(e)
	defer s.mu.Unlock()
	if e.state != filed {
		return
	}
	if due := w.cfg.Deadline(e.owner); due < w.dueLocked(e) {
		e.unlink()
		w.fileLocked(s, e, due)
	}
}

// Cancel takes e out for good and reports whether it was in.
func (w *Wheel[T]) Cancel(e *Entry[T]) bool {
	s := w.lockShard(e)
	defer s.mu.Unlock()
	switch e.state {
	case idle, cancelled:
		e.state = cancelled
		return false
	case queued:
		s.queued.Add(-1)
		w.queued.Add(-1)
	}
	e.unlink()
	e.state = cancelled
	s.entries--
	return true
}

// Stats is a snapshot of a wheel's counters.
type Stats struct {
	Entries  int           // added and not cancelled
	Queued   int           // due and waiting for a worker
	Watchdog int64         // engines replaced: a timer a second late, or a full backlog
	Panics   int64         // calls of Fire that panicked
	Paused   time.Duration // time that did not count, because nobody ran
}

// Stats returns the counters; each is exact, but not all of one instant.
func (w *Wheel[T]) Stats() Stats {
	st := Stats{
		Queued:   int(w.queued.Load()),
		Watchdog: w.watchdog.Load(),
		Panics:   w.panics.Load(),
		Paused:   w.clock.pausedFor(),
	}
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		st.Entries += s.entries
		s.mu.Unlock()
	}
	return st
}
