package wsconn_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func TestGoroutine(t *testing.T) {
	newTransport := func(cfg wsconn.Config) transport { return wsconn.NewGoroutine(cfg) }
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) { testContract(t, l, newTransport) })
	}
}

// testContract is what every transport does over every link it serves.
func testContract(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, link, func(wsconn.Config) transport)
	}{
		{"echo", contractEcho},
		{"early bytes", contractEarlyBytes},
		{"send from open", contractSendFromOpen},
		{"close by owner", contractCloseByOwner},
		{"close by peer", contractCloseByPeer},
		{"close over input", contractCloseOverInput},
		{"peer closes and hangs up", contractPeerHangsUp},
		{"no input after close", contractNoInputAfterClose},
		{"violations", contractViolations},
		{"unfinished messages", contractUnfinished},
		{"one unfinished after another", contractUnfinishedAnew},
		{"text", contractText},
		{"text that is not UTF-8", contractBadText},
		{"outbox full", contractOutboxFull},
		{"messages", contractSendMessage},
		{"close behind backlog", contractCloseBehindBacklog},
		{"close now", contractCloseNow},
		{"write timeout", contractWriteTimeout},
		{"abort", contractAbort},
		{"peer gone", contractPeerGone},
		{"handler panics", contractPanic},
		{"refused handshake", contractRefusedHandshake},
		{"close and abort in open", contractEndInOpen},
		{"stress", contractStress},
		{"to all", contractSendAll},
		{"to all, full", contractSendAllFull},
		{"to all, stress", contractSendAllStress},
		{"largest partial pays", contractLargestPartialPays},
		{"partials as allocated", contractPartialsAsAllocated},
		{"largest outbox pays", contractLargestOutboxPays},
		{"a frame for many counts once", contractSharedFrame},
		{"leaving in time", contractLeavingInTime},
		{"compression", contractCompression},
		{"compression refused", contractCompressionRefused},
		{"compression to some", contractCompressionToSome},
		{"compression parameters", contractCompressionParameters},
		{"compression for windows", contractCompressionForWindows},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, l, newTransport) })
	}
}

func contractEcho(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, s := newServer(t, newTransport(testConfig), l, echoing).connect()
	if s.conn.RemoteAddr() == nil {
		t.Error("no remote address")
	}
	c.send(clientFrame(fin|opText, "grüß"))
	c.expect(fin|opText, "grüß")
	c.send(clientFrame(fin|opBinary, "\xff\x00"))
	c.expect(fin|opBinary, "\xff\x00")
	c.send(clientFrame(fin|opText, ""))
	c.expect(fin|opText, "")

	c.send(clientFrame(opText, "gr\xc3"), clientFrame(fin|opPing, "between"), // a rune across fragments
		clientFrame(opContinuation, ""), clientFrame(fin|opContinuation, "\xbc\xc3\x9f"))
	c.expect(fin|opPong, "between")
	c.expect(fin|opText, "grüß")

	for _, n := range []int{125, 126, 1000, 65535, 65536} {
		go func() { _, _ = c.Write(clientFrame(fin|opBinary, repeat(n))) }()
		c.expect(fin|opBinary, repeat(n))
	}
	before := s.heard.Load()
	for _, b := range clientFrame(fin|opText, "bytewise") {
		c.send([]byte{b})
	}
	c.expect(fin|opText, "bytewise")
	if s.heard.Load() == before {
		t.Error("nothing was heard of a message that came byte by byte")
	}

	c.send(clientFrame(fin|opPong, "unasked"))
	for range 4 + 2 + 5 - 1 {
		s.expectAny()
	}
	s.expect("message")
	if e := s.expect("pong"); e.payload != "unasked" {
		t.Errorf("got pong %q", e.payload)
	}
}

// What shares a packet with the request is in net/http's buffer, not in the socket.
func contractEarlyBytes(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, echoing)
	half := clientFrame(fin|opText, "halved")
	c, _ := srv.connect(clientFrame(fin|opText, "one"), clientFrame(fin|opPing, "two"), clientFrame(fin|opText, repeat(3000)), half[:3])
	c.send(half[3:])
	c.expect(fin|opText, "one")
	c.expect(fin|opPong, "two")
	c.expect(fin|opText, repeat(3000))
	c.expect(fin|opText, "halved")

	c, _ = srv.connect(clientFrame(fin|opClose, closePayload(1000, "early")))
	c.expect(fin|opClose, closePayload(1000, "early"))
}

