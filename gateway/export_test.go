package gateway

import "fmt"

// Check walks the registry and reports the first thing that does not add up.
// It holds only while no session comes or goes.
func (g *Gateway) Check() error {
	seen := 0
	for n := range g.hub.shards {
		shard := &g.hub.shards[n]
		shard.mu.Lock()
		used := 0
		for i, s := range shard.slots {
			if s == nil {
				continue
			}
			used++
			if want := uint32(i)*hubShards + uint32(n); s.key.slot != want {
				return fmt.Errorf("session in slot %d believes in %d", want, s.key.slot)
			}
		}
		if used+len(shard.free) != len(shard.slots) {
			return fmt.Errorf("shard %d: %d used + %d free != %d slots", n, used, len(shard.free), len(shard.slots))
		}
		shard.mu.Unlock()
		seen += used
	}
	entries := g.wheel.Stats().Entries
	if count, places := int(g.hub.count.Load()), int(g.hub.places.Load()); seen != count || seen != places || seen != entries {
		return fmt.Errorf("%d sessions found, %d counted, %d places taken, %d wheel entries", seen, count, places, entries)
	}
	return nil
}

// TouchIn is what a message costs in stamps, for allocation tests.
func (s *Session) TouchIn() { s.hear(ActivityIn) }

// Decide is what the wheel asks of a session.
func (s *Session) Decide() { s.DueIn() }

// PingAndPong is what a ping and its pong cost but for the connection.
func (s *Session) PingAndPong() {
	p := s.g.pinger
	payload := p.payload(s.g.wheel.Now(), 0, &s.key)
	_, _ = s.asked.ping(s.g.wheel.Now())
	inbound{s}.Pong(payload[:])
	p.scratch.Put(payload)
}

// DueIn is in how many steps the wheel looks at a session again.
func (s *Session) DueIn() int64 {
	at, _ := s.next(s.facts())
	return at - s.g.wheel.Now()
}
