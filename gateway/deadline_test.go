package gateway

import (
	"testing"

	"pgregory.net/rapid"
)

// TestWhatMakesADeadlineEarlier pins the table of events in next: no other event makes
// a deadline earlier, or the wheel would learn of it too late.
func TestWhatMakesADeadlineEarlier(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const now = 1000
		past := func(from int64, name string) int64 { return rapid.Int64Range(from, now).Draw(rt, name) }
		wait := func(name string) int64 { return rapid.Int64Range(1, 500).Draw(rt, name) }
		f := facts{opened: past(0, "opened"), begun: never, closed: never, phase: rapid.Byte().Draw(rt, "phase")}
		f.heard, f.active = past(f.opened, "heard"), past(f.opened, "active")
		f.answered = past(f.opened, "answered")
		f.pinged = past(f.opened, "pinged")
		if rapid.Bool().Draw(rt, "amid a message") {
			f.begun = past(f.opened, "begun")
		} else {
			f.ended = past(0, "ended")
		}
		f.idleWait, f.messageWait, f.pingWait, f.pongWait, f.closeWait = wait("idle"), wait("message"), wait("ping"), wait("pong"), wait("close")
		if rapid.Bool().Draw(rt, "no pings") {
			f.pingWait = 0
		}
		after, reschedules := f, false
		switch rapid.SampledFrom([]string{"heard", "active", "broadcast", "begins", "another begins", "ends"}).Draw(rt, "event") {
		case "heard":
			after.heard = now
			reschedules = f.heard < f.pinged
		case "active":
			after.heard, after.active = now, now
			reschedules = f.heard < f.pinged
		case "broadcast":
			after.active = now
		case "begins":
			after.begun = now
			reschedules = f.begun == never
		case "another begins":
			if f.begun == never {
				return
			}
			after.begun = now
		case "ends":
			after.begun, after.ended = never, now
			reschedules = after.pongDue()
		}
		was, _ := f.next()
		if is, do := after.next(); is < was && !reschedules {
			rt.Errorf("the deadline becomes %d instead of %d (%d): %+v -> %+v", is, was, do, f, after)
		}
	})
}

// TestAskedOverflows: what a session remembers of pings is right also when the steps
// do not fit in 32 bits.
func TestAskedOverflows(t *testing.T) {
	for _, base := range []int64{0, 1<<31 - 3, 1<<32 - 3, 5<<32 - 3} {
		var a asked
		a.open(base)
		expect := func(pinged, answered, now int64) {
			t.Helper()
			if p, q := a.steps(func() int64 { return now }); p != pinged || q != answered {
				t.Errorf("after %d: pinged %d, answered %d; want %d, %d", base, p-base, q-base, pinged-base, answered-base)
			}
		}
		expect(base, base, base+1<<31)
		a.undo(a.ping(base + 2))
		expect(base, base, base+4)
		before, now := a.ping(base + 4)
		if a.isAfter(base+4) || !a.isAfter(base+3) {
			t.Error("isAfter")
		}
		if a.pong(uint32(base+3), base+5) || !a.pong(uint32(base+4), base+5) || a.pong(uint32(base+4), base+6) {
			t.Error("another ping's pong, the last one's, and that again: want only the second to be right")
		}
		a.undo(before, now)
		expect(base+4, base+5, base+1<<32)
	}
}