// The owner bounds the time a message takes, the transport the memory of all.
func contractUnfinished(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.Budgets = wsconn.NewBudgets(16<<10, 0)
	srv := newServer(t, newTransport(cfg), l, echoing)
	c, s := srv.connect()
	frame, long := clientFrame(fin|opText, repeat(2000)), clientFrame(fin|opText, repeat(40_000))
	c.send(frame[:1500])
	eventually(t, "the unfinished message to be told", s.unfinished.Load)
	other, o := srv.connect()
	go func() { _, _ = other.Write(long[:30_000]) }()
	if e := o.expect("violation"); e.v != wsconn.OverBudget {
		t.Errorf("violation %v; want OverBudget", e.v)
	}
	o.conn.Abort()
	o.expect("closed")
	c.send(frame[1500:])
	c.expect(fin|opText, repeat(2000))
	eventually(t, "the finished message to be told", func() bool { return !s.unfinished.Load() })

	c.send(clientFrame(opText, "a"))
	eventually(t, "the unfinished message to be told", s.unfinished.Load)
	c.send(clientFrame(fin|opContinuation, "b"))
	c.expect(fin|opText, "ab")
	third, _ := srv.connect()
	third.send(frame[:1900])
	third.send(frame[1900:])
	third.expect(fin|opText, repeat(2000))
	eventually(t, "the budget to be free again", func() bool { return cfg.Budgets.Partials() == wsconn.BudgetStats{Limit: 16 << 10} })
}

// Who sends without pause is amid a message whenever what came has been read.
func contractUnfinishedAnew(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, s := newServer(t, newTransport(testConfig), l, echoing).connect()
	text, ping := clientFrame(fin|opText, "whole"), clientFrame(fin|opPing, "whole")
	begun := int64(0)
	beginAnew := func(p []byte, want int64) {
		t.Helper()
		c.send(p)
		begun += want
		eventually(t, "the begun message to be told", func() bool { return s.begun.Load() == begun && s.unfinished.Load() })
	}
	beginAnew(text[:8], 1)
	for range 3 {
		beginAnew(slices.Concat(text[8:], text[:8]), 1)
		c.expect(fin|opText, "whole")
	}
	beginAnew(slices.Concat(text[8:], ping[:8]), 1)
	c.expect(fin|opText, "whole")
	beginAnew(slices.Concat(ping[8:], ping[:8]), 1)
	c.expect(fin|opPong, "whole")

	// Fragments, and what comes between them, are of the same message.
	c.send(ping[8:])
	c.expect(fin|opPong, "whole")
	eventually(t, "the end to be told", func() bool { return !s.unfinished.Load() })
	beginAnew(clientFrame(opText, "frag"), 1)
	for range 3 {
		beginAnew(slices.Concat(ping, clientFrame(opContinuation, "ment"), ping[:8]), 0)
		c.expect(fin|opPong, "whole")
		beginAnew(ping[8:], 0)
		c.expect(fin|opPong, "whole")
	}
	beginAnew(slices.Concat(clientFrame(fin|opContinuation, "s"), text[:8]), 1)
	c.expect(fin|opText, "fragmentmentments")
}

func contractSendFromOpen(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	cfg := testConfig
	cfg.OutboxMessages = 3
	srv := newServer(t, newTransport(cfg), l, func(s *session) {
		for _, payload := range []string{"first", "second", "third"} {
			if err := s.send(wsconn.Text, payload); err != nil {
				t.Errorf("Send from open: %v", err)
			}
		}
		if err := s.send(wsconn.Text, "fourth"); !errors.Is(err, wsconn.ErrFull) {
			t.Errorf("Send over the bound from open: %v", err)
		}
	})
	c, s := srv.connect() // which reads the 101
	c.expect(fin|opText, "first")
	c.expect(fin|opText, "second")
	c.expect(fin|opText, "third")
	s.sendWhenRoom("after")
	c.expect(fin|opText, "after")
}

