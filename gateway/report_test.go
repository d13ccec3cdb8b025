package gateway_test

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
)

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (l *logged) Write(b []byte) (int, error) {
	line := map[string]any{}
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return len(b), nil
}

func (l *logged) with(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line["message"] == message {
			found = append(found, line)
		}
	}
	return found
}

// TestLogWords pins what today's operators grep for.
func TestLogWords(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &logged{}
		f := start(t, func(cfg *gateway.Config) { cfg.Logger = zerolog.New(log) })
		f.dial("/ws")
		f.dial("/ws")
		time.Sleep(31 * time.Minute)
		f.cancel()
		<-f.ended
		for message, want := range map[string]int{
			"Started session expiry with 30.0 minute timeout": 1,
			"WebSocket connected":                             2,
			"Cleaned up 2 inactive session(s)":                1,
			"WebSocket disconnected":                          2,
			"Stopped session expiry":                          1,
		} {
			if got := len(log.with(message)); got != want {
				t.Errorf("%d lines say %q; want %d", got, message, want)
			}
		}
		for i, line := range log.with("WebSocket connected") {
			if line["total_connections"] != float64(i+1) {
				t.Errorf("total_connections is %v; want %d", line["total_connections"], i+1)
			}
		}
	})
}

func TestLogLinesAreSampledAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &logged{}
		f := start(t, func(cfg *gateway.Config) { cfg.Logger = zerolog.New(log) })
		for range 130 {
			f.dial("/ws")
		}
		time.Sleep(2 * time.Second)
		if got := len(log.with("WebSocket connected")); got != 100 {
			t.Errorf("%d lines; want 100", got)
		}
		left := log.with("Connect, disconnect and refusal lines left out")
		if len(left) != 1 || left[0]["lines"] != 30.0 {
			t.Errorf("left out: %v; want 30 in one line", left)
		}
	})
}

// TestRefusalsAreLogged with what an operator needs to tell a mistake from an attack.
func TestRefusalsAreLogged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &logged{}
		f := start(t, func(cfg *gateway.Config) {
			cfg.Logger = zerolog.New(log).Level(zerolog.InfoLevel)
			cfg.AllowHosts = []string{"gate.test"}
		})
		long := strings.Repeat("x", 1000) + ".test"
		for _, c := range []struct{ add, host, reason, loggedOrigin, loggedHost string }{
			{"Origin: https://evil.test", "gate.test", "origin", "https://evil.test", "gate.test"},
			{"X: y", "evil.test", "host_not_allowed", "", "evil.test"},
			{"X: y", long, "host_not_allowed", "", long[:128] + "..."},
			{"Sec-WebSocket-Version: 8", "gate.test", "version", "", ""},
		} {
			raw := strings.Replace(handshake("/ws"), "Host: gate.test", "Host: "+c.host+"\r\n"+c.add, 1)
			before := len(log.with("Handshake rejected"))
			f.request(raw)
			lines := log.with("Handshake rejected")
			if len(lines) != before+1 {
				t.Fatalf("%s: %d lines", c.reason, len(lines)-before)
			}
			line := lines[before]
			text := func(key string) string { s, _ := line[key].(string); return s }
			if text("reason") != c.reason || text("origin") != c.loggedOrigin || text("host") != c.loggedHost || text("remote") == "" || text("level") != "info" {
				t.Errorf("%s: %v", c.reason, line)
			}
		}
	})
}

// TestRefusalsAreSampledAndCounted: a flood of them is ten lines a second.
func TestRefusalsAreSampledAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &logged{}
		f := start(t, func(cfg *gateway.Config) { cfg.Logger = zerolog.New(log) })
		for range 30 {
			f.request("GET /ws HTTP/1.1\r\nHost: gate.test\r\n\r\n")
		}
		if got := len(log.with("Handshake rejected")); got != 10 {
			t.Errorf("%d lines; want 10", got)
		}
		want := "# HELP wheelgate_log_lines_omitted_total Connect, disconnect and refusal lines left out of the log.\n" +
			"# TYPE wheelgate_log_lines_omitted_total counter\nwheelgate_log_lines_omitted_total 20\n"
		if err := testutil.GatherAndCompare(f.Registry(), strings.NewReader(want), "wheelgate_log_lines_omitted_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestLogLinesGoOnWhenTheClockIsSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var back atomic.Int64
		before := zerolog.TimestampFunc
		t.Cleanup(func() { zerolog.TimestampFunc = before })
		zerolog.TimestampFunc = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }

		log := &logged{}
		f := start(t, func(cfg *gateway.Config) { cfg.Logger = zerolog.New(log) })
		for range 130 {
			f.dial("/ws")
		}
		back.Store(int64(time.Hour))
		time.Sleep(time.Second)
		for range 20 {
			f.dial("/ws")
		}
		if got := len(log.with("WebSocket connected")); got != 120 {
			t.Errorf("%d lines; want 120", got)
		}
	})
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.MaxSessions = 10 })
		f.dial("/ws")
		f.dial("/ws")
		f.request("GET /ws HTTP/1.1\r\nHost: gate.test\r\n\r\n")
		f.broadcast("x", 2)
		time.Sleep(31 * time.Minute)
		f.dial("/echo")
		problems, err := testutil.GatherAndLint(f.Registry())
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
		want := `
# HELP wheelgate_sessions Sessions open now.
# TYPE wheelgate_sessions gauge
wheelgate_sessions 1
# HELP wheelgate_sessions_limit Most sessions that may be open; 0 is no limit.
# TYPE wheelgate_sessions_limit gauge
wheelgate_sessions_limit 10
# HELP wheelgate_sessions_opened_total Sessions that were opened.
# TYPE wheelgate_sessions_opened_total counter
wheelgate_sessions_opened_total 3
# HELP wheelgate_sessions_expired_total Sessions closed for inactivity.
# TYPE wheelgate_sessions_expired_total counter
wheelgate_sessions_expired_total 2
# HELP wheelgate_messages_sent_total Data messages accepted for sending to a client.
# TYPE wheelgate_messages_sent_total counter
wheelgate_messages_sent_total 2
# HELP wheelgate_wheel_entries Deadlines in the expiry wheel.
# TYPE wheelgate_wheel_entries gauge
wheelgate_wheel_entries 1
`
		if err := testutil.GatherAndCompare(f.Registry(), strings.NewReader(want), "wheelgate_sessions", "wheelgate_sessions_limit",
			"wheelgate_sessions_opened_total", "wheelgate_sessions_expired_total", "wheelgate_messages_sent_total", "wheelgate_wheel_entries"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{
			"wheelgate_sessions_closed_total", "wheelgate_session_duration_seconds", "wheelgate_expiry_lateness_seconds",
			"wheelgate_wheel_watchdog_total", "wheelgate_handshakes_rejected_total", "wheelgate_messages_received_total",
			"wheelgate_messages_dropped_total", "wheelgate_broadcast_duration_seconds",
		} {
			if n, err := testutil.GatherAndCount(f.Registry(), name); n == 0 || err != nil {
				t.Errorf("%s: %d series, %v", name, n, err)
			}
		}
	})
}

// gatherHistogram returns how many samples the only histogram with this name has, and
// their sum.
func gatherHistogram(t *testing.T, registry *prometheus.Registry, name string) (count uint64, sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			h := family.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatalf("no %s", name)
	return 0, 0
}
