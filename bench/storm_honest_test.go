//go:build linux && !race

package bench_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A visitor is an honest client. It keeps to the protocol, reads at once and answers every ping. Nothing
// that the others do may harm it: each of its messages comes back, each broadcast comes
// once and in order, and it is closed for what was asked for only.
type visitor struct {
	*guest
	*tempest
	name  string         // its address, as the program sees it
	news  map[string]int // by broadcaster: the last number
	pings [][]byte       // that are not answered
	quiet time.Time      // when it said something last
}

// How long an honest client waits before it complains. Places for handshakes may
// have to be waited for; the rest is the patience of two busy processors.
const (
	handshakePatience = 30 * time.Second
	echoPatience      = 30 * time.Second
)

// errSaid is a complaint that was made already, or an end without one.
var errSaid = errors.New("said")

// visit is the life of one honest session.
func (s *tempest) visit(ctx context.Context, rng *rand.Rand) {
	h, err := s.enter(ctx, rng)
	if err == nil {
		defer h.Close()
		if s.sleepers && rng.IntN(2) == 0 {
			err = h.sleep(ctx)
		} else {
			err = h.talk(ctx)
		}
	}
	if err != nil && !errors.Is(err, errSaid) {
		s.harm("an honest client: %v", err)
	}
}

// enter opens the session. A refusal is no harm where there may be one.
func (s *tempest) enter(ctx context.Context, rng *rand.Rand) (*visitor, error) {
	g, err := s.dial(ctx, rng, "127.0.0.2")
	if err != nil {
		return nil, s.excuse(ctx, fmt.Errorf("dial: %w", err))
	}
	h := &visitor{guest: g, tempest: s, name: g.LocalAddr().String(), news: map[string]int{}}
	_ = g.SetDeadline(time.Now().Add(handshakePatience))
	var extra []string
	if rng.IntN(2) == 0 {
		extra = append(extra, offer)
	}
	status, err := g.shake("", extra...)
	switch {
	case err == nil && status == 101:
		return h, nil
	case err == nil && status == 503 && s.files > 0:
		err = errSaid // there is no room
		pause(ctx, 20*time.Millisecond)
	case err == nil:
		err = fmt.Errorf("refused with %d", status)
	default:
		err = fmt.Errorf("no answer to its request: %w", err)
	}
	_ = g.Close()
	return nil, s.excuse(ctx, err)
}

// excuse lets pass what happens because the program, or the wave, ends.
func (s *tempest) excuse(ctx context.Context, err error) error {
	if ctx.Err() != nil || s.leaving.Load() {
		return errSaid
	}
	return err
}

// talk exchanges messages, and leaves when it has had enough.
func (h *visitor) talk(ctx context.Context) error {
	for range 1 + h.rng.IntN(60) {
		if err := h.exchange(); err != nil {
			return err
		}
		if !pause(ctx, time.Duration(h.rng.IntN(50))*time.Millisecond) {
			break
		}
	}
	return h.leave()
}

// exchange sends a message and waits for its echo.
func (h *visitor) exchange() error {
	_ = h.SetDeadline(time.Now().Add(echoPatience))
	message, first := h.compose()
	began := time.Now()
	if err := h.say(first, message); err != nil {
		return h.ended(fmt.Errorf("cannot send %d bytes: %w", len(message), err))
	}
	for {
		kind, got, err := h.next()
		if err != nil {
			return h.ended(fmt.Errorf("no echo of %d bytes: %w", len(message), err))
		}
		if h.operators(got) {
			continue
		}
		if kind != first || !bytes.Equal(got, message) {
			return fmt.Errorf("sent %d bytes %.20q as %#x, and received %d %.20q as %#x", len(message), message, first, len(got), got, kind)
		}
		h.waited(time.Since(began))
		return nil
	}
}

// compose makes a message that is none of the operator's; those begin with a letter.
func (h *visitor) compose() (message []byte, first byte) {
	n := h.rng.IntN(200)
	if h.rng.IntN(10) == 0 {
		n = h.rng.IntN(cmp.Or(h.honest, 20_000))
	}
	message = bytes.Repeat([]byte(" zu spät"), n/8)
	if first = text; h.rng.IntN(2) == 0 {
		first = binaries
		for i := range message {
			message[i] = byte(h.rng.Uint32())&0x7f + 0x80
		}
	}
	return message, first
}

// say sends a message, perhaps compressed, perhaps in fragments with pings between.
func (h *visitor) say(first byte, message []byte) error {
	h.quiet = time.Now()
	if h.deflate && h.rng.IntN(2) == 0 {
		first, message = first|deflated, deflate(message)
	}
	var out []byte
	for h.rng.IntN(3) == 0 {
		n := h.rng.IntN(len(message) + 1)
		out = append(out, frame(h.rng, first&^fin, message[:n])...)
		note := fmt.Appendf(nil, "p%d", h.rng.IntN(1000))
		h.pings = append(h.pings, note)
		out = append(out, frame(h.rng, ping, note)...)
		first, message = more|fin, message[n:]
	}
	out = append(out, frame(h.rng, first, message)...)
	if h.rng.IntN(4) == 0 { // in two segments
		n := h.rng.IntN(len(out))
		if _, err := h.Write(out[:n]); err != nil {
			return err
		}
		pause(h.ctx, time.Duration(h.rng.IntN(20))*time.Millisecond)
		out = out[n:]
	}
	_, err := h.Write(out)
	return err
}

