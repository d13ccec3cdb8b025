package wsconn

// Pulses is as for Goroutine, with one for each loop that runs.
func (t *Loop) Pulses(dst []Pulse) []Pulse {
	for _, ls := range []*loops{&t.sockets, &t.memory} {
		ls.mu.Lock()
		for _, l := range ls.all {
			dst = append(dst, l.pulse())
		}
		ls.mu.Unlock()
	}
	return dst
}

func (l *loop) pulse() Pulse {
	l.mu.Lock()
	asked := len(l.posted) > 0
	l.mu.Unlock()
	return Pulse{Turns: l.turns.Load(), Resting: l.stopping.Load() || l.resting.Load() && !asked}
}
