package wheel

import "time"

// sweepBatch is how many entries are looked at under one hold of a shard's lock:
// some microseconds, so that Add and Cancel are not kept waiting in a storm.
const sweepBatch = 128

// turner advances the clock, arms the cohorts that are near and watches that
// they are served.
func (w *Wheel[T]) turner() {
	// The turner owns the engine, so that nothing is armed while it stops.
	defer func() { w.engine.stop() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for paused := time.Duration(0); ; {
		due := w.clock.nextStep()
		timer.Reset(due - w.clock.elapsed())
		select {
		case <-w.ctx.Done():
			return
		case <-timer.C:
		}
		w.clock.turn(due)
		w.skipUnused()
		w.watch()
		w.armNear()
		if now := w.clock.pausedFor(); now > paused && w.cfg.Paused != nil {
			w.cfg.Paused(now - paused)
			paused = now
		}
	}
}

// skipUnused moves over steps that nobody waits for, which have no timer.
func (w *Wheel[T]) skipUnused() {
	if !w.serving.TryLock() {
		return // the sweeper will
	}
	defer w.serving.Unlock()
	w.skipUnusedServing()
}

func (w *Wheel[T]) skipUnusedServing() {
	ready := w.clock.ready()
	for m := w.served.Load() + 1; m <= ready && !w.isUsed(m); m++ {
		w.served.Store(m)
		if w.isUsed(m) { // filed meanwhile by somebody who still saw m-1
			w.serveStep(m)
		}
	}
}

// armNear gives each cohort of the coming steps its timer.
func (w *Wheel[T]) armNear() {
	served := w.served.Load()
	for m := served + 1; m < served+slots; m++ {
		bit := uint64(1) << (uint(m) % slots)
		if !w.isUsed(m) || w.armed.Load()&bit != 0 {
			continue
		}
		w.armed.Or(bit)
		if w.served.Load() >= m { // served meanwhile: nobody else takes the bit back
			w.armed.And(^bit)
			continue
		}
		delay := w.clock.readyAt(m) - w.clock.elapsed()
		if !w.engine.arm(delay, func() { w.fired(m) }) {
			w.replaceEngine()
			return
		}
	}
}

// fired is the engine's callback. It says only "look now".
func (w *Wheel[T]) fired(m int64) {
	w.armed.And(^(uint64(1) << (uint(m) % slots))) // before the doubt is cleared, see watch
	w.doubted.CompareAndSwap(m, 0)
	if m <= w.clock.ready() {
		w.poke()
	} // else the wall clock jumped, or a turn was late: armed again next turn
}

func (w *Wheel[T]) poke() {
	select {
	case w.pokes <- struct{}{}:
	default:
	}
}

// watch serves a step that the engine should have reported a step ago. That may be for
// lack of a processor, and after a pause it is: an engine is replaced when the report is
// not there enginePatience later.
func (w *Wheel[T]) watch() {
	if w.doubted.Load() != 0 && w.clock.elapsed()-w.doubtedAt >= enginePatience {
		w.replaceEngine()
	}
	m := w.served.Load() + 1
	if m > w.clock.now.Load()-2 || !w.serving.TryLock() {
		return // in time, or being served
	}
	w.serving.Unlock()
	bit := uint64(1) << (uint(m) % slots)
	if w.armed.Load()&bit != 0 && w.doubted.CompareAndSwap(0, m) {
		w.doubtedAt = w.clock.elapsed()
		if w.armed.Load()&bit == 0 { // the report came amid this, and has found no doubt to clear
			w.doubted.CompareAndSwap(m, 0)
		}
	}
	w.poke()
}

func (w *Wheel[T]) replaceEngine() {
	w.watchdog.Add(1)
	w.engine.abandon()
	w.engine = newEngine(w.clock.step)
	w.armed.Store(0)
	w.doubted.Store(0)
	if w.cfg.Replaced != nil {
		w.cfg.Replaced()
	}
}

// sweeper serves the steps that are over.
func (w *Wheel[T]) sweeper() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.pokes:
			w.serve()
		}
	}
}

func (w *Wheel[T]) serve() {
	w.serving.Lock()
	defer w.serving.Unlock()
	for {
		w.skipUnusedServing()
		m := w.served.Load() + 1
		if m > w.clock.ready() || w.isStopped() {
			return
		}
		w.served.Store(m)
		w.serveStep(m)
	}
}

// serveStep looks at each member of step m's cohort, and of the block that m
// begins. The lists are taken off their slots first: members may be filed into
// the same slots again.
func (w *Wheel[T]) serveStep(m int64) {
	bit := uint64(1) << (uint(m) % slots)
	w.used[0].And(^bit)
	w.armed.And(^bit)
	block := uint(m>>slotBits) % slots
	if m%slots == 0 {
		w.used[1].And(^(uint64(1) << block))
	}
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.sweep.take(&s.levels[0][uint(m)%slots])
		if m%slots == 0 {
			s.sweep.take(&s.levels[1][block])
		}
		s.mu.Unlock()
	}
	for i := range w.shards {
		for w.sweepBatch(&w.shards[i], m) && !w.isStopped() {
		}
	}
}

// sweepBatch looks at some members and reports whether there are more.
func (w *Wheel[T]) sweepBatch(s *shard[T], m int64) (more bool) {
	s.mu.Lock()
	found := 0
	e := s.sweep.front()
	for n := 0; e != nil && n < sweepBatch; n++ {
		e.unlink()
		if due := w.cfg.Deadline(e.owner); due > m {
			w.fileLocked(s, e, due)
		} else {
			e.state = queued
			s.due.push(e)
			found++
		}
		e = s.sweep.front()
	}
	s.queued.Add(int32(found))
	w.queued.Add(int64(found))
	s.mu.Unlock()
	if found > 0 {
		w.wakeWorkers(found)
	}
	return e != nil
}

func (w *Wheel[T]) wakeWorkers(n int) {
	for range min(n, w.cfg.Workers) {
		select {
		case w.work <- struct{}{}:
		default:
			return
		}
	}
}
