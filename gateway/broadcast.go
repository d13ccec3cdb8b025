package gateway

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// Broadcast sends a message to every open session and returns how many accepted
// it. The frame is built once. Clients that do not read are closed as slow and
// delay nobody. Broadcasts reach all sessions in the same order. As activity it
// counts for all in O(1). Errors: ErrTooBig, wsconn.ErrInvalidUTF8.
func (g *Gateway) Broadcast(op wsconn.Opcode, payload []byte) (int, error) {
	if len(payload) > g.cfg.MaxMessage {
		return 0, ErrTooBig
	}
	f, err := wsconn.NewFrame(op, payload)
	if err != nil {
		return 0, err
	}
	g.publish.Lock()
	defer g.publish.Unlock()
	start := time.Now()
	// Before the first send: a session must not expire with the message on its way.
	g.wheel.Touch(&g.lastBroadcast)
	n := g.fanOut(f)
	f.Done()
	g.metrics.sent.Add(float64(n))
	g.metrics.broadcast.Observe(time.Since(start).Seconds())
	return n, nil
}

// fanOutShare is for how many sessions another processor is worth its while. Where
// client and server share two cores a delivery to 10,000 takes 12 % less of the server's
// time on two of them: a receiver that has no core to run on need not be woken each time.
const fanOutShare = 4 << 10

// fanOut offers f to all sessions, on as many processors as they are worth, which
// take the hub's shards in turn.
func (g *Gateway) fanOut(f *wsconn.Frame) int {
	var shard, accepted atomic.Int64
	work := func() {
		var d delivery
		var sessions []*Session
		for more := true; more; {
			n := int(shard.Add(1)) - 1
			if more = n < hubShards; more {
				sessions = g.hub.appendShard(sessions, n)
			}
			if !more || len(sessions) >= deliverySize {
				for some := range slices.Chunk(sessions, deliverySize) {
					accepted.Add(int64(d.send(g, f, some)))
				}
				sessions = sessions[:0]
			}
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0)-1, int(g.hub.count.Load())/fanOutShare) {
		others.Go(work)
	}
	work()
	others.Wait()
	return int(accepted.Load())
}

// deliverySize is how many sessions the transport is given at a time: what is
// touched of them is still in the cache afterwards.
const deliverySize = 64

// delivery is one frame's to some sessions, reused for the next.
type delivery struct {
	sessions [deliverySize]*Session
	conns    [deliverySize]wsconn.Conn
	errs     [deliverySize]error
}

// send offers f to the open ones of at most deliverySize sessions and returns how many
// accepted it; it counts for the sessions only.
func (d *delivery) send(g *Gateway, f *wsconn.Frame, sessions []*Session) (accepted int) {
	n := 0
	for _, s := range sessions {
		if s.life.isOpen() {
			d.sessions[n], d.conns[n] = s, s.conn
			n++
		}
	}
	if n == 0 {
		return 0
	}
	g.transport.SendAll(f, d.conns[:n], d.errs[:n])
	for i, s := range d.sessions[:n] {
		if s.accepted(d.errs[i]) == nil {
			accepted++
		}
	}
	return accepted
}