// next is the next message; it answers pings and close frames.
func (h *visitor) next() (first byte, payload []byte, err error) {
	for {
		if first, payload, err = h.read(); err != nil {
			return 0, nil, err
		}
		switch first {
		case text, binaries:
			return first, payload, nil
		case ping:
			_, err = h.Write(frame(h.rng, pong, payload))
		case pong:
			i := slices.IndexFunc(h.pings, func(p []byte) bool { return bytes.Equal(p, payload) })
			if i < 0 {
				return 0, nil, fmt.Errorf("a pong %q that it did not ask for", payload)
			}
			h.pings = h.pings[i+1:]
		case closes:
			return 0, nil, h.closed(payload)
		default:
			return 0, nil, fmt.Errorf("a frame of kind %#x", first)
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// operators reports whether a message is one of the operator's, which it judges:
// "news STREAM NUMBER" to all, "note ADDRESS" to one.
func (h *visitor) operators(message []byte) bool {
	word, rest, _ := strings.Cut(string(message[:min(len(message), 60)]), " ")
	switch word {
	case "news":
		var stream string
		var number int
		_, _ = fmt.Sscan(rest, &stream, &number)
		if last, ok := h.news[stream]; ok && number != last+1 {
			h.harm("an honest client got broadcast %d of %s after %d", number, stream, last)
		}
		h.news[stream] = number
	case "note":
		if to, _, _ := strings.Cut(rest, " "); to != h.name {
			h.harm("%s got the message to %s", h.name, to)
		}
	default:
		return false
	}
	return true
}

// closed judges why, and says goodbye.
func (h *visitor) closed(payload []byte) error {
	if len(payload) < 2 {
		return fmt.Errorf("was closed with % x", payload)
	}
	code, reason := binary.BigEndian.Uint16(payload), string(payload[2:])
	if err := h.may(code, reason); err != nil {
		return err
	}
	_, _ = h.Write(frame(h.rng, closes, payload))
	if _, err := h.in.ReadByte(); err != io.EOF {
		return fmt.Errorf("after the close frames of both: %w", err)
	}
	return errSaid
}

// may is nil if it had to expect being closed so.
func (h *visitor) may(code uint16, reason string) error {
	drain, lost := uint16(4101), uint16(4201)
	if h.rfc {
		drain, lost = 1012, 1001
	}
	if _, kicked := h.kicked.Load(fmt.Sprint(h.name, code, reason)); kicked {
		return nil
	}
	if code == drain && strings.HasPrefix(reason, "drain;delay=") && h.leaving.Load() {
		return nil
	}
	if code == lost && reason == "pong_timeout" && h.stalled() {
		return nil
	}
	return fmt.Errorf("was closed with %d %q", code, reason)
}

// leave closes in order; what was on its way comes before the answer.
func (h *visitor) leave() error {
	_ = h.SetDeadline(time.Now().Add(echoPatience))
	bye := closing(1000, "bye")
	if _, err := h.Write(frame(h.rng, closes, bye)); err != nil {
		return h.ended(fmt.Errorf("cannot leave: %w", err))
	}
	for {
		first, payload, err := h.read()
		switch {
		case err != nil:
			return h.ended(fmt.Errorf("no answer to its close frame: %w", err))
		case first != closes:
			continue
		case bytes.HasPrefix(bye, payload) && len(payload) >= 2: // its code, and perhaps its reason
		case len(payload) < 2: // the two may have closed at once
			return fmt.Errorf("its close frame was answered with % x", payload)
		default:
			if err := h.may(binary.BigEndian.Uint16(payload), string(payload[2:])); err != nil {
				return err
			}
		}
		if _, err := h.in.ReadByte(); err != io.EOF {
			return fmt.Errorf("after the close frames of both: %w", err)
		}
		return nil
	}
}

// ended is err, unless it was said already.
func (h *visitor) ended(err error) error {
	if errors.Is(err, errSaid) {
		return errSaid
	}
	return err
}

// sleep says nothing after one message, where only that counts as activity. It
// has to be closed for it, and never early.
func (h *visitor) sleep(ctx context.Context) error {
	if err := h.exchange(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = h.SetDeadline(time.Now()) })()
	_ = h.SetDeadline(time.Now().Add(echoPatience))
	for {
		first, payload, err := h.read()
		switch {
		case err != nil && ctx.Err() != nil:
			return errSaid
		case err != nil:
			return fmt.Errorf("asleep: %w", err)
		case first == ping:
			_, _ = h.Write(frame(h.rng, pong, payload))
		case first == closes:
			if idle := time.Since(h.quiet); bytes.Contains(payload, []byte("idle_timeout")) && idle >= stormTimeout {
				return errSaid
			}
			return h.closed(payload)
		}
	}
}

// comeAndGo is one honest client after another.
func (s *tempest) comeAndGo(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil && !s.gone() {
		s.visit(ctx, rng)
	}
}
