package gateway

import (
	"strings"
	"testing"
	"time"
	"unsafe"
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
	idle := func(change func(*facts)) facts {
		f := facts{opened: 100, heard: 100, active: 100, pinged: never, begun: never, closed: never, messageWait: 60, idleWait: 1000, pingWait: 50, pongWait: 20, closeWait: 4, phase: 128}
		change(&f)
		return f
	}
	for _, c := range []struct {
		name string
		f    facts
		at   int64
		do   action
	}{
		{"fresh: first ping at its phase", idle(func(*facts) {}), 100 + 1 + 49/2, actPing},
		{"fresh, phase 0: not in the step it opened", idle(func(f *facts) { f.phase = 0 }), 101, actPing},
		{"heard: an interval later, less a sixteenth", idle(func(f *facts) { f.heard = 200 }), 200 + 50 - 3, actPing},
		{"pinged", idle(func(f *facts) { f.pinged = 150 }), 170, actPongTimeout},
		{"answered", idle(func(f *facts) { f.pinged, f.heard = 150, 151 }), 151 + 47, actPing},
		{"idle before the next ping", idle(func(f *facts) { f.heard, f.active = 1090, 100 }), 1100, actExpire},
		{"idle while waiting for a pong", idle(func(f *facts) { f.heard, f.pinged = 1040, 1090 }), 1100, actExpire},
		{"tie: the end wins", idle(func(f *facts) { f.heard, f.pinged = 1040, 1080 }), 1100, actExpire},
		{"no pings", idle(func(f *facts) { f.pingWait = 0 }), 1100, actExpire},
		{"no pings: an old one does not matter", idle(func(f *facts) { f.pingWait, f.pinged = 0, 150 }), 1100, actExpire},
		{"a message has begun", idle(func(f *facts) { f.heard, f.begun = 140, 110 }), 170, actMessageTimeout},
		{"closing", idle(func(f *facts) { f.closed = 300 }), 304, actAbort},
		{"closing in the first step", idle(func(f *facts) { f.closed = 0 }), 4, actAbort},
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
