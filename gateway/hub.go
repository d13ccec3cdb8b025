package gateway

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	hubShards = 64
	// maxSlots bounds the sessions of one process: far above what fits in memory.
	maxSlots = 1 << 28
)

// sessionKey is an id: the node and slot find the session without a map, the
// random part makes it unguessable and never used again.
type sessionKey struct {
	node, slot uint32
	random     [12]byte
}

const (
	keyBytes = 20
	idLength = keyBytes * 8 / 5
)

var errBadID = errors.New("gateway: not a session id")

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func (k sessionKey) String() string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, keyBytes), k.node)
	b = binary.BigEndian.AppendUint32(b, k.slot)
	return idEncoding.EncodeToString(append(b, k.random[:]...))
}

func parseID(id string) (k sessionKey, err error) {
	if len(id) != idLength {
		return k, errBadID
	}
	b, err := idEncoding.DecodeString(id)
	if err != nil {
		return k, errBadID
	}
	k.node, k.slot = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	copy(k.random[:], b[8:])
	return k, nil
}

func randomByte() uint8 {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return b[0]
}

func randomNode() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint32(b[:])
}

// hub is the registry of sessions: tables of slots, sharded by lock.
type hub struct {
	node   uint32
	limit  int64 // 0: none
	places atomic.Int64
	filled atomic.Bool // as full last saw it
	count  atomic.Int64
	opened atomic.Int64 // sessions so far
	turn   atomic.Uint32
	shards [hubShards]hubShard
}

type hubShard struct {
	mu    sync.Mutex
	slots []*Session // nil where free
	free  []uint32   // indexes into slots
	_     [8]byte
}

// reserve takes a place for a session to come and reports whether there was one.
func (h *hub) reserve() bool {
	if n := h.places.Add(1); h.limit > 0 && n > h.limit {
		h.places.Add(-1)
		return false
	}
	return true
}

// full reports whether all places were taken when it was called, or an earlier time
// after which it has not seen a twentieth of them, at least one, free.
func (h *hub) full() bool {
	switch n := h.places.Load(); {
	case h.limit == 0:
	case n >= h.limit:
		h.filled.Store(true)
	case n <= h.limit-max(1, h.limit/20):
		h.filled.Store(false)
	}
	return h.filled.Load()
}

// release gives back a place whose session never came.
func (h *hub) release() { h.places.Add(-1) }

// newKey draws an id whose slot is taken and empty: nobody finds a session
// that is still being made.
func (h *hub) newKey() sessionKey {
	n := h.turn.Add(1) % hubShards
	shard := &h.shards[n]
	shard.mu.Lock()
	index := uint32(len(shard.slots))
	if last := len(shard.free) - 1; last >= 0 {
		index = shard.free[last]
		shard.free = shard.free[:last]
	} else {
		shard.slots = append(shard.slots, nil)
	}
	shard.mu.Unlock()
	k := sessionKey{node: h.node, slot: index*hubShards + n}
	_, _ = rand.Read(k.random[:]) // never fails (crypto/rand)
	return k
}

// insert makes s findable by its key.
func (h *hub) insert(s *Session) {
	shard, index := &h.shards[s.key.slot%hubShards], s.key.slot/hubShards
	shard.mu.Lock()
	shard.slots[index] = s
	shard.mu.Unlock()
	h.count.Add(1)
	h.opened.Add(1)
}

// remove forgets s and gives back its place.
func (h *hub) remove(s *Session) {
	shard, index := &h.shards[s.key.slot%hubShards], s.key.slot/hubShards
	shard.mu.Lock()
	shard.slots[index] = nil
	shard.free = append(shard.free, index)
	shard.mu.Unlock()
	h.count.Add(-1)
	h.places.Add(-1)
}

// find returns the session with this id, or nil.
func (h *hub) find(id string) *Session {
	k, err := parseID(id)
	if err != nil || k.node != h.node {
		return nil
	}
	s := h.at(k.slot)
	if s == nil || subtle.ConstantTimeCompare(s.key.random[:], k.random[:]) == 0 {
		return nil
	}
	return s
}

func (h *hub) at(slot uint32) *Session {
	shard, index := &h.shards[slot%hubShards], slot/hubShards
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if int(index) >= len(shard.slots) {
		return nil
	}
	return shard.slots[index]
}

// appendShard adds the sessions of shard n to dst.
func (h *hub) appendShard(dst []*Session, n int) []*Session {
	shard := &h.shards[n]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for _, s := range shard.slots {
		if s != nil {
			dst = append(dst, s)
		}
	}
	return dst
}

// all returns every session.
func (h *hub) all() []*Session {
	sessions := make([]*Session, 0, h.count.Load())
	for n := range hubShards {
		sessions = h.appendShard(sessions, n)
	}
	return sessions
}

// page returns up to limit sessions of slots from on, and the slot to go on from;
// more is false at the end. A session that stays is in exactly one page.
func (h *hub) page(from uint32, limit int) (sessions []*Session, next uint32, more bool) {
	var end uint32
	for n := range h.shards {
		shard := &h.shards[n]
		shard.mu.Lock()
		end = max(end, uint32(len(shard.slots))*hubShards)
		shard.mu.Unlock()
	}
	for slot := from; slot < end; slot++ {
		s := h.at(slot)
		if s == nil {
			continue
		}
		if len(sessions) == limit {
			return sessions, slot, true
		}
		sessions = append(sessions, s)
	}
	return sessions, 0, false
}
