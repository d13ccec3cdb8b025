package gateway_test

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// lateness checks that c was closed for inactivity at most two ticks after due.
func lateness(t *testing.T, c *client, due time.Time, tick time.Duration) {
	t.Helper()
	if late := c.at.Sub(due); late < 0 || late > 2*tick {
		t.Errorf("closed %v after it was due; want 0 to %v", late, 2*tick)
	}
}

func TestSessionIsClosedAfterItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/ws")
		c.expectClose(t, 4202, "idle_timeout;idle=1800")
		lateness(t, c, c.opened.Add(30*time.Minute), time.Second)
	})
}

func TestIdleCloseCodes(t *testing.T) {
	for _, c := range []struct {
		name     string
		codes    gateway.CloseCodes
		comeBack bool
		want     uint16
	}{
		{"may return", gateway.CodesApp, true, 4202},
		{"stay away", gateway.CodesApp, false, 4500},
		{"may return, RFC", gateway.CodesRFC, true, 1001},
		{"stay away, RFC", gateway.CodesRFC, false, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := start(t, func(cfg *gateway.Config) { cfg.CloseCodes, cfg.IdleReturn = c.codes, c.comeBack })
				f.dial("/ws").expectClose(t, c.want, "idle_timeout;idle=1800")
			})
		})
	}
}

// TestActivity has a client that only ever does one thing, every 10 s, under a
// timeout of 30 s: it stays if and only if that thing is declared to be activity.
func TestActivity(t *testing.T) {
	do := map[string]func(*fixture, *client){
		"in":        func(_ *fixture, c *client) { _ = c.WriteString("here") },
		"ping":      func(_ *fixture, c *client) { _ = c.WritePing([]byte("x")) },
		"pong":      func(_ *fixture, c *client) { _ = c.WritePong(nil) },
		"broadcast": func(f *fixture, _ *client) { f.broadcast("news", 1) },
		"send": func(f *fixture, _ *client) {
			if err := f.one().Send(wsconn.Text, []byte("you")); err != nil {
				f.t.Error(err)
			}
		},
	}
	for _, c := range []struct {
		happening, activity string
		stays               bool
	}{
		{"in", "in", true},
		{"in", "out,ping", false},
		{"ping", "ping", true},
		{"ping", "in,out", false},
		{"broadcast", "out", true},
		{"broadcast", "in,ping", false},
		{"send", "out", true},
		{"send", "in,ping", false},
		{"pong", "in,out,ping", false},
	} {
		t.Run(c.happening+" counting "+c.activity, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := start(t, func(cfg *gateway.Config) {
					cfg.SessionTimeout = 30 * time.Second
					cfg.Activity, _ = gateway.ParseActivity(c.activity)
				})
				cl := f.dial("/ws")
				for range 12 {
					time.Sleep(10 * time.Second)
					if cl.open() {
						do[c.happening](f, cl)
					}
					synctest.Wait()
					if !cl.open() {
						break
					}
				}
				if cl.open() != c.stays {
					t.Errorf("open is %t after two minutes; want %t", cl.open(), c.stays)
				}
				if !c.stays {
					lateness(t, cl, cl.opened.Add(30*time.Second), time.Second)
				}
			})
		})
	}
}

func TestTimeoutPerSession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/ws")
		if err := f.one().SetTimeout(time.Minute); err != nil {
			t.Fatal(err)
		}
		c.expectClose(t, 4202, "idle_timeout;idle=60")
		lateness(t, c, c.opened.Add(time.Minute), time.Second)
	})
}

// TestShortenedTimeoutIsNotLate: an idle session whose timeout becomes shorter than
// it has been idle is due from then on, not since before.
func TestShortenedTimeoutIsNotLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/ws")
		time.Sleep(20 * time.Minute)
		if err := f.one().SetTimeout(time.Minute); err != nil {
			t.Fatal(err)
		}
		c.expectClose(t, 4202, "idle_timeout;idle=60")
		lateness(t, c, c.opened.Add(20*time.Minute), time.Second)
		if n, sum := gatherHistogram(t, f.Registry(), "wheelgate_expiry_lateness_seconds"); n != 1 || sum > 2 {
			t.Errorf("%d expired, %v s late; want one, at most two ticks", n, sum)
		}
	})
}

func TestPings(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		var clients []*client
		for range 50 {
			clients = append(clients, f.dial("/ws"))
		}
		time.Sleep(26 * time.Second)
		seconds := map[int]bool{}
		for _, c := range clients {
			select {
			case at := <-c.pings:
				seconds[int(at.Sub(c.opened)/time.Second)] = true
			default:
				t.Error("no ping within the interval")
			}
		}
		if len(seconds) < 10 {
			t.Errorf("the first pings of 50 sessions came in %d different seconds; want them spread", len(seconds))
		}
		talker, before := clients[0], len(clients[0].pings)
		for range 20 {
			time.Sleep(10 * time.Second)
			_ = talker.WriteString("hello")
		}
		if n := len(talker.pings) - before; n < 3 || n > 5 {
			t.Errorf("a client that was heard every 10 s got %d pings in 200 s; want about 4", n)
		}
		if n := len(clients[1].pings); n < 6 || n > 12 {
			t.Errorf("a silent client got %d pings in 200 s; want about 8", n)
		}
	})
}

