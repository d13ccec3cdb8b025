package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestPingIntervalBelowPongTimeout: a peer that answers is asked again an interval
// later, however long it might have taken to answer, and whatever it answers with.
func TestPingIntervalBelowPongTimeout(t *testing.T) {
	for _, c := range []struct{ interval, pong time.Duration }{
		{5 * time.Second, 10 * time.Second}, {time.Second, 30 * time.Second}, {time.Second, time.Hour},
	} {
		for _, pings := range []int{10, 2} { // after 2 answers that are no pong, a pong is due
			t.Run(fmt.Sprint(c.interval, " below ", c.pong, " ", pings), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					f := start(t, func(cfg *gateway.Config) {
						cfg.Tick, cfg.PingInterval, cfg.PongTimeout = 100*time.Millisecond, c.interval, c.pong
					})
					cl := f.dial("/ws")
					cl.mute.Store(pings == 2)
					for last := cl.opened; pings > 0; pings-- {
						at := <-cl.pings
						if gap := at.Sub(last); gap > c.interval+200*time.Millisecond {
							t.Fatalf("asked after %v; want at most %v and two ticks", gap, c.interval)
						}
						if cl.mute.Load() {
							_ = cl.WriteString("here")
						}
						last = at
					}
				})
			})
		}
	}
}

// overTCP returns the address of f on the loopback interface.
func (f *fixture) overTCP() string {
	f.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{Handler: f.Gateway}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	f.t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	return listener.Addr().String()
}

// TestPingsOverSockets is TestPingIntervalBelowPongTimeout over TCP: five pings
// come long before the pong timeout, which is an hour.
func TestPingsOverSockets(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) {
			cfg.Tick, cfg.PingInterval, cfg.PongTimeout = 20*time.Millisecond, 100*time.Millisecond, time.Hour
		})
		c := newClient()
		socket, _, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws://" + f.overTCP()})
		if err != nil {
			t.Fatal(err)
		}
		go socket.ReadLoop()
		defer func() { _ = socket.NetConn().Close(); <-c.gone }()
		for range 5 {
			<-c.pings
		}
	})
}

// TestTalkerThatNeverReads: all that it sends does not show that it reads.
func TestTalkerThatNeverReads(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		ended := make(chan gateway.Reason, 1)
		f := start(t, func(cfg *gateway.Config) {
			cfg.Tick, cfg.PingInterval, cfg.PongTimeout = 20*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
			cfg.Hooks.Close = func(_ *gateway.Session, r gateway.Reason) { ended <- r }
		})
		conn, err := net.Dial("tcp", f.overTCP())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, handshake("/"))
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			_, _ = conn.Write([]byte{0x89, 0x80, 0, 0, 0, 0}) // a ping
			select {
			case r := <-ended:
				if r != gateway.ReasonPongTimeout {
					t.Errorf("closed as %v; want pong_timeout", r)
				}
				return
			default:
			}
		}
	})
}

// talk sends a message each second, and what answer returns, until the session ends or
// stop has passed. Answer is given the pings that came since the last call.
func (f *fixture) talk(stop time.Duration, answer func(pings [][]byte) []byte) (lasted time.Duration, pinged int) {
	conn, came, opened := f.rawDial("/ws"), make(chan []byte, 1000), time.Now()
	go readPings(conn, came)
	for time.Since(opened) < stop {
		var pings [][]byte
		for len(came) > 0 {
			pings = append(pings, <-came)
		}
		pinged += len(pings)
		if _, err := conn.Write(append(clientFrame(0x81, []byte("on")), answer(pings)...)); err != nil {
			break
		}
		time.Sleep(time.Second)
	}
	return time.Since(opened), pinged
}

// clientFrame is a masked frame, the mask being 0.
func clientFrame(first byte, payload []byte) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func pong(payload []byte) []byte { return clientFrame(0x8a, payload) }

