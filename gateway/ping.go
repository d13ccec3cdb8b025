package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// asked is what a session remembers of pings, in a word: the low halves of the steps
// of its last ping and of the last right pong. Both are opened when there was none.
type asked struct{ word atomic.Uint64 }

func askedWord(pinged, answered int64) uint64 {
	return uint64(uint32(answered))<<32 | uint64(uint32(pinged))
}

func (a *asked) open(step int64) { a.word.Store(askedWord(step, step)) }

// steps returns the whole steps. Both are in the past, but now is read after the word.
func (a *asked) steps(now func() int64) (pinged, answered int64) {
	word := a.word.Load()
	at := now()
	past := func(low uint32) int64 { return at - int64(uint32(at)-low) }
	return past(uint32(word)), past(uint32(word >> 32))
}

// isAfter reports whether the last ping came after step.
func (a *asked) isAfter(step int64) bool { return int32(uint32(a.word.Load())-uint32(step)) > 0 }

// ping records a ping and returns what was remembered before, and what is now.
func (a *asked) ping(step int64) (before, now uint64) {
	for {
		before = a.word.Load()
		now = before&^0xffffffff | uint64(uint32(step))
		if a.word.CompareAndSwap(before, now) {
			return before, now
		}
	}
}

// undo takes a ping back, without effect once it is answered.
func (a *asked) undo(before, now uint64) { a.word.CompareAndSwap(now, before) }

// pong records that the ping of this step, by its low half, is answered. It reports
// whether that was the last ping, and this the first answer to it.
func (a *asked) pong(pinged uint32, step int64) bool {
	word := a.word.Load()
	answered := uint32(word >> 32)
	return uint32(word) == pinged && int32(answered-pinged) < 0 &&
		a.word.CompareAndSwap(word, uint64(uint32(step))<<32|uint64(pinged))
}

// pinger makes the payloads of pings: one block that only we can read or make. It
// says when the ping was sent and to whom, so no session has to remember that, and who
// has not read it cannot echo it: a guess is right once in 2^64.
//
// Idle sessions are pinged for hours, so neither a ping nor its pong may leave garbage:
// the blocks, which the cipher's interface would move to the heap, are reused.
type pinger struct {
	block   cipher.Block
	scratch sync.Pool // of *[pingSize]byte
}

const pingSize = aes.BlockSize

func newPinger() *pinger {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key's size is right
	}
	return &pinger{block: block, scratch: sync.Pool{New: func() any { return new([pingSize]byte) }}}
}

// payload is of a ping sent in step, after the gateway was made, to the session with key.
// The caller puts it back into scratch.
func (p *pinger) payload(step int64, after time.Duration, key *sessionKey) *[pingSize]byte {
	b := p.scratch.Get().(*[pingSize]byte)
	binary.BigEndian.PutUint64(b[:], uint64(after))
	binary.BigEndian.PutUint32(b[8:], uint32(step))
	copy(b[12:], key.random[:])
	p.block.Encrypt(b[:], b[:])
	return b
}

// read returns when a ping of ours to the session with key was sent, from its payload.
// The step is the low half.
func (p *pinger) read(payload []byte, key *sessionKey) (step uint32, after time.Duration, ok bool) {
	if len(payload) != pingSize {
		return 0, 0, false
	}
	b := p.scratch.Get().(*[pingSize]byte)
	defer p.scratch.Put(b)
	p.block.Decrypt(b[:], payload)
	ok = string(b[12:]) == string(key.random[:pingSize-12])
	return binary.BigEndian.Uint32(b[8:]), time.Duration(binary.BigEndian.Uint64(b[:])), ok
}

// ping asks for a sign of life.
func (s *Session) ping() {
	now := s.g.wheel.Now()
	before, asked := s.asked.ping(now) // before the send: the answer may be there first
	payload := s.g.pinger.payload(now, time.Since(s.g.made), &s.key)
	if errors.Is(s.conn.SendMessage(wsconn.Ping, payload[:]), wsconn.ErrFull) {
		s.asked.undo(before, asked)
	}
	s.g.pinger.scratch.Put(payload)
}

// Pong implements wsconn.Handler. A pong is never activity. It is right if it echoes
// our last ping, for the first time; any other is counted and means nothing.
func (in inbound) Pong(payload []byte) {
	s := in.Session
	step, after, ok := s.g.pinger.read(payload, &s.key)
	if !ok || !s.asked.pong(step, s.g.wheel.Now()) {
		s.g.metrics.pongs[pongUnsolicited].Inc()
		return
	}
	s.g.wheel.Reschedule(&s.entry)
	s.g.metrics.pongs[pongMatching].Inc()
	s.g.metrics.pingRTT.Observe((time.Since(s.g.made) - after).Seconds())
}
