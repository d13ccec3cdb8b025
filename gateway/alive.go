package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// deadAfter is how long an event loop or the wheel may be at the same place.
const deadAfter = 30 * time.Second

// vitals knows for how long each event loop and the wheel have not moved. It counts the
// seconds in which it was asked, not time: when the process did not run (SIGSTOP) all
// stood still, and nobody is to blame.
type vitals struct {
	mu     sync.Mutex
	pulses []wsconn.Pulse // when they were last looked at
	still  []int          // seconds, of each; none while nobody looks
	step   time.Duration  // of the wheel
}

// watchVitals looks once in a second until ctx ends.
func (g *Gateway) watchVitals(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	var pulses []wsconn.Pulse
	for {
		select {
		case <-ctx.Done():
			g.vitals.look(nil, 0)
			return
		case <-every.C:
		}
		// The wheel comes first: it is there from the beginning. It turns each step.
		pulses = append(pulses[:0], wsconn.Pulse{Turns: uint64(g.wheel.Now())})
		g.vitals.look(g.transport.Pulses(pulses), g.wheel.Step())
	}
}

// look compares pulses, of which the first is the wheel's, with those of a second before.
func (v *vitals) look(pulses []wsconn.Pulse, step time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.still) < len(pulses) {
		v.still = append(v.still, 0)
		v.pulses = append(v.pulses, wsconn.Pulse{Resting: true})
	}
	v.still, v.pulses = v.still[:len(pulses)], v.pulses[:len(pulses)]
	for i, p := range pulses {
		if before := v.pulses[i]; p.Resting || before.Resting || p.Turns != before.Turns {
			v.still[i] = 0
		} else {
			v.still[i]++
		}
		v.pulses[i] = p
	}
	v.step = step
}

// Alive tells what has not moved for 30 seconds: an event loop amid a turn, or
// that does not take what it was asked to do, or the wheel. A process with such an error
// does not get over it. Before Run, and after it, all is well.
func (g *Gateway) Alive() error { return g.vitals.check() }

func (v *vitals) check() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, seconds := range v.still {
		still := time.Duration(seconds) * time.Second
		switch {
		case i == 0 && still >= deadAfter+2*v.step: // whose steps may be as long
			return fmt.Errorf("gateway: the expiry wheel has not turned for %v", still)
		case i > 0 && still >= deadAfter:
			return fmt.Errorf("gateway: event loop %d has not turned for %v", i, still)
		}
	}
	return nil
}
