package gateway

import (
	"slices"
	"testing"
	"time"
)

// TestPace closes 2,000 within 30 s by a clock of its own, on which the process pauses.
func TestPace(t *testing.T) {
	const n, window = 2000, 30 * time.Second
	for _, c := range []struct {
		name            string
		pauseAt, pause  time.Duration
		each            time.Duration // that a close takes
		most            int           // closes in half a second
		earliest, until time.Duration // of the last
	}{
		{"no pause", 0, 0, 0, 34, 29 * time.Second, window},
		{"a short pause", 5 * time.Second, 2 * time.Second, 0, 38, 31 * time.Second, window + 2*time.Second},
		{"a long pause", 5 * time.Second, 20 * time.Second, 0, 100, window + drainGrace - time.Second, window + drainGrace},
		{"a pause in the end", 29 * time.Second, 3 * time.Second, 0, 38, window + time.Second, window + drainGrace},
		{"slow closes", 0, 0, 30 * time.Millisecond, 17, n * 30 * time.Millisecond, n*30*time.Millisecond + time.Second},
		{"all time is over", 5 * time.Second, time.Minute, 0, n, 65 * time.Second, 66 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, perHalf := newPace(window, n), make([]int, 200)
			var now time.Duration
			paused := c.pause == 0
			for range n {
				if wait := p.ahead(now); wait > 5*time.Millisecond {
					now += wait
				}
				perHalf[now/(500*time.Millisecond)]++
				now += c.each
				if !paused && now >= c.pauseAt {
					paused = true
					now += c.pause
				}
			}
			if most := slices.Max(perHalf); most > c.most || now < c.earliest || now > c.until {
				t.Errorf("the last after %v, want %v to %v; %d in half a second, want at most %d", now, c.earliest, c.until, most, c.most)
			}
		})
	}
}
