package gateway_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func TestEcho(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/echo")
		for _, text := range []string{"gate 7 open", "", strings.Repeat("x", 64<<10)} {
			if err := c.WriteString(text); err != nil {
				t.Fatal(err)
			}
			if got := <-c.messages; got != text {
				t.Errorf("sent %d bytes, got back %d", len(text), len(got))
			}
		}
		waitFor(t, "3 messages each way to be counted", func() bool {
			info := f.one().Info()
			return info.Received == 3 && info.Sent == 3
		})
	})
}

func TestSendAndDisconnect(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		a := f.dial("/ws")
		one := f.one()
		f.dial("/ws")
		if got := f.Session(one.ID()); got != one {
			t.Fatalf("Session(%q) = %v", one.ID(), got)
		}
		if err := one.Send(wsconn.Text, []byte("for you")); err != nil {
			t.Fatal(err)
		}
		if m := <-a.messages; m != "for you" {
			t.Errorf("received %q", m)
		}
		if err := one.Send(wsconn.Text, []byte("\xff")); !errors.Is(err, wsconn.ErrInvalidUTF8) {
			t.Errorf("invalid text: %v", err)
		}
		if err := one.Send(wsconn.Binary, make([]byte, 64<<10+1)); !errors.Is(err, gateway.ErrTooBig) {
			t.Errorf("too big: %v", err)
		}
		if ended, err := one.Disconnect(4999, "go home"); !ended || err != nil {
			t.Errorf("Disconnect: %t, %v", ended, err)
		}
		if ended, _ := one.Disconnect(4998, "again"); ended {
			t.Error("the second Disconnect also ended it")
		}
		a.expectClose(t, 4999, "go home")
		if err := one.Send(wsconn.Text, nil); !errors.Is(err, gateway.ErrGone) {
			t.Errorf("after the end: %v", err)
		}
		waitFor(t, "the session to be forgotten", func() bool { return f.Session(one.ID()) == nil })
	})
}

func TestDisconnectRefusesWhatMayNotBeSent(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		f.dial("/ws")
		for _, code := range []uint16{1, 999, 1002, 1004, 1005, 1006, 1015, 2999, 5000} {
			if _, err := f.one().Disconnect(code, ""); err == nil {
				t.Errorf("code %d was accepted", code)
			}
		}
		for _, text := range []string{strings.Repeat("x", 124), "\xff"} {
			if _, err := f.one().Disconnect(0, text); err == nil {
				t.Errorf("reason %q was accepted", text)
			}
		}
	})
}

// TestBroadcastReachesAll who are open, once, of more than are given to the transport
// at a time.
func TestBroadcastReachesAll(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		const n = 300
		f := start(t, nil)
		var clients []*client
		for range n {
			clients = append(clients, f.dial("/ws"))
		}
		sessions, _ := f.Sessions(0, n+1)
		open := len(sessions)
		for i := 0; i < len(sessions); i += 7 {
			if _, err := sessions[i].Disconnect(0, ""); err != nil {
				t.Fatal(err)
			}
			open--
		}
		f.broadcast("one", open)
		f.broadcast("two", open)
		for _, s := range sessions {
			_, _ = s.Disconnect(0, "")
		}
		reached := 0
		for _, c := range clients {
			<-c.gone
			switch close(c.messages); {
			case len(c.messages) == 0:
			case len(c.messages) == 2 && <-c.messages == "one" && <-c.messages == "two":
				reached++
			default:
				t.Errorf("a client got %d messages", len(c.messages))
			}
		}
		if len(sessions) != n || reached != open {
			t.Errorf("%d of %d sessions were open, %d were reached", open, len(sessions), reached)
		}
		for i, s := range sessions {
			if got, want := s.Info().Sent, uint64(2); got != want && i%7 != 0 {
				t.Errorf("%d messages are counted, want %d", got, want)
			}
		}
	})
}

// TestStuckReceiver: one client does not read. The others get every broadcast at
// once, and it is closed as slow when its outbox is full.
func TestStuckReceiver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.OutboxMessages = 8 })
		stuck := f.rawDial("/ws")
		stuckSession := f.one()
		good := f.dial("/ws")
		began := time.Now()
		f.broadcast("more than the network takes of it unread", 2)
		<-good.messages
		for range 7 {
			f.broadcast("m", 2)
			<-good.messages
		}
		f.broadcast("over the bound", 1)
		if m := <-good.messages; m != "over the bound" {
			t.Errorf("received %q", m)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the others were delayed by %v", took)
		}
		if r := stuckSession.Reason(); r != gateway.ReasonSlowConsumer {
			t.Errorf("reason %v", r)
		}
		rest, _ := io.ReadAll(stuck)
		frame := []byte{0x88, byte(2 + len("slow_consumer"))}
		frame = append(binary.BigEndian.AppendUint16(frame, 4102), "slow_consumer"...)
		if !bytes.HasSuffix(rest, frame) {
			t.Errorf("the slow client read %q; want it to end with 4102", rest)
		}
	})
}

// TestWriteTimeout: a client that takes nothing is gone after the write timeout.
func TestWriteTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.PingInterval = 0 })
		f.rawDial("/ws")
		s := f.one()
		f.broadcast("more than the network takes of it unread", 1)
		time.Sleep(10*time.Second + 10*time.Second/8 + time.Millisecond) // loops look every eighth
		synctest.Wait()
		if n, r := f.Stats().Sessions, s.Reason(); n != 0 || r != gateway.ReasonSlowConsumer {
			t.Errorf("%d sessions, reason %v; want none, slow_consumer", n, r)
		}
	})
}

