package wsconn_test

import (
	"errors"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// Many hold much: who comes with a message in two segments is not who pays.
func contractLargestPartialPays(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(5*128<<10+8<<10, 0) // of five as long as they may be, and little else
	srv := newServer(t, newTransport(cfg), l, echoing)
	long := clientFrame(fin|opBinary, repeat(cfg.MaxMessage))
	var greedy []*session
	for range 5 {
		c, s := srv.connect()
		c.send(long[:len(long)-1])
		eventually(t, "the unfinished message to be told", s.unfinished.Load)
		greedy = append(greedy, s)
	}
	frame := clientFrame(fin|opText, repeat(3000))
	var honest []*client
	for range 20 { // on a loop what has come counts, but for the goroutines' buffers
		c, s := srv.connect()
		c.send(frame[:2000])
		eventually(t, "the unfinished message to be told", s.unfinished.Load)
		honest = append(honest, c)
	}
	for range 3 {
		c, s := srv.connect()
		c.send(long[:len(long)-1])
		eventually(t, "the unfinished message to be told", func() bool { return s.unfinished.Load() })
		greedy = append(greedy, s)
	}
	if e := greedy[0].expect("violation"); e.v != wsconn.OverBudget {
		t.Errorf("violation %v; want OverBudget", e.v)
	}
	for _, c := range honest {
		c.send(frame[2000:])
		c.expect(fin|opText, repeat(3000))
	}
	if used := cfg.Budgets.Partials(); used.Used > used.Limit {
		t.Errorf("%+v", used)
	}
}

// Who pays is who has most waiting, not who is sent more.
func contractLargestOutboxPays(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	const size, many, some = 10_000, 98, 30 // of some a part waits, of many most
	cfg := testConfig
	cfg.OutboxMessages, cfg.Budgets = 1000, wsconn.NewBudgets(0, 2<<20)
	srv := newServer(t, newTransport(cfg), l, nil)
	message := string(make([]byte, size))
	send := func(s *session, n int) {
		for range n {
			if err := s.send(wsconn.Binary, message); err != nil {
				t.Fatal(err)
			}
		}
	}
	slow, large := srv.connect()
	send(large, many)
	var others []*client
	for large.send(wsconn.Text, "more") == nil { // until it has paid
		c, s := srv.connect()
		others = append(others, c)
		send(s, some)
		eventually(t, "memory to be within bounds", func() bool { return cfg.Budgets.Outboxes().Used < 2<<20+1<<16 })
		if len(others) > 100 {
			t.Fatalf("nobody pays: %+v", cfg.Budgets.Outboxes())
		}
	}
	if e := large.expect("violation"); e.v != wsconn.OutboxOverBudget {
		t.Errorf("violation %v; want OutboxOverBudget", e.v)
	}
	if err := large.send(wsconn.Text, "more"); !errors.Is(err, wsconn.ErrClosed) {
		t.Errorf("Send after that: %v; want ErrClosed", err)
	}
	large.conn.CloseNow(1013, "outbox_budget")
	for i, s := range srv.sessions[1:] {
		if len(s.events) > 0 {
			t.Fatalf("number %d of %d pays as well: %+v", i, len(others), <-s.events)
		}
	}
	for _, c := range others {
		for range some {
			c.expect(fin|opBinary, message)
		}
	}
	expectCloseBehindData(t, slow, closePayload(1013, "outbox_budget"))
	_ = slow.Close()
	if e := large.expect("closed"); e.end.Unsent == 0 {
		t.Error("nothing is unsent")
	}
	eventually(t, "the budget to be free", func() bool { return cfg.Budgets.Outboxes() == wsconn.BudgetStats{Limit: 2 << 20} })
}

// expectCloseBehindData reads what was written whole, then the close frame.
func expectCloseBehindData(t *testing.T, c *client, payload string) {
	t.Helper()
	for {
		first, got, err := c.readFrame()
		switch {
		case err != nil:
			t.Fatalf("instead of a close frame: %v", err)
		case first == fin|opClose && got != payload:
			t.Fatalf("closed with %q, want %q", got, payload)
		case first == fin|opClose:
			return
		}
	}
}

// A broadcast that waits for many takes its memory once.
func contractSharedFrame(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(0, 2<<20)
	tr := newTransport(cfg)
	srv := newServer(t, tr, l, nil)
	var conns []wsconn.Conn
	for range 20 {
		_, s := srv.connect()
		conns = append(conns, s.conn)
	}
	errs := make([]error, len(conns))
	for range 12 {
		f, _ := wsconn.NewFrame(wsconn.Binary, make([]byte, 80_000))
		tr.SendAll(f, conns, errs)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	used := cfg.Budgets.Outboxes()
	if used.Connections != len(conns) || used.Used < 80_000 || used.Used > 12*90_000+20*1000 {
		t.Errorf("%+v; want that of 12 frames for 20 connections", used)
	}
	srv.stop()
	if used := cfg.Budgets.Outboxes(); used.Used != 0 || used.Connections != 0 {
		t.Errorf("%+v when all have gone", used)
	}
}

// What a connection that pays has begun to write may stay for a while, not without bound.
func contractLeavingInTime(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(0, 2<<20) // two of these
	srv := newServer(t, newTransport(cfg), l, nil)
	var sessions []*session
	for range 20 {
		c, s := srv.connect()
		if err := s.send(wsconn.Binary, string(make([]byte, 1_000_000))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.in.Peek(1); err != nil { // it is begun
			t.Fatal(err)
		}
		sessions = append(sessions, s)
		eventually(t, "memory to be within bounds", func() bool { return cfg.Budgets.Outboxes().Used < 2<<20+1<<19 })
	}
	for _, s := range sessions[:18] {
		e := s.expectAny()
		if e.kind == "violation" && e.v == wsconn.OutboxOverBudget {
			e = s.expectAny()
		}
		if e.kind != "closed" || !errors.Is(e.end.Err, wsconn.ErrOutboxBudget) || e.end.Unsent != 1 {
			t.Errorf("ended with %+v", e)
		}
	}
}

// contractPartialsAsAllocated: memory is what counts, not what has come.
func contractPartialsAsAllocated(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(1<<20, 0)
	srv := newServer(t, newTransport(cfg), l, nil)
	c, s := srv.connect()
	whole := clientFrame(fin|opBinary, repeat(60_000))
	c.send(whole[:33_000]) // in a block of 40 KiB; or in one for 60,000 bytes, which is of 64
	eventually(t, "what has come to count as allocated", func() bool { return cfg.Budgets.Partials().Used >= 40<<10 })
	c.send(whole[33_000:])
	s.expect("message")

	c.send(clientFrame(opBinary, repeat(33_000)), clientFrame(opContinuation, repeat(2500)))
	eventually(t, "fragments to count as allocated", func() bool { return cfg.Budgets.Partials().Used >= 40<<10 })
	c.send(clientFrame(fin|opContinuation, ""))
	s.expect("message")
	eventually(t, "the budget to be free", func() bool { return cfg.Budgets.Partials().Used == 0 })
}
