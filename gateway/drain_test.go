package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
)

// TestDrain: refused at once, closes spread evenly, the longest idle first.
func TestDrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const n, window = 60, 30 * time.Second
		f := start(t, func(cfg *gateway.Config) { cfg.DrainWindow = window })
		var clients []*client
		for range n {
			clients = append(clients, f.dial("/ws"))
			time.Sleep(time.Second)
		}
		_ = clients[0].WriteString("the youngest activity of all")
		synctest.Wait()
		f.cancel()
		synctest.Wait()
		began := time.Now()
		if f.Ready() {
			t.Error("ready while draining")
		}
		if a := f.request(handshake("/ws")); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("a new client got %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
		}
		<-f.ended
		perSecond := make([]int, 31)
		for _, c := range clients {
			<-c.gone
			if c.code != 4101 || !strings.HasPrefix(c.reason, "drain;delay=") {
				t.Errorf("closed with %d %q", c.code, c.reason)
			}
			perSecond[c.at.Sub(began)/time.Second]++
		}
		if slices.Max(perSecond) > 3 || slices.Max(perSecond[30:]) > 1 {
			t.Errorf("closes per second: %v; want 2 in each of 30", perSecond)
		}
		if first, last := clients[1], clients[0]; !first.at.Before(clients[30].at) || last.at.Before(clients[n-1].at) {
			t.Error("not closed in the order of idleness")
		}
	})
}

// TestDrainWait: not ready at once, but clients are accepted until balancers know.
func TestDrainWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.DrainWait = 10 * time.Second })
		before := f.dial("/ws")
		began := time.Now()
		f.cancel()
		synctest.Wait()
		if st := f.Stats(); f.Ready() || !st.Leaving || st.Draining {
			t.Errorf("ready %v, leaving %v, draining %v", f.Ready(), st.Leaving, st.Draining)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		late := f.dial("/ws")
		if !before.open() {
			t.Error("closed before the drain")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if a := f.request(handshake("/ws")); a.StatusCode != 503 {
			t.Errorf("a new client got %d after the wait", a.StatusCode)
		}
		for _, c := range []*client{before, late} {
			<-c.gone
			if c.code != 4101 || c.at.Sub(began) < 10*time.Second {
				t.Errorf("closed with %d after %v", c.code, c.at.Sub(began))
			}
		}
	})
}

// TestDrainEndsHard: a client that ignores its close does not hold up the end.
func TestDrainEndsHard(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.DrainWindow = 0 })
		f.rawDial("/ws")
		began := time.Now()
		f.cancel()
		<-f.ended
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the drain took %v", took)
		}
	})
}

// TestDrainEndsWithTheLast: nobody waits for sessions that have left by themselves.
func TestDrainEndsWithTheLast(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, func(cfg *gateway.Config) { cfg.DrainWindow = time.Hour })
		clients := []*client{f.dial("/ws"), f.dial("/ws")}
		began := time.Now()
		f.cancel()
		<-clients[0].gone // told to at once
		time.Sleep(time.Second)
		_ = clients[1].NetConn().Close()
		<-f.ended
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the drain took %v", took)
		}
	})
}

func TestRunTwice(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		if err := f.Run(t.Context()); err == nil {
			t.Error("the second Run did not fail")
		}
	})
}

func TestBeforeRun(t *testing.T) {
	g, err := gateway.New(gateway.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if g.Ready() {
		t.Error("ready before Run")
	}
}