// frameTo masks and sends one frame by hand.
func frameTo(w io.Writer, first byte, length []byte, payload []byte) {
	_, _ = w.Write(append(append([]byte{first}, length...), append([]byte{0, 0, 0, 0}, payload...)...))
}

// TestBrokenFrames: each ends its own session with the right code, and no other.
func TestBrokenFrames(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		bystander := f.dial("/echo")
		for _, c := range []struct {
			name   string
			first  byte
			length []byte
			body   []byte
			code   uint16
		}{
			{"a length of 2^63 (kills a process on plain gws)", 0x82, []byte{0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, nil, 1002},
			{"a length of 2^64-1", 0x82, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nil, 1002},
			{"over the message limit", 0x82, []byte{0xff, 0, 0, 0, 0, 0, 1, 0, 1}, nil, 1009},
			{"RSV1 without an extension", 0xc2, []byte{0x80}, nil, 1002},
			{"not masked", 0x82, []byte{0x00}, nil, 1002},
			{"a length longer than needed", 0x82, []byte{0xfe, 0, 1}, []byte("x"), 1002},
			{"a reserved opcode", 0x83, []byte{0x80}, nil, 1002},
			{"a fragmented ping", 0x09, []byte{0x80}, nil, 1002},
			{"a continuation of nothing", 0x80, []byte{0x80}, nil, 1002},
			{"text that is not UTF-8", 0x81, []byte{0x81}, []byte{0xff}, 1007},
		} {
			t.Run(c.name, func(t *testing.T) {
				conn := f.rawDial("/ws")
				go frameTo(conn, c.first, c.length, c.body)
				answer := make([]byte, 256)
				n, err := io.ReadAtLeast(conn, answer, 2)
				if err == nil && n < 2+int(answer[1]) {
					var rest int
					rest, err = io.ReadFull(conn, answer[n:2+int(answer[1])])
					n += rest
				}
				if err != nil || n < 4 || answer[0] != 0x88 || binary.BigEndian.Uint16(answer[2:]) != c.code {
					t.Errorf("answered % x, %v; want a close frame with %d", answer[:n], err, c.code)
				}
				if strings.Contains(string(answer[:n]), "gws") {
					t.Errorf("a library's error text got out: %q", answer[:n])
				}
			})
		}
		if err := bystander.WriteString("still here"); err != nil {
			t.Fatal(err)
		}
		if m := <-bystander.messages; m != "still here" {
			t.Errorf("received %q", m)
		}
	})
}

func TestPanickingHook(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) {
			cfg.Hooks.Message = func(*gateway.Session, wsconn.Opcode, []byte) { panic("hook") }
		})
		c, other := f.dial("/ws"), f.dial("/echo")
		_ = c.WriteString("boom")
		c.expectClose(t, 1011, "internal")
		_ = other.WriteString("fine")
		if m := <-other.messages; m != "fine" {
			t.Errorf("received %q", m)
		}
	})
}

func TestPanickingOpenHook(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		log := &logged{}
		f := start(t, func(cfg *gateway.Config) {
			cfg.Hooks.Open = func(*gateway.Session) { panic(errors.New("hook")) }
			cfg.Logger = zerolog.New(log)
		})
		f.dial("/ws").expectClose(t, 1011, "internal")
		if lines := log.with("Session handler panicked"); len(lines) != 1 || lines[0]["panic"] != "hook" {
			t.Errorf("logged: %v", lines)
		}
		waitFor(t, "the session to be gone", func() bool { return f.Stats().Sessions == 0 })
	})
}

// TestEndsWhileOpening disconnects sessions as soon as they can be found.
func TestEndsWhileOpening(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		done := make(chan struct{})
		var finders sync.WaitGroup
		finders.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				sessions, _ := f.Sessions(0, 1000)
				for _, s := range sessions {
					_, _ = s.Disconnect(0, "")
				}
			}
		})
		for range 200 {
			conn := f.rawDial("/ws")
			_, _ = io.Copy(io.Discard, conn)
		}
		close(done)
		finders.Wait()
		waitFor(t, "the sessions to be gone", func() bool { return f.Stats().Sessions == 0 })
	})
}

func TestHooks(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		events := make(chan string, 10)
		f := start(t, func(cfg *gateway.Config) {
			cfg.Hooks = gateway.Hooks{
				Open: func(s *gateway.Session) {
					events <- "open"
					_ = s.Send(wsconn.Text, []byte("hello"))
				},
				Message: func(_ *gateway.Session, op wsconn.Opcode, p []byte) { events <- "message " + string(p) },
				Close:   func(_ *gateway.Session, r gateway.Reason) { events <- "close " + r.String() },
			}
		})
		c := f.dial("/ws")
		if m := <-c.messages; m != "hello" {
			t.Errorf("received %q", m)
		}
		_ = c.WriteMessage(gws.OpcodeBinary, []byte("hi"))
		_ = c.WriteClose(4000, nil)
		for _, want := range []string{"open", "message hi", "close peer_closed"} {
			if got := <-events; got != want {
				t.Errorf("event %q; want %q", got, want)
			}
		}
	})
}

func TestHotPathsAllocateNothing(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		f.dial("/ws")
		s := f.one()
		for name, call := range map[string]func(){
			"touch": s.TouchIn, "deadline": s.Decide, "ping": s.PingAndPong,
		} {
			if n := testing.AllocsPerRun(100, call); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
