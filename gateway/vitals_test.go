package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestVitals: what counts is how often somebody stood still when looked at, so that one
// look after a process was stopped is one second, however long that was.
func TestVitals(t *testing.T) {
	moving, stuck := func(i int) wsconn.Pulse { return wsconn.Pulse{Turns: uint64(i)} }, wsconn.Pulse{Turns: 7}
	resting := wsconn.Pulse{Turns: 7, Resting: true}
	for _, c := range []struct {
		name        string
		wheel, loop func(i int) wsconn.Pulse
		looks       int
		want        string
	}{
		{"all moves", moving, moving, 1000, ""},
		{"a loop rests", moving, func(int) wsconn.Pulse { return resting }, 1000, ""},
		{"a loop is stuck, but not long", moving, func(int) wsconn.Pulse { return stuck }, 30, ""},
		{"a loop is stuck", moving, func(int) wsconn.Pulse { return stuck }, 32, "event loop 1"},
		{"a loop rests time and again", moving, func(i int) wsconn.Pulse { return wsconn.Pulse{Turns: 7, Resting: i%20 == 0} }, 1000, ""},
		{"the wheel takes a step of 5 s", func(i int) wsconn.Pulse { return moving(i / 5) }, moving, 1000, ""},
		{"the wheel is stuck, within its steps", func(int) wsconn.Pulse { return stuck }, moving, 40, ""},
		{"the wheel is stuck", func(int) wsconn.Pulse { return stuck }, moving, 42, "wheel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v vitals
			for i := range c.looks {
				v.look([]wsconn.Pulse{c.wheel(i), c.loop(i)}, 5*time.Second)
			}
			err := v.check()
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			v.look(nil, 0)
			if err := v.check(); err != nil {
				t.Errorf("when nobody looks any more: %v", err)
			}
		})
	}
}
