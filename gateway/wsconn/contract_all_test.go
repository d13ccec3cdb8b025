package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
// messages, input, closes and losses: nothing waits for ever, and who stays gets all
// frames of each sender, in their order.
func contractSendAllStress(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	const n, senders, rounds = 40, 4, 50
	stays := func(i int) bool { return i%4 < 2 }
	cfg := testConfig
	cfg.OutboxMessages = 2 * senders * rounds
	tr := newTransport(cfg)
	srv := newServer(t, tr, l, echoing)
	var conns []wsconn.Conn
	var clients, owners sync.WaitGroup
	for i := range n {
		c, s := srv.connect()
		conns = append(conns, s.conn)
		switch {
		case stays(i):
			clients.Go(func() { listen(t, c, senders, rounds) })
		case i%4 == 2:
			clients.Go(func() { _, _ = io.Copy(io.Discard, c.in) })
		default: // hangs up
			clients.Go(func() { _, _ = io.CopyN(io.Discard, c.in, 300); _ = c.Close() })
		}
		if i%4 == 1 {
			clients.Go(func() {
				for range rounds {
					_, _ = c.Write(clientFrame(fin|opText, "echo"))
				}
			})
		}
	}
	for who := range senders {
		owners.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(who)))
			order, mine, errs := rng.Perm(n), make([]wsconn.Conn, n), make([]error, n)
			for round := range rounds {
				rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
				frame := textFrame(t, fmt.Sprint(who, " ", round))
				for k, i := range order {
					mine[k] = conns[i]
				}
				if who > 0 {
					tr.SendAll(frame, mine, errs)
				} else {
					for k, c := range mine {
						errs[k] = c.Send(frame)
					}
				}
				for k, i := range order {
					if err := errs[k]; err != nil && (stays(i) || !errors.Is(err, wsconn.ErrClosed)) {
						t.Errorf("connection %d: %v", i, err)
					}
				}
				switch i := rng.IntN(n); {
				case i%4 == 2:
					conns[i].Abort()
				case i%4 == 3:
					conns[i].Close(1001, "")
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

// listen reads until the close frame, before which all frames of
// contractSendAllStress come.
func listen(t *testing.T, c *client, senders, rounds int) {
	next := make([]int, senders)
	for {
		first, text, err := c.readFrame()
		if err != nil {
			t.Errorf("after %d: %v", next, err)
			return
		}
		if first == fin|opClose {
			break
		}
		var who, round int
		if text == "echo" {
			continue
		}
		if _, err := fmt.Sscan(text, &who, &round); err != nil || round != next[who] {
			t.Errorf("got %.40q after %d, %v", text, next, err)
			return
		}
		next[who]++
	}
	for who, n := range next {
		if n != rounds {
			t.Errorf("%d of %d frames of sender %d came", n, rounds, who)
		}
	}
	_ = c.Close()
}
