package wheel

// worker hands out due entries until the wheel stops. Workers start their search
// at different shards, to stay out of each other's way.
func (w *Wheel[T]) worker(n int) {
	next := n * shardCount / w.cfg.Workers
	for !w.isStopped() {
		if w.queued.Load() == 0 {
			select {
			case <-w.ctx.Done():
				return
			case <-w.work:
				continue
			}
		}
		if w.limiter != nil && w.limiter.Wait(w.ctx) != nil {
			return
		}
		s := w.findQueued(&next)
		if s == nil {
			continue
		}
		if e := w.pop(s); e != nil {
			w.fire(e)
			w.refile(s, e)
		}
	}
}

// findQueued returns a shard with due entries, going on from next.
func (w *Wheel[T]) findQueued(next *int) *shard[T] {
	for range shardCount {
		s := &w.shards[*next%shardCount]
		if s.queued.Load() > 0 {
			return s
		}
		*next++
	}
	return nil
}

// pop takes one entry off the queue if it is due still: it may have been touched
// while it waited.
func (w *Wheel[T]) pop(s *shard[T]) *Entry[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.due.front()
	if e == nil {
		return nil
	}
	e.unlink()
	s.queued.Add(-1)
	w.queued.Add(-1)
	if due := w.cfg.Deadline(e.owner); due > w.served.Load() {
		w.fileLocked(s, e, due)
		return nil
	}
	e.state = firing
	return e
}

func (w *Wheel[T]) fire(e *Entry[T]) {
	defer func() {
		if v := recover(); v != nil {
			w.panics.Add(1)
			if w.cfg.Panicked != nil {
				w.cfg.Panicked(e.owner, v)
			}
		}
	}()
	w.cfg.Fire(e.owner)
}

func (w *Wheel[T]) refile(s *shard[T], e *Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.state == firing { // not cancelled meanwhile
		w.fileLocked(s, e, w.cfg.Deadline(e.owner))
	}
}
