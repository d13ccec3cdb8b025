package fleet

import (
	"strings"
	"testing"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// lossRun runs against a server that dies, or closes all, when the hold begins.
func lossRun(t *testing.T, die bool, lines ...string) (record.End, *recording) {
	t.Helper()
	s := newServer(t)
	c, r := config(t, s, 2, append(lines, "connections: 10")...)
	emit := c.Emit
	c.Emit = func(line record.Line) {
		emit(line)
		if line.Mark == nil || line.Mark.Text != "holding" {
			return
		}
		if die {
			s.stop()
		}
		for _, conn := range s.await(t, 10) {
			_ = conn.NetConn().Close()
		}
	}
	end := runIt(t, t.Context(), c)
	r.check(t, 2)
	return end, r
}

// TestLossOfAllFailsTheRun: one in which all should stay ends at once, one in which
// they come back fails only if nobody has at the end.
func TestLossOfAllFailsTheRun(t *testing.T) {
	f := func(want string, die bool, lines ...string) {
		t.Helper()
		end, _ := lossRun(t, die, lines...)
		if end.Error != "" || end.Interrupted || (want == "") != (end.Lost == "") || !strings.HasPrefix(end.Lost, want) {
			t.Errorf("%v: %+v, want %q", lines, end, want)
		}
	}
	const all = "all connections were lost: 10 ended by the server or the network, 10 with no close frame"
	f(all, true, "hold: 1h")
	f(all, false, "hold: 1h", "messages: {rate: 20, bytes: 64, echo: true}")
	f(all, false, "hold: 300ms")
	f("all connections were lost: ", true, "hold: 2s", "churn: {rate: 20}")
	f("", false, "hold: 2s", "churn: {rate: 20}")
	f("", true, "drain: {within: 10s}", "hold: 1h")
	f("", true, "half_open: {share: 0.1}", "hold: 1s")
}

// TestRunWithoutAnyConnectionIsLost: where all may end, some have to have come.
func TestRunWithoutAnyConnectionIsLost(t *testing.T) {
	for _, ending := range []string{"expire: {timeout: 1s}", "drain: {within: 1s}", "half_open: {share: 0.1}", "slow_readers: {share: 1}"} {
		s := newServer(t)
		c, _ := config(t, s, 2, "connections: 10", "hold: 100ms", ending)
		s.stop()
		end := runIt(t, t.Context(), c)
		if end.Error != "" || end.Lost != "no connection was opened: 10 failed" {
			t.Errorf("%s: %+v", ending, end)
		}
	}
}

func TestWhatLossMeans(t *testing.T) {
	for name, want := range map[string]scenario.Loss{
		"idle": scenario.LossAtOnce, "echo": scenario.LossAtOnce, "broadcast": scenario.LossAtOnce,
		"churn": scenario.LossAtEnd, "storm": scenario.LossAtEnd, "mixed": scenario.LossAtEnd, "slow-readers": scenario.LossAtEnd,
		"expiry": scenario.LossExpected, "drain": scenario.LossExpected, "half-open": scenario.LossExpected,
	} {
		text, _ := scenario.Ready(name)
		s, err := scenario.Parse(text)
		if got := s.Loss(); err != nil || got != want {
			t.Errorf("%s: %d, want %d (%v)", name, got, want, err)
		}
	}
}