func TestUnansweredPingCloses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/ws")
		c.mute.Store(true)
		c.expectClose(t, 4201, "pong_timeout")
		pinged := <-c.pings
		if wait := c.at.Sub(pinged); wait < 10*time.Second || wait > 12*time.Second {
			t.Errorf("closed %v after the ping; want 10 s to 12 s", wait)
		}
	})
}

// TestSlowUpload: a peer in the middle of a long frame cannot answer a ping; its
// bytes are sign enough.
func TestSlowUpload(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.MessageTimeout, cfg.PingInterval = 10*time.Minute, 400*time.Second })
		conn := f.rawDial("/ws")
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		s := f.one()
		_, _ = conn.Write([]byte{0x82, 0xfe, 0x10, 0, 0, 0, 0, 0})
		for range 60 {
			time.Sleep(5 * time.Second)
			_, _ = conn.Write([]byte("some"))
		}
		if r := s.Reason(); r != gateway.ReasonNone {
			t.Errorf("closed as %v", r)
		}
		time.Sleep(12 * time.Minute)
		if r := s.Reason(); r != gateway.ReasonMessageTimeout {
			t.Errorf("after 17 minutes closed as %v; want message_timeout", r)
		}
	})
}

// TestEndlessUpload: who sends without pause is always amid a message, but not the same.
func TestEndlessUpload(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.MessageTimeout, cfg.PingInterval = 30*time.Second, 0 })
		conn := f.rawDial("/ws")
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		s := f.one()
		frame := []byte{0x82, 0x84, 0, 0, 0, 0, 's', 'o', 'm', 'e'}
		_, _ = conn.Write(frame[:8])
		for range 20 {
			time.Sleep(10 * time.Second)
			_, _ = conn.Write(slices.Concat(frame[8:], frame[:8]))
		}
		if r := s.Reason(); r != gateway.ReasonNone {
			t.Errorf("closed as %v", r)
		}
		time.Sleep(32 * time.Second)
		if r := s.Reason(); r != gateway.ReasonMessageTimeout {
			t.Errorf("closed as %v after the last has begun 32 s ago; want message_timeout", r)
		}
	})
}

// TestFullOutboxIsNotPinged: who could not be asked has not failed to answer.
func TestFullOutboxIsNotPinged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) {
			cfg.PingInterval, cfg.PongTimeout, cfg.WriteTimeout = 25*time.Second, 10*time.Second, 10*time.Minute
			cfg.OutboxMessages, cfg.OutboxBytes = 4, 1<<20
		})
		conn := f.rawDial("/ws")
		s := f.one()
		message := make([]byte, 64<<10) // more than the connection holds
		for range 4 {
			if err := s.Send(wsconn.Binary, message); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		if r := s.Reason(); r != gateway.ReasonNone {
			t.Fatalf("closed as %v", r)
		}
		// It reads again: the ping comes behind the messages, and is not answered.
		const header = 10
		if _, err := io.CopyN(io.Discard, conn, 4*(header+64<<10)); err != nil {
			t.Fatal(err)
		}
		ping := make([]byte, 2)
		if _, err := io.ReadFull(conn, ping); err != nil || ping[0] != 0x89 {
			t.Fatalf("%x, %v; want a ping", ping, err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		time.Sleep(12 * time.Second)
		if r := s.Reason(); r != gateway.ReasonPongTimeout {
			t.Errorf("closed as %v; want pong_timeout", r)
		}
	})
}

func TestNoPingsWhenOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.PingInterval = 0 })
		c := f.dial("/ws")
		c.expectClose(t, 4202, "idle_timeout;idle=1800")
		if n := len(c.pings); n != 0 {
			t.Errorf("%d pings", n)
		}
	})
}

// TestBroadcastKeepsAll: activity for all by one store, and kept past the timeout.
func TestBroadcastKeepsAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.SessionTimeout = time.Minute })
		a, b := f.dial("/ws"), f.dial("/ws")
		time.Sleep(50 * time.Second)
		f.broadcast("gate 7 open", 2)
		last := time.Now()
		for _, c := range []*client{a, b} {
			if m := <-c.messages; m != "gate 7 open" {
				t.Errorf("received %q", m)
			}
			c.expectClose(t, 4202, "idle_timeout;idle=60")
			lateness(t, c, last.Add(time.Minute), time.Second)
		}
	})
}

// TestPeerThatIgnoresTheClose keeps the connection; it is aborted after CloseWait.
func TestPeerThatIgnoresTheClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.SessionTimeout, cfg.PingInterval = time.Minute, 0 })
		f.rawDial("/ws")
		time.Sleep(time.Minute + 5*time.Second)
		synctest.Wait()
		if n := f.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}