// TestTalkerHasToAnswer: a peer that talks all the time is asked two intervals after
// its last right pong, and only another right one is an answer.
func TestTalkerHasToAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		stays bool
		want  func(all [][]byte, isNew bool) []byte // the payload of the pong; nil is none
	}{
		{"right", true, func(all [][]byte, isNew bool) []byte { return last(all, isNew) }},
		{"none", false, func([][]byte, bool) []byte { return nil }},
		{"empty", false, func([][]byte, bool) []byte { return []byte{} }},
		{"the first again and again", false, func(all [][]byte, _ bool) []byte { return last(all[:min(1, len(all))], true) }},
		{"a bit flipped", false, func(all [][]byte, isNew bool) []byte {
			payload := slices.Clone(last(all, isNew))
			if payload != nil {
				payload[15] ^= 1
			}
			return payload
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				ended := make(chan gateway.Reason, 1)
				f := start(t, func(cfg *gateway.Config) {
					cfg.PingInterval, cfg.PongTimeout = 25*time.Second, 10*time.Second
					if c.stays {
						cfg.PongTimeout = time.Hour // an answer counts at once
					}
					cfg.Hooks.Close = func(_ *gateway.Session, r gateway.Reason) { ended <- r }
				})
				var all [][]byte
				lasted, pinged := f.talk(10*time.Minute, func(pings [][]byte) []byte {
					all = append(all, pings...)
					if payload := c.want(all, len(pings) > 0); payload != nil {
						return pong(payload)
					}
					return nil
				})
				switch {
				case c.stays && (lasted < 10*time.Minute || pinged < 11):
					t.Errorf("lasted %v with %d pings; want it to stay, and to be asked each 50 s", lasted, pinged)
				// It was asked, answered once at the most, and was asked again; on the loop
				// its messages come in pieces, which adds a message timeout.
				case !c.stays && (lasted > (50+50+10+30+10)*time.Second || <-ended != gateway.ReasonPongTimeout):
					t.Errorf("lasted %v; want pong_timeout", lasted)
				}
			})
		})
	}
}

func last(pings [][]byte, isNew bool) []byte {
	if len(pings) == 0 || !isNew {
		return nil
	}
	return pings[len(pings)-1]
}

// TestPongOfAnother: what one session was asked with is no answer of another.
func TestPongOfAnother(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.PingInterval, cfg.PongTimeout = 25*time.Second, 10*time.Second })
		theirs := make(chan []byte, 100)
		a := f.rawDial("/ws")
		go readPings(a, theirs)
		lasted, _ := f.talk(10*time.Minute, func([][]byte) []byte {
			if len(theirs) > 0 {
				return pong(<-theirs)
			}
			return nil
		})
		if lasted > 2*time.Minute {
			t.Errorf("stayed for %v", lasted)
		}
	})
}

// TestPongBehindAMessage: a peer that is amid a message when its pong is due can send
// it only afterwards, and has a pong timeout for that from the message's end on.
func TestPongBehindAMessage(t *testing.T) {
	for _, answers := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			f := start(t, func(cfg *gateway.Config) {
				cfg.PingInterval, cfg.PongTimeout, cfg.MessageTimeout = 10*time.Second, 4*time.Second, time.Minute
			})
			conn, pings := f.rawDial("/ws"), make(chan []byte, 100)
			go readPings(conn, pings)
			s := f.one()
			for len(pings) == 0 { // who talks is asked for a pong
				_, _ = conn.Write(clientFrame(0x81, []byte("on")))
				time.Sleep(time.Second)
			}
			_, _ = conn.Write([]byte{0x82, 0x94, 0, 0, 0, 0}) // 20 bytes are to come
			for range 20 {
				time.Sleep(time.Second)
				_, _ = conn.Write([]byte("x"))
			}
			time.Sleep(2 * time.Second) // the pong takes a while, too
			if r := s.Reason(); r != gateway.ReasonNone {
				t.Fatalf("closed as %v before the pong could be there", r)
			}
			for len(pings) > 1 {
				<-pings // a first one came before it talked
			}
			if answers {
				_, _ = conn.Write(pong(<-pings))
			}
			time.Sleep(5 * time.Second)
			if r := s.Reason(); (r == gateway.ReasonNone) != answers {
				t.Errorf("answered: %t; closed as %v", answers, r)
			}
		})
	}
}

// readPings reads short server frames until the end.
func readPings(conn net.Conn, pings chan<- []byte) {
	for {
		header := make([]byte, 2)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		payload := make([]byte, header[1])
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		if header[0] == 0x89 {
			pings <- payload
		}
	}
}

// TestBackloggedIsNotPinged: a ping would come behind what its peer has to take yet.
// A peer that takes it slowly is not asked meanwhile, and is when it has taken all.
func TestBackloggedIsNotPinged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.PingInterval, cfg.PongTimeout = 5*time.Second, 20*time.Second })
		conn := f.rawDial("/ws")
		s := f.one()
		if err := s.Send(wsconn.Binary, []byte(strings.Repeat("x", 120))); err != nil {
			t.Fatal(err)
		}
		all := make([]byte, 2+120)
		for i := range all {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(conn, all[i:i+1]); err != nil {
				t.Fatalf("byte %d: %v, %v", i, err, s.Reason())
			}
		}
		ping := make([]byte, 18)
		if _, err := io.ReadFull(conn, ping); err != nil || ping[0] != 0x89 || ping[1] != 16 {
			t.Fatalf("% x, %v, %v; want a ping", ping, err, s.Reason())
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		time.Sleep(23 * time.Second)
		if r := s.Reason(); r != gateway.ReasonPongTimeout {
			t.Errorf("closed as %v; want pong_timeout", r)
		}
	})
}