func contractCloseByOwner(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, s := newServer(t, newTransport(testConfig), l, nil).connect()
	if err := s.send(wsconn.Text, "last words"); err != nil {
		t.Fatal(err)
	}
	s.conn.Close(4101, "drain;delay=5")
	s.conn.Close(4500, "second")
	s.conn.CloseNow(4500, "third")
	if err := s.send(wsconn.Text, "late"); !errors.Is(err, wsconn.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	c.expect(fin|opText, "last words")
	c.expect(fin|opClose, closePayload(4101, "drain;delay=5"))
	c.expectEOF()
	if l.half {
		c.send(clientFrame(fin|opClose, closePayload(4101, "")))
	}
	_ = c.Close()
	if e := s.expect("closed"); !errors.Is(e.end.Err, io.EOF) || e.end.Unsent != 0 {
		t.Errorf("end is %+v, want EOF and 0 unsent", e.end)
	}
	s.conn.Abort() // nothing is left to do
	if err := s.send(wsconn.Text, "late"); !errors.Is(err, wsconn.ErrClosed) {
		t.Errorf("Send after Closed: %v", err)
	}
}

func contractCloseByPeer(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, echoing)
	f := func(payload string, code uint16, reason string) {
		t.Helper()
		c, s := srv.connect()
		c.send(clientFrame(fin|opClose, payload))
		if e := s.expect("peer closed"); e.code != code || e.payload != reason {
			t.Errorf("got %d %q, want %d %q", e.code, e.payload, code, reason)
		}
		c.expect(fin|opClose, payload)
		c.expectEOF()
		_ = c.Close()
		if e := s.expect("closed"); !errors.Is(e.end.Err, io.EOF) {
			t.Errorf("end is %+v, want EOF", e.end)
		}
	}
	f("", wsconn.NoStatus, "")
	f(closePayload(1000, ""), 1000, "")
	f(closePayload(1001, "going away"), 1001, "going away")
	f(closePayload(1002, "you broke it"), 1002, "you broke it") // a code that gws also uses itself
	f(closePayload(1007, ""), 1007, "")
	f(closePayload(1012, ""), 1012, "")
	f(closePayload(1013, "later"), 1013, "later")
	f(closePayload(1014, "bad gateway"), 1014, "bad gateway") // gws by itself refuses it
	f(closePayload(3000, "registered"), 3000, "registered")
	f(closePayload(4999, repeat(123)), 4999, repeat(123))
}

// A reset after close over unread input would destroy the close frame.
func contractCloseOverInput(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	if !l.half {
		t.Skip("the link has no half-close")
	}
	c, s := newServer(t, newTransport(testConfig), l, nil).connect()
	flood := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		frames := bytes.Repeat(clientFrame(fin|opBinary, repeat(1000)), 50)
		for {
			select {
			case <-stop:
				flood <- nil
				return
			default:
			}
			if _, err := c.Write(frames); err != nil {
				flood <- err
				return
			}
		}
	}()
	s.expect("message")
	s.conn.Close(4103, "rate_limited")
	c.expect(fin|opClose, closePayload(4103, "rate_limited"))
	c.expectEOF()
	close(stop)
	if err := <-flood; err != nil {
		t.Errorf("the peer could not go on writing: %v", err)
	}
	s.conn.Abort() // as the owner does when the peer does not hang up
	for {
		if e := s.expectAny(); e.kind == "closed" {
			if e.end.Err != nil {
				t.Errorf("end is %+v, want no error", e.end)
			}
			break
		}
	}
}

// The peer's FIN right behind its close frame does not cost it the answer.
func contractPeerHangsUp(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	if !l.half {
		t.Skip("the link has no half-close")
	}
	srv := newServer(t, newTransport(testConfig), l, func(s *session) {
		s.react = func(e event) {
			if e.kind == "peer closed" {
				for range testConfig.OutboxMessages - 1 {
					_ = s.send(wsconn.Binary, repeat(10000))
				}
				s.conn.Close(1000, "")
			}
		}
	})
	c, s := srv.connect()
	c.send(clientFrame(fin|opClose, closePayload(1000, "")))
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.expect("peer closed")
	if _, first, payload, err := c.drain(repeat(10000)); first != fin|opClose || payload != closePayload(1000, "") {
		t.Fatalf("after the backlog came %#x %.40q %v", first, payload, err)
	}
	c.expectEOF()
	if e := s.expect("closed"); !errors.Is(e.end.Err, io.EOF) || e.end.Unsent != 0 {
		t.Errorf("end is %+v, want EOF and 0 unsent", e.end)
	}
}

