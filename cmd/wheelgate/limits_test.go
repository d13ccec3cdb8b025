package main

import (
	"bytes"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestLimitSessions(t *testing.T) {
	f := func(asked, most, open, want int, logged string) {
		t.Helper()
		var log bytes.Buffer
		o := &options{}
		o.gateway.MaxSessions = asked
		if err := limitSessions(o, fileLimit{most, open, 4}, zerolog.New(&log)); err != nil {
			t.Fatal(err)
		}
		if o.gateway.MaxSessions != want {
			t.Errorf("asked %d, limit %d: got %d, want %d", asked, most, o.gateway.MaxSessions, want)
		}
		if log.String() != logged {
			t.Errorf("\n got %s\nwant %s", log.String(), logged)
		}
	}
	f(0, 1024, 10, 902, `{"level":"info","max_sessions":902,"open_file_limit":1024,"message":"Can hold 902 sessions"}`+"\n")
	f(500, 1024, 10, 500, `{"level":"info","max_sessions":500,"open_file_limit":1024,"message":"Can hold 500 sessions"}`+"\n")
	f(5000, 1024, 10, 902, `{"level":"warn","max_sessions":5000,"effective":902,"open_file_limit":1024,`+
		`"message":"The open-file limit is too low for max-sessions, which is lowered: raise the limit (ulimit -n)"}`+"\n"+
		`{"level":"info","max_sessions":902,"open_file_limit":1024,"message":"Can hold 902 sessions"}`+"\n")
	f(0, math.MaxInt, 10, maxSessions, `{"level":"info","max_sessions":268435456,"open_file_limit":9223372036854775807,`+
		`"message":"Can hold 268435456 sessions"}`+"\n")
}

func TestNoRoomForASession(t *testing.T) {
	err := limitSessions(&options{}, fileLimit{90, 6, 1}, zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "the open-file limit of 90 leaves no room for a session") {
		t.Error(err)
	}
}

func TestOpenFiles(t *testing.T) {
	if l := openFiles(); l.most < 64 || l.open < 3 || l.open > l.most {
		t.Errorf("%+v", l)
	}
}

func TestLimitMemoryKeepsAnExistingLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "123MiB")
	var log bytes.Buffer
	limitMemory(zerolog.New(&log))
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("limit went from %d to %d", before, got)
	}
	if !strings.Contains(log.String(), `"level":"debug"`) || strings.Contains(log.String(), `"level":"info"`) {
		t.Errorf("log: %s", log.String())
	}
}
