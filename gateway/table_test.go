package gateway

import (
	"net"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestReasonTable is inside the package because the table is.
func TestReasonTable(t *testing.T) {
	tokens := map[string]bool{}
	for r, row := range endings {
		if row.token == "" || tokens[row.token] || strings.Trim(row.token, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			t.Errorf("reason %d: token %q is empty, taken or not a label", r, row.token)
		}
		tokens[row.token] = true
		if (row.app == 0) != (row.rfc == 0) {
			t.Errorf("%s: has one code of two", row.token)
		}
		if row.rfc != 0 && (row.rfc < 1000 || row.rfc > 1015) {
			t.Errorf("%s: %d is not a code of RFC 6455", row.token, row.rfc)
		}
		if row.app >= 4600 || row.app > 1015 && row.app < 4100 {
			t.Errorf("%s: %d is in no range of ours", row.token, row.app)
		}
	}
	for r, code := range map[Reason]uint16{ReasonProtocol: 1002, ReasonBadUTF8: 1007, ReasonTooBig: 1009, ReasonInternal: 1011} {
		if row := endings[r]; row.app != code || row.rfc != code {
			t.Errorf("%s: %d and %d; RFC 6455 has %d", row.token, row.app, row.rfc, code)
		}
	}
}

// TestSessionSize: what a session weighs is multiplied by a million. Growing out
// of its size class should be a decision.
func TestSessionSize(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 160 {
		t.Errorf("a Session has %d bytes", size)
	}
}

func TestNextDeadline(t *testing.T) {
	with := func(change func(*facts)) facts {
		f := facts{
			opened: 100, heard: 100, active: 100, pinged: 100, answered: 100, begun: never, closed: never,
			messageWait: 60, idleWait: 1000, pingWait: 50, pongWait: 20, closeWait: 4, phase: 128,
		}
		change(&f)
		return f
	}
	// With this phase the session's own ping wait is 47.
	for _, c := range []struct {
		name string
		f    facts
		at   int64
		do   action
	}{
		{"fresh: first ping at its phase", with(func(*facts) {}), 100 + 1 + 46/2, actPing},
		{"fresh, phase 0: not in the step it opened", with(func(f *facts) { f.phase = 0 }), 101, actPing},
		{"fresh, last phase: not after the ping of whom was heard at once", with(func(f *facts) { f.phase = 255 }), 143, actPing},
		{"heard at once, last phase", with(func(f *facts) { f.phase, f.heard = 255, 101 }), 101 + 44, actPing},
		{"heard: an interval later, less a sixteenth", with(func(f *facts) { f.heard = 110 }), 110 + 47, actPing},
		{"it talks: two intervals after the opening", with(func(f *facts) { f.heard = 190 }), 100 + 2*47, actPing},
		{"it talks: two intervals after the last right pong", with(func(f *facts) { f.heard, f.pinged, f.answered = 290, 200, 210 }), 210 + 2*47, actPing},
		{"pinged", with(func(f *facts) { f.pinged = 150 }), 170, actPongTimeout},
		{"answered", with(func(f *facts) { f.pinged, f.answered, f.heard = 150, 151, 151 }), 151 + 47, actPing},
		{"answered by other bytes", with(func(f *facts) { f.pinged, f.heard = 130, 131 }), 131 + 47, actPing},
		{"answered by other bytes: soon the pong is due", with(func(f *facts) { f.pinged, f.heard = 170, 190 }), 100 + 2*47, actPing},
		{"a pong is due, whatever is heard", with(func(f *facts) { f.pinged, f.heard = 194, 210 }), 194 + 20, actPongTimeout},
		{"a pong is due, amid a message", with(func(f *facts) { f.pinged, f.heard, f.begun = 194, 210, 205 }), 205 + 60, actMessageTimeout},
		{"a pong is due, amid one message after the other", with(func(f *facts) { f.pinged, f.heard, f.begun = 194, 250, 249 }), 194 + 60 + 20, actPongTimeout},
		{"a pong is due, after a message", with(func(f *facts) { f.pinged, f.heard, f.ended = 194, 230, 229 }), 229 + 20, actPongTimeout},
		{"a pong is due, a message ended before the ping", with(func(f *facts) { f.pinged, f.heard, f.ended = 194, 230, 190 }), 194 + 20, actPongTimeout},
		{"a pong is due, after very many messages", with(func(f *facts) { f.pinged, f.heard, f.ended = 194, 270, 270 }), 194 + 60 + 20, actPongTimeout},
		{"idle before the next ping", with(func(f *facts) { f.heard, f.answered, f.active = 1090, 1090, 100 }), 1100, actExpire},
		{"idle while waiting for a pong", with(func(f *facts) { f.heard, f.pinged = 1040, 1090 }), 1100, actExpire},
		{"tie: the end wins", with(func(f *facts) { f.heard, f.pinged = 1040, 1080 }), 1100, actExpire},
		{"no pings", with(func(f *facts) { f.pingWait = 0 }), 1100, actExpire},
		{"no pings: an old one does not matter", with(func(f *facts) { f.pingWait, f.pinged = 0, 150 }), 1100, actExpire},
		{"a message has begun", with(func(f *facts) { f.heard, f.begun = 140, 110 }), 170, actMessageTimeout},
		{"closing", with(func(f *facts) { f.closed = 300 }), 304, actAbort},
		{"closing in the first step", with(func(f *facts) { f.closed = 0 }), 4, actAbort},
	} {
		if at, do := c.f.next(); at != c.at || do != c.do {
			t.Errorf("%s: (%d, %d); want (%d, %d)", c.name, at, do, c.at, c.do)
		}
	}
}

func TestConfigFaultsAreAllNamed(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg.SessionTimeout, cfg.OutboxMessages, cfg.AllowOrigins = -time.Second, 0, []string{"example.test/path"}
	err := cfg.Validate()
	for _, want := range []string{"SessionTimeout is -1s", "OutboxMessages is 0", `"example.test/path"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestConnectedAtFollowsTheClock: after the wall clock was set, a session's age is what it
// was. No test can set the clock; one that was an hour behind until now is the same.
func TestConnectedAtFollowsTheClock(t *testing.T) {
	g, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{g: g, conn: nowhere{}, connected: time.Since(g.made)}
	s.life.open(0)
	before := g.made
	// The upper word of a time.Time with a monotonic reading has seconds from bit 30 on.
	(*[2]uint64)(unsafe.Pointer(&g.made))[0] -= 3600 << 30
	if d, wall := before.Sub(g.made), before.Round(0).Sub(g.made.Round(0)); d != 0 || wall != time.Hour {
		t.Fatalf("the clock was set by %v, the monotonic one by %v", wall, d)
	}
	if age := time.Now().Round(0).Sub(s.Info().ConnectedAt.Round(0)); age < 0 || age > time.Minute {
		t.Errorf("connected %v ago; want hardly any time", age)
	}
}

// nowhere is a connection that only has an address.
type nowhere struct{ wsconn.Conn }

func (nowhere) RemoteAddr() net.Addr { return &net.UnixAddr{} }
