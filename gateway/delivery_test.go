package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestOrder: what one caller sends after another call has returned arrives after it, to
// all or to one, and all clients get broadcasts in the same order.
func TestOrder(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		const n, callers, each = 100, 4, 50
		f := start(t, func(cfg *gateway.Config) { cfg.OutboxMessages = 2 * callers * each })
		var clients []*client
		for range n {
			clients = append(clients, f.dial("/ws"))
		}
		sessions, _ := f.Sessions(0, n)
		var calling sync.WaitGroup
		for caller := range callers {
			calling.Go(func() {
				for i := range each {
					f.broadcast(fmt.Sprintf("%d broadcast %d", caller, i), n)
					for _, s := range sessions {
						if err := s.Send(wsconn.Text, fmt.Appendf(nil, "%d to one %d", caller, i)); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		calling.Wait()
		var order []string // of broadcasts, as the first client has it
		for i, c := range clients {
			var broadcasts []string
			var next [callers]int // by caller, the number of its next message
			for range 2 * callers * each {
				text := <-c.messages
				caller := text[0] - '0'
				want := fmt.Sprintf("%d %s %d", caller, []string{"broadcast", "to one"}[next[caller]%2], next[caller]/2)
				if text != want {
					t.Fatalf("client %d: %q; want %q", i, text, want)
				}
				next[caller]++
				if strings.Contains(text, "broadcast") {
					broadcasts = append(broadcasts, text)
				}
			}
			if i == 0 {
				order = broadcasts
			}
			if !slices.Equal(broadcasts, order) {
				t.Errorf("client %d got the broadcasts in another order", i)
			}
		}
	})
}

// TestDrainAndWhatWaits: clients get what was accepted for them before they are closed.
// What one of them does not take by then is lost, and counted.
func TestDrainAndWhatWaits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const n = 10
		f := start(t, nil)
		reading := f.dial("/ws")
		f.rawDial("/ws") // and nobody reads
		for i := range n {
			f.broadcast(fmt.Sprintf("longer than the pipe's buffer: %d", i), 2)
		}
		f.cancel()
		synctest.Wait()
		f.broadcast("too late", 0)
		<-f.ended
		<-reading.gone
		if len(reading.messages) != n || reading.code != 4101 {
			t.Errorf("%d messages before the close with %d; want %d", len(reading.messages), reading.code, n)
		}
		lost := fmt.Sprintf("wheelgate_messages_dropped_total{reason=\"drain\"} %d\n", n)
		metrics, err := testutil.GatherAndFormat(f.Registry(), expfmt.TypeTextPlain, "wheelgate_messages_dropped_total")
		if err != nil || !strings.Contains(string(metrics), lost) {
			t.Errorf("%s, %v; want %s", metrics, err, lost)
		}
	})
}
