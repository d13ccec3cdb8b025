package gateway_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestOutboxBudget: the gateway closes sessions that do not read, the longest queue first,
// and no other session.
func TestOutboxBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		opened := make(chan *gateway.Session, 10)
		f := start(t, func(cfg *gateway.Config) {
			cfg.OutboxBudget, cfg.Hooks.Open = 1<<20, func(s *gateway.Session) { opened <- s }
		})
		reader := f.dial("/ws")
		<-opened
		message := make([]byte, 50_000)
		greedy := make(map[*gateway.Session]io.Reader)
		for range 8 { // seven times 150,000 is too much
			conn := f.rawDial("/ws")
			s := <-opened
			greedy[s] = conn
			for range 3 {
				if err := s.Send(wsconn.Binary, message); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		f.broadcast("to all", 1+6)
		if got := <-reader.messages; got != "to all" {
			t.Errorf("the reader got %q", got)
		}
		const want = `# HELP wheelgate_outbox_budget_bytes Most memory for messages that wait for slow clients; 0 is no limit.
# TYPE wheelgate_outbox_budget_bytes gauge
wheelgate_outbox_budget_bytes 1.048576e+06
# HELP wheelgate_partial_budget_bytes Most memory for messages that have not arrived wholly; 0 is no limit.
# TYPE wheelgate_partial_budget_bytes gauge
wheelgate_partial_budget_bytes 6.7108864e+07
# HELP wheelgate_partial_budget_used_bytes Memory of messages that have not arrived wholly.
# TYPE wheelgate_partial_budget_used_bytes gauge
wheelgate_partial_budget_used_bytes 0
# HELP wheelgate_sessions_backlogged Sessions whose client has not taken all that was sent to it.
# TYPE wheelgate_sessions_backlogged gauge
wheelgate_sessions_backlogged 8
`
		if err := testutil.GatherAndCompare(f.Registry(), strings.NewReader(want), "wheelgate_outbox_budget_bytes",
			"wheelgate_partial_budget_bytes", "wheelgate_partial_budget_used_bytes", "wheelgate_sessions_backlogged"); err != nil {
			t.Error(err)
		}
		closed := 0
		for s, conn := range greedy {
			if s.Reason() == gateway.ReasonNone {
				continue
			}
			closed++
			if s.Reason() != gateway.ReasonOutboxBudget {
				t.Errorf("closed as %v", s.Reason())
			}
			begun, frame := 4+len(message), "\x88\x0f\x10\x0boutbox_budget" // 4107
			got := make([]byte, begun+len(frame))
			if _, err := io.ReadFull(conn, got); err != nil || string(got[begun:]) != frame {
				t.Errorf("behind what was begun came %q, %v", got[begun:], err)
			}
		}
		if closed != 2 {
			t.Errorf("%d were closed; want 2", closed)
		}
	})
}

// TestOutboxBudgetIsTheReason also of a session that had to be cut off amid a long message.
func TestOutboxBudgetIsTheReason(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		opened, reasons := make(chan *gateway.Session, 10), make(chan gateway.Reason, 10)
		f := start(t, func(cfg *gateway.Config) {
			cfg.MaxMessage, cfg.OutboxBudget = 1<<20, 1<<20
			cfg.Hooks.Open = func(s *gateway.Session) { opened <- s }
			cfg.Hooks.Close = func(_ *gateway.Session, r gateway.Reason) { reasons <- r }
		})
		for range 10 {
			f.rawDial("/ws")
			if err := (<-opened).Send(wsconn.Binary, make([]byte, 600_000)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if len(reasons) != 9 {
			t.Fatalf("%d were cut off; want 9", len(reasons))
		}
		for range 9 {
			if r := <-reasons; r != gateway.ReasonOutboxBudget {
				t.Errorf("closed as %v", r)
			}
		}
	})
}
