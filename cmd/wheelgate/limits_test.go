package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// limitedTo is what becomes of asked sessions, and the log's messages and last bound.
func limitedTo(t *testing.T, o *options, files int, memory uint64) (n int, messages []string, bound string) {
	t.Helper()
	var log bytes.Buffer
	if err := limitSessions(o, newCapacity(o, fileLimit{files, 10, 4, 48}, memory), zerolog.New(&log)); err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(log.String()) {
		var line struct{ Level, Message, Bound string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		messages, bound = append(messages, line.Level+" "+line.Message), line.Bound
	}
	return o.gateway.MaxSessions, messages, bound
}

func TestLimitSessions(t *testing.T) {
	const (
		tooFewFiles = "warn The open-file limit is too low for max-sessions, which is lowered: raise the limit (ulimit -n)"
		tooLittle   = "warn Idle sessions alone may take more than half of the memory: lower max-sessions, or add memory"
		files       = "the open-file limit 1024"
	)
	f := func(asked, files int, memory uint64, want int, wantBound string, warnings ...string) {
		t.Helper()
		o := &options{}
		o.gateway.MaxSessions = asked
		n, messages, bound := limitedTo(t, o, files, memory)
		wantMessages := append(warnings, fmt.Sprintf("info Can hold %d sessions", want))
		if n != want || bound != wantBound || !slices.Equal(messages, wantMessages) {
			t.Errorf("got %d by %s: %q\nwant %d by %s: %q", n, bound, messages, want, wantBound, wantMessages)
		}
	}
	f(0, 1024, 0, 902, files)
	f(0, 1024, 1<<30, 902, files)
	f(500, 1024, 0, 500, "max-sessions")
	f(5000, 1024, 0, 902, files, tooFewFiles)
	f(0, math.MaxInt, 0, maxSessions, "the open-file limit 9223372036854775807")
	f(500, 1024, 1<<20, 500, "max-sessions", tooLittle)
	f(5000, 1024, 1<<20, 902, files, tooFewFiles, tooLittle)
	f(0, 1024, 1, 1, "the memory of 0 MiB")
}

func TestDefaultSessionsFitIntoTheMemory(t *testing.T) {
	f := func(o *options, want int) {
		t.Helper()
		if runtime.GOOS != "linux" && want == 1<<29/loopCost {
			want = 1 << 29 / goroutineCost
		}
		n, messages, bound := limitedTo(t, o, 1<<20, 1<<30)
		if n != want || bound != "the memory of 1024 MiB" || len(messages) != 1 {
			t.Errorf("%d by %s, want %d: %q", n, bound, want, messages)
		}
	}
	transport := func(kind wsconn.Kind) *options { return &options{gateway: gateway.Config{Transport: kind}} }
	f(transport(wsconn.KindAuto), 1<<29/loopCost)
	f(transport(wsconn.KindLoop), 1<<29/loopCost)
	f(transport(wsconn.KindGoroutine), 1<<29/goroutineCost)
	f(&options{pair: &tls.Certificate{}}, 1<<29/tlsCost)
}

func TestMemoryIsKnown(t *testing.T) {
	if n := systemMemory().limit; runtime.GOOS == "linux" && (n < 16<<20 || n > 1<<46) {
		t.Errorf("%d bytes", n)
	}
}

func TestNoRoomForASession(t *testing.T) {
	err := limitSessions(&options{}, newCapacity(&options{}, fileLimit{90, 6, 1, 48}, 0), zerolog.Nop())
	const want = "max-sessions: the open-file limit of 90 leaves no room for a session: " +
		"raise it (ulimit -n) above 90, of which 48 are for max-admin-connections and health-listen"
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestAdminFiles(t *testing.T) {
	o := &options{maxAdminConnections: 100}
	if got := o.adminFiles(); got != 100 {
		t.Errorf("%d files", got)
	}
	o.healthListen = ":8082"
	if got := o.adminFiles(); got != 100+healthFiles {
		t.Errorf("%d files with a listener for health", got)
	}
	few, many := fileLimit{1024, 10, 4, 48}, fileLimit{1024, 10, 4, 100}
	if few.sessions()-many.sessions() != 52 {
		t.Errorf("%d and %d sessions", few.sessions(), many.sessions())
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

func TestOutboxBudgetIsAShareOfTheMemory(t *testing.T) {
	for _, test := range []struct {
		limit uint64
		want  int
	}{{0, 256 << 20}, {1 << 20, 8 << 20}, {64 << 20, 8 << 20}, {800 << 20, 100 << 20}, {1 << 40, 1 << 30}} {
		if got := (memory{limit: test.limit}).outboxBudget(); got != test.want {
			t.Errorf("of %d: %d, want %d", test.limit, got, test.want)
		}
	}
	if m := memoryLimit(); m.limit < 1<<20 || m.source == "" {
		t.Errorf("%+v", m)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(800 << 20))
	o := &options{}
	if got := showOutboxBudget(o); got != "100MiB (by GOMEMLIMIT, of which 800MiB may be used)" {
		t.Error(got)
	}
	if setOutboxBudget(o); o.gateway.OutboxBudget != 100<<20 {
		t.Error(o.gateway.OutboxBudget)
	}
	o.gateway.OutboxBudget = 5 << 20
	if setOutboxBudget(o); o.gateway.OutboxBudget != 5<<20 || showOutboxBudget(o) != "5MiB" {
		t.Error(o.gateway.OutboxBudget)
	}
}
