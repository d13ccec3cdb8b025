package wsconn

import (
	"sync/atomic"
	"time"
)

// turnSample is how many passes of a loop are timed: one in so many, as time.Now costs
// as much as a tenth of a message.
const turnSample = 16

// stopwatch measures a loop.
type stopwatch struct {
	began time.Time    // of the pass that is timed; zero if it is not
	asked atomic.Int64 // when somebody asked for the lag, nanoseconds after epoch; 0: nobody did
}

// epoch is for monotonic time in a word.
var epoch = time.Now()

// look is the end of a pass, before the loop looks for events.
func (s *stopwatch) look(cfg *Config) {
	if !s.began.IsZero() {
		cfg.Turn(time.Since(s.began))
		s.began = time.Time{}
	}
	if asked := s.asked.Load(); asked != 0 {
		s.asked.Store(0)
		cfg.Lag(time.Since(epoch) - time.Duration(asked))
	}
}

// begin is the begin of a pass.
func (s *stopwatch) begin(turns uint64, cfg *Config) {
	if turns%turnSample == 0 && cfg.Turn != nil {
		s.began = time.Now()
	}
}

// ask measures the lag, if that is not under way.
func (s *stopwatch) ask(resting bool, cfg *Config) {
	switch {
	case cfg.Lag == nil:
	case resting:
		cfg.Lag(0)
	default:
		s.asked.CompareAndSwap(0, int64(time.Since(epoch)))
	}
}

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
	resting := l.resting.Load() && !asked
	l.stopwatch.ask(resting, &l.t.cfg)
	return Pulse{Turns: l.turns.Load(), Resting: l.stopping.Load() || resting}
}