func contractNoInputAfterClose(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, func(s *session) {
		s.react = func(e event) {
			if e.kind == "message" {
				s.conn.Close(4505, "policy")
			}
		}
	})
	message := clientFrame(fin|opText, "again")
	c, s := srv.connect(message, message, clientFrame(fin|opPing, ""), clientFrame(fin|opClose, ""))
	s.expect("message")
	c.expect(fin|opClose, closePayload(4505, "policy"))
	if l.half {
		c.send(message, []byte("\xff\xff"))
	}
	_ = c.Close()
	s.expect("closed")
}

func contractViolations(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	rest, bystander := srv.connect()
	codes := []uint16{1002, 1007, 1009, 1011}
	f := func(name string, want wsconn.Violation, frames ...[]byte) {
		t.Helper()
		c, s := srv.connect()
		c.send(clientFrame(fin|opText, "before"))
		s.expect("message")
		go func() { _, _ = c.Write(append(slices.Concat(frames...), clientFrame(fin|opText, "behind")...)) }()
		if e := s.expect("violation"); e.v != want {
			t.Errorf("%s: violation %d, want %d", name, e.v, want)
		}
		s.conn.Close(codes[want], "ours")
		c.expect(fin|opClose, closePayload(codes[want], "ours")) // and nothing of gws's
		c.expectEOF()
		_ = c.Close()
		s.expect("closed")
	}
	raw := func(s string) []byte { return []byte(s) }
	f("RSV1", wsconn.Protocol, clientFrame(fin|0x40|opText, "a"))
	f("RSV2", wsconn.Protocol, clientFrame(fin|0x20|opText, "a"))
	f("RSV3", wsconn.Protocol, clientFrame(fin|0x10|opPing, "a"))
	f("reserved opcode", wsconn.Protocol, clientFrame(fin|0x3, ""))
	f("unmasked", wsconn.Protocol, raw("\x81\x01a"))
	f("length too long", wsconn.Protocol, raw("\x81\xfe\x00\x01\x00\x00\x00\x00a"))
	f("2^63 bytes", wsconn.Protocol, raw("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f("big ping", wsconn.Protocol, clientFrame(fin|opPing, repeat(126)))
	f("fragmented ping", wsconn.Protocol, clientFrame(opPing, ""))
	f("stray continuation", wsconn.Protocol, clientFrame(fin|opContinuation, "a"))
	f("text in text", wsconn.Protocol, clientFrame(opText, "a"), clientFrame(fin|opText, "b"))
	f("oversize", wsconn.TooBig, clientFrame(fin|opBinary, repeat(64<<10+1)))
	f("oversize in sum", wsconn.TooBig, clientFrame(opBinary, repeat(40<<10)), clientFrame(fin|opContinuation, repeat(40<<10)))
	f("bad text", wsconn.InvalidUTF8, clientFrame(fin|opText, "\xc3("))
	f("bad fragmented text", wsconn.InvalidUTF8, clientFrame(opText, "\xc3"), clientFrame(fin|opContinuation, "("))
	f("bad text before RSV1", wsconn.InvalidUTF8, clientFrame(fin|opText, "\xff"), clientFrame(fin|0x40|opText, ""))
	f("close of 1 byte", wsconn.Protocol, clientFrame(fin|opClose, "\x03"))
	f("close with bad text", wsconn.InvalidUTF8, clientFrame(fin|opClose, closePayload(1000, "\xff")))
	f("close 1014 with bad text", wsconn.InvalidUTF8, clientFrame(fin|opClose, closePayload(1014, "\xff")))
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535} {
		f("reserved close code", wsconn.Protocol, clientFrame(fin|opClose, closePayload(code, "")))
	}

	rest.send(clientFrame(fin|opText, "unharmed"))
	if e := bystander.expect("message"); e.payload != "unharmed" {
		t.Errorf("another session got %q", e.payload)
	}
}
