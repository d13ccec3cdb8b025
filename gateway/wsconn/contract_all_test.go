package wsconn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func textFrame(t testing.TB, text string) *wsconn.Frame {
	t.Helper()
	f, err := wsconn.NewFrame(wsconn.Text, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// contractSendAll: each gets the frame, in its place, and has its own error.
func contractSendAll(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	const n = 100
	tr := newTransport(compressing())
	srv := newServer(t, tr, l, nil)
	long := repeat(200)
	var clients []*client
	var conns []wsconn.Conn
	for i := range n {
		wants := request
		if i%3 == 0 {
			wants = deflatingRequest
		}
		c, s := srv.connectWith(wants)
		clients, conns = append(clients, c), append(conns, s.conn)
	}
	closed := map[int]bool{0: true, 50: true, n - 1: true}
	for i := range closed {
		conns[i].Close(1001, "")
	}
	conns = append(conns, conns[1]) // twice
	errs := make([]error, len(conns))
	for i, c := range conns {
		errs[i] = errors.New("not told")
		_ = c.Send(textFrame(t, "before"))
	}
	tr.SendAll(textFrame(t, long), conns, errs)
	for i, c := range conns {
		want := error(nil)
		if closed[i] {
			want = wsconn.ErrClosed
		}
		if !errors.Is(errs[i], want) {
			t.Errorf("connection %d: %v, want %v", i, errs[i], want)
		}
		_ = c.Send(textFrame(t, "after"))
	}
	for i, c := range clients {
		if closed[i] {
			c.expect(fin|opClose, closePayload(1001, ""))
			continue
		}
		times := 1
		if i == 1 {
			times = 2
		}
		for range times {
			c.expect(fin|opText, "before")
		}
		for range times {
			if i%3 == 0 {
				c.expectDeflated(fin|opText, long)
			} else {
				c.expect(fin|opText, long)
			}
		}
		for range times {
			c.expect(fin|opText, "after")
		}
	}
	tr.SendAll(textFrame(t, "nobody"), nil, nil)
}

// contractSendAllFull: who does not read has its outbox filled and then ErrFull, and
// nobody else is short of anything.
func contractSendAllFull(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	tr := newTransport(testConfig)
	srv := newServer(t, tr, l, nil)
	slow, slowSession := srv.connect()
	quick, quickSession := srv.connect()
	gone, goneSession := srv.connect()
	reset(gone.Conn)
	goneSession.expect("closed")
	conns, errs := []wsconn.Conn{slowSession.conn, goneSession.conn, quickSession.conn}, make([]error, 3)
	frame, err := wsconn.NewFrame(wsconn.Binary, []byte(chunk))
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for range 200 {
		tr.SendAll(frame, conns, errs)
		if errs[0] == nil {
			accepted++
		} else if !errors.Is(errs[0], wsconn.ErrFull) {
			t.Fatalf("the slow one: %v", errs[0])
		}
		if !errors.Is(errs[1], wsconn.ErrClosed) {
			t.Fatalf("the one that is gone: %v", errs[1])
		}
		if errs[2] != nil {
			t.Fatalf("the quick one: %v", errs[2])
		}
		quick.expect(fin|opBinary, chunk)
	}
	if errs[0] == nil {
		t.Error("the slow one's outbox took 200 frames")
	}
	for range accepted {
		slow.expect(fin|opBinary, chunk)
	}
	slowSession.sendWhenRoom("room again")
	slow.expect(fin|opText, "room again")
}

// contractSendAllStress has several send to all in orders of their own, beside single
// messages, input, closes and losses: nothing waits for ever, each gets whole frames, and
// those of one sender in their order.
func contractSendAllStress(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	const n, senders, rounds = 40, 4, 50
	cfg := testConfig
	cfg.OutboxMessages = 2 * senders * rounds * 2
	tr := newTransport(cfg)
	srv := newServer(t, tr, l, echoing)
	var conns []wsconn.Conn
	var clients, owners sync.WaitGroup
	for i := range n {
		c, s := srv.connect()
		conns = append(conns, s.conn)
		clients.Go(func() { listen(t, c, i%4 == 3) })
		if i%4 == 1 {
			clients.Go(func() {
				for range rounds {
					_, _ = c.Write(clientFrame(fin|opText, "9 0"))
				}
			})
		}
	}
	for who := range senders {
		owners.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(who)))
			mine, errs := append([]wsconn.Conn(nil), conns...), make([]error, n)
			for round := range rounds {
				rng.Shuffle(n, func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				text := fmt.Sprint(who, " ", round)
				if who == 0 {
					for _, c := range mine {
						_ = c.Send(textFrame(t, text))
					}
					continue
				}
				tr.SendAll(textFrame(t, text), mine, errs)
				for _, err := range errs {
					if err != nil && !errors.Is(err, wsconn.ErrClosed) {
						t.Errorf("SendAll: %v", err)
					}
				}
				if i := rng.IntN(n); i%4 == 3 {
					conns[i].Close(1001, "")
				} else if i%4 == 2 && round > rounds/2 {
					conns[i].Abort()
				}
			}
		})
	}
	owners.Wait()
	for i, c := range conns {
		if i%4 == 2 {
			c.Abort()
		}
		c.Close(1001, "")
	}
	clients.Wait()
}

// listen reads until the end what contractSendAllStress has sent; leaves is whether
// the client hangs up before.
func listen(t *testing.T, c *client, leaves bool) {
	last := map[string]int{}
	for n := 0; ; n++ {
		first, text, err := c.readFrame()
		if err != nil || first == fin|opClose || leaves && n == 100 {
			_ = c.Close()
			return
		}
		if first != fin|opText || len(text) < 3 {
			t.Errorf("got %#x %.40q", first, text)
			return
		}
		round, err := strconv.Atoi(text[2:])
		if who := text[:1]; err != nil || who != "9" && round < last[who] {
			t.Errorf("%q came after %d", text, last[who])
		}
		last[text[:1]] = round
	}
}
