package wheel

import (
	"time"

	"github.com/RussellLuo/timingwheel"
)

const (
	// engineMargin is how long a goroutine may be stopped inside the engine's
	// add before a bucket holds timers of two revolutions, which deadlocks it
	// (its issue 53). It also keeps the engine on one level: with slots
	// for the longest delay and the margin no overflow wheel is ever made. The engine's
	// clock moves only when something fires, so half of the margin is for it to lag.
	engineMargin = 10 * time.Minute
	// enginePatience is how late an engine may fire before it counts as stuck, and
	// how long Stop waits for one that may be.
	enginePatience = time.Second
	// engineBacklog is more than can be armed in the time an engine is given
	// before it counts as stuck.
	engineBacklog = 4 * slots
)

// engine is a RussellLuo wheel with one goroutine that makes all calls into it:
// AfterFunc may block for ever when it races Stop, and does in a deadlock.
type engine struct {
	tick  time.Duration
	wheel *timingwheel.TimingWheel
	arms  chan arming
	quit  chan struct{}
	ended chan struct{}
}

type arming struct {
	delay time.Duration
	fire  func()
}

func newEngine(step time.Duration) *engine {
	tick := min(max(step/10, 5*time.Millisecond), 50*time.Millisecond).Truncate(time.Millisecond)
	e := &engine{
		tick:  tick,
		wheel: timingwheel.NewTimingWheel(tick, int64((slots*step+engineMargin)/tick)),
		arms:  make(chan arming, engineBacklog),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	e.wheel.Start()
	go e.run()
	return e
}

func (e *engine) run() {
	defer close(e.ended)
	move := time.NewTicker(engineMargin / 2)
	defer move.Stop()
	for {
		select {
		case a := <-e.arms:
			e.wheel.AfterFunc(a.delay, a.fire)
		case <-move.C:
			e.wheel.AfterFunc(e.tick, func() {})
		case <-e.quit:
			e.wheel.Stop()
			return
		}
	}
}

// arm asks for fire after delay, which is stretched by the tick the engine may be
// early. It never blocks and reports whether the engine took it.
func (e *engine) arm(delay time.Duration, fire func()) bool {
	select {
	case e.arms <- arming{max(delay, 0) + e.tick + time.Millisecond, fire}:
		return true
	default:
		return false
	}
}

// abandon lets a stuck engine end if it can.
func (e *engine) abandon() { close(e.quit) }

// stop ends the engine and waits for that, though not for ever.
func (e *engine) stop() {
	e.abandon()
	patience := time.NewTimer(enginePatience)
	defer patience.Stop()
	select {
	case <-e.ended:
	case <-patience.C:
	}
}