// TestBackloggedIsTriedAgainRarely: a ping that waits takes no turn of the wheel in each step.
func TestBackloggedIsTriedAgainRarely(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) {
			cfg.PingInterval, cfg.PongTimeout, cfg.WriteTimeout = 5*time.Second, 5*time.Second, time.Hour
		})
		_ = f.rawDial("/ws")
		s := f.one()
		if err := s.Send(wsconn.Binary, []byte(strings.Repeat("x", 2000))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // the ping is overdue
		for range 100 {
			if in := s.DueIn(); in < 2 {
				t.Fatalf("looked at again in %d steps", in)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// TestBackloggedHasOtherDeadlines: a ping that waits for its turn holds up no deadline
// that ends the session.
func TestBackloggedHasOtherDeadlines(t *testing.T) {
	for _, want := range []gateway.Reason{gateway.ReasonMessageTimeout, gateway.ReasonIdleTimeout} {
		t.Run(want.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := start(t, func(cfg *gateway.Config) {
					cfg.PingInterval, cfg.MessageTimeout, cfg.SessionTimeout = 5*time.Second, 30*time.Second, 40*time.Second
				})
				conn := f.rawDial("/ws")
				s := f.one()
				if err := s.Send(wsconn.Binary, []byte(strings.Repeat("x", 120))); err != nil {
					t.Fatal(err)
				}
				if want == gateway.ReasonMessageTimeout {
					_, _ = conn.Write([]byte{0x82})
				}
				for range 50 { // it reads slowly, until it is hung up on
					time.Sleep(time.Second)
					_, _ = conn.Read(make([]byte, 1))
				}
				if r := s.Reason(); r != want {
					t.Errorf("closed as %v; want %v", r, want)
				}
			})
		})
	}
}

// TestEarlierDeadlines has the other events of the table in next. The session is filed
// for its timeout, half an hour away, or for a pong timeout as long.
func TestEarlierDeadlines(t *testing.T) {
	for name, c := range map[string]struct {
		event func(t *testing.T, f *fixture, conn net.Conn)
		want  gateway.Reason
	}{
		"a message begins": {func(_ *testing.T, _ *fixture, conn net.Conn) {
			_, _ = conn.Write([]byte{0x82})
		}, gateway.ReasonMessageTimeout},
		"it is closed": {func(t *testing.T, f *fixture, _ net.Conn) {
			if _, err := f.one().Disconnect(0, ""); err != nil {
				t.Error(err)
			}
		}, gateway.ReasonKicked},
		"a shorter timeout": {func(t *testing.T, f *fixture, _ net.Conn) {
			if err := f.one().SetTimeout(15 * time.Minute); err != nil {
				t.Error(err)
			}
		}, gateway.ReasonIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				ended := make(chan gateway.Reason, 1)
				f := start(t, func(cfg *gateway.Config) {
					cfg.PingInterval, cfg.MessageTimeout, cfg.CloseWait = 0, 5*time.Minute, 5*time.Minute
					cfg.Hooks.Close = func(_ *gateway.Session, r gateway.Reason) { ended <- r }
				})
				conn := f.rawDial("/ws")
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				time.Sleep(10 * time.Minute)
				c.event(t, f, conn)
				begin := time.Now()
				if r := <-ended; r != c.want {
					t.Errorf("ended as %v; want %v", r, c.want)
				}
				// A session closed by a deadline has its close wait after it.
				if took := time.Since(begin); took > 10*time.Minute+4*time.Second {
					t.Errorf("ended after %v", took)
				}
			})
		})
	}
}

func TestPongsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/ws")
		time.Sleep(26 * time.Second)
		_ = c.WritePong([]byte("nobody asked"))
		synctest.Wait()
		want := `
# HELP wheelgate_pongs_total Pongs received: matching ones echo our last ping to the session for the first time, unsolicited are all others.
# TYPE wheelgate_pongs_total counter
wheelgate_pongs_total{kind="matching"} 1
wheelgate_pongs_total{kind="unsolicited"} 1
`
		if err := testutil.GatherAndCompare(f.Registry(), strings.NewReader(want), "wheelgate_pongs_total"); err != nil {
			t.Error(err)
		}
		if n, sum := gatherHistogram(t, f.Registry(), "wheelgate_ping_rtt_seconds"); n != 1 || sum != 0 {
			t.Errorf("%d round trips took %v s; want one, which takes no time in a bubble", n, sum)
		}
	})
}
