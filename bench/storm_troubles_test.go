//go:build linux && !race

package bench_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// troubles are what clients do that are not honest, each on a connection that has sent
// nothing yet. Whoever is still there when the wave ends, or after troublePatience, is
// hung up on.
var troubles = []trouble{
	cut, early, dribble, gorge, pester, violate, bomb, flood, halve, hold, shoal, refused, vanish, sip,
}

type trouble func(context.Context, *tempest, *guest)

// troublePatience is longer than each of the program's own timeouts in a storm.
const troublePatience = 5 * time.Second

// chatter is a session's whole input, some of it odd and all of it allowed.
func chatter(g *guest) []byte {
	out := []byte(request())
	for range 1 + g.rng.IntN(8) {
		switch g.rng.IntN(4) {
		case 0:
			out = append(out, frame(g.rng, text, strings.Repeat("x", g.rng.IntN(3000)))...)
		case 1:
			out = append(out, frame(g.rng, ping, "are you there")...)
		case 2:
			out = append(out, frame(g.rng, text&^fin, "frag")...)
			out = append(out, frame(g.rng, pong, "")...)
			out = append(out, frame(g.rng, more|fin, "ment")...)
		case 3:
			out = append(out, frame(g.rng, binaries, "")...)
		}
	}
	return out
}

// cut ends at any byte, in pieces until then, in one of the ways there are to end.
func cut(ctx context.Context, _ *tempest, g *guest) {
	all := chatter(g)
	for all = all[:g.rng.IntN(len(all)+1)]; len(all) > 0; {
		n := 1 + g.rng.IntN(len(all))
		if _, err := g.Write(all[:n]); err != nil {
			return
		}
		all = all[n:]
		pause(ctx, time.Duration(g.rng.IntN(3))*time.Millisecond)
	}
	switch g.rng.IntN(4) {
	case 0:
		g.reset()
	case 1:
		g.half()
		_, _ = io.Copy(io.Discard, g.in)
	case 2:
		g.vanish(ctx, time.Duration(g.rng.IntN(4000))*time.Millisecond)
	}
}

// early sends frames in the packet of the request, and the last perhaps in two parts.
// All have to be answered.
func early(_ context.Context, s *tempest, g *guest) {
	n := 1 + g.rng.IntN(5)
	var frames []byte
	for i := range n {
		frames = append(frames, frame(g.rng, text, fmt.Sprint("early ", i))...)
	}
	at := len(frames) - g.rng.IntN(8)
	if status, err := g.shake(string(frames[:at])); err != nil || status != 101 {
		return
	}
	if _, err := g.Write(frames[at:]); err != nil {
		return
	}
	for i := 0; i < n; {
		first, payload, err := g.read()
		if err != nil || first == closes {
			return // it answers no pings, and may be kicked
		}
		if first != text || strings.HasPrefix(string(payload), "n") { // the operator's
			continue
		}
		if want := fmt.Sprint("early ", i); string(payload) != want {
			s.harm("the echo of %q is %q", want, payload)
			return
		}
		i++
	}
}

// dribble sends its request, or a message, byte by byte.
func dribble(ctx context.Context, _ *tempest, g *guest) {
	all := []byte(request())
	if g.rng.IntN(2) == 0 {
		if status, err := g.shake(""); err != nil || status != 101 {
			return
		}
		all = frame(g.rng, text, strings.Repeat("drip", 50))
	}
	go func() { _, _ = io.Copy(io.Discard, g.in) }() // until it is closed
	for _, b := range all {
		if _, err := g.Write([]byte{b}); err != nil || !pause(ctx, time.Duration(5+g.rng.IntN(40))*time.Millisecond) {
			return
		}
	}
}

// gorge asks for much and reads nothing.
func gorge(ctx context.Context, s *tempest, g *guest) {
	_ = g.tcp.SetReadBuffer(4096)
	if status, err := g.shake(""); err != nil || status != 101 {
		return
	}
	message := frame(g.rng, binaries, strings.Repeat("x", 1+g.rng.IntN(30_000)))
	for range s.burst(20_000) {
		if _, err := g.Write(message); err != nil {
			return
		}
	}
	pause(ctx, troublePatience/2)
}

// pester pings without an end and reads nothing.
func pester(ctx context.Context, s *tempest, g *guest) {
	_ = g.tcp.SetReadBuffer(4096)
	if status, err := g.shake(""); err != nil || status != 101 {
		return
	}
	many := []byte(strings.Repeat(string(frame(g.rng, ping, strings.Repeat("?", 100))), 100))
	for range s.burst(500) {
		if _, err := g.Write(many); err != nil {
			return
		}
	}
	pause(ctx, troublePatience/2)
}

// violations are what RFC 6455 forbids, with the codes that may tell it.
var violations = []struct {
	name  string
	bytes string
	codes []uint16
}{
	{"no mask", "\x81\x02hi", protocol},
	{"RSV2", "\xa1\x80\x00\x00\x00\x00", protocol},
	{"RSV1 on a ping", "\xc9\x80\x00\x00\x00\x00", protocol},
	{"opcode 3", "\x83\x80\x00\x00\x00\x00", protocol},
	{"opcode 11", "\x8b\x80\x00\x00\x00\x00", protocol},
	{"fragmented ping", "\x09\x80\x00\x00\x00\x00", protocol},
	{"long ping", "\x89\xfe\x00\x7e\x00\x00\x00\x00", protocol},
	{"length encoded too long", "\x81\xfe\x00\x05\x00\x00\x00\x00hello", protocol},
	{"length of 2^63", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", append([]uint16{1009}, protocol...)},
	{"continues nothing", "\x80\x80\x00\x00\x00\x00", protocol},
	{"a message in another", "\x01\x81\x00\x00\x00\x00a\x81\x81\x00\x00\x00\x00b", protocol},
	{"not UTF-8", "\x81\x82\x00\x00\x00\x00\xc3\x28", []uint16{1007}},
	{"not UTF-8 in fragments", "\x01\x81\x00\x00\x00\x00\xc3\x80\x81\x00\x00\x00\x00\x28", []uint16{1007}},
	{"too big", "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00", []uint16{1009}},
	{"close code 1005", "\x88\x82\x00\x00\x00\x00\x03\xed", protocol},
	{"close of one byte", "\x88\x81\x00\x00\x00\x00\x03", protocol},
	{"close reason not UTF-8", "\x88\x84\x00\x00\x00\x00\x03\xe8\xc3\x28", append([]uint16{1007}, protocol...)},
}

var protocol = []uint16{1002, 4506}

// othersCodes are why a client may be closed at any moment: kicked, slow, silent, drained.
func othersCode(code uint16) bool {
	return code >= 3000 && code != 4506 || code == 1001 || code == 1008 || code == 1012 || code == 1013 || code == 1000
}

// violate does one of them, and has to be told so.
func violate(ctx context.Context, s *tempest, g *guest) {
	v := violations[g.rng.IntN(len(violations))]
	var packet string
	if g.rng.IntN(2) == 0 {
		packet = v.bytes
	}
	if status, err := g.shake(packet); err != nil || status != 101 {
		return
	}
	if packet == "" {
		if _, err := io.WriteString(g, v.bytes); err != nil {
			return
		}
	}
	for {
		first, payload, err := g.read()
		if err != nil {
			if s.excuse(ctx, err) == err {
				s.harm("%s: no close frame: %v", v.name, err)
			}
			return
		}
		if first != closes {
			continue
		}
		if len(payload) < 2 {
			s.harm("%s: closed with % x", v.name, payload)
		} else if code := binary.BigEndian.Uint16(payload); !slices.Contains(v.codes, code) && !othersCode(code) {
			s.harm("%s: closed with %d %q", v.name, code, payload[2:])
		}
		_, _ = g.Write(frame(g.rng, closes, payload))
		_, _ = io.Copy(io.Discard, g.in)
		return
	}
}

// bomb sends little that becomes much: as much as is allowed, or more.
func bomb(_ context.Context, s *tempest, g *guest) {
	status, err := g.shake("", offer)
	if err != nil || status != 101 || !g.deflate {
		return
	}
	size := 60_000
	if g.rng.IntN(3) == 0 {
		size = 5 << 20
	}
	message := frame(g.rng, text|deflated, deflate(strings.Repeat("0", size)))
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, g.in) }()
	for range s.burst(300) {
		if _, err := g.Write(message); err != nil {
			break
		}
	}
	g.half()
	<-drained
}

// flood sends the least frames there are, and reads.
func flood(_ context.Context, s *tempest, g *guest) {
	if status, err := g.shake(""); err != nil || status != 101 {
		return
	}
	many := []byte(strings.Repeat("\x81\x80\x00\x00\x00\x00", 2000))
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, g.in) }()
	for range s.burst(30) {
		if _, err := g.Write(many); err != nil {
			break
		}
	}
	g.half()
	<-drained
}

// halve leaves half of the connection open.
func halve(_ context.Context, _ *tempest, g *guest) {
	if status, err := g.shake(string(frame(g.rng, text, "hello"))); err != nil || status != 101 {
		return
	}
	g.half()
	_, _ = io.Copy(io.Discard, g.in)
}

// hold has sent the most of a long message, and goes silent.
func hold(_ context.Context, _ *tempest, g *guest) {
	if status, err := g.shake(""); err != nil || status != 101 {
		return
	}
	n := 1 + g.rng.IntN(1<<g.rng.IntN(17)) // much and little
	message := frame(g.rng, binaries, strings.Repeat("x", n))
	if _, err := g.Write(message[:len(message)-1-g.rng.IntN(n)]); err == nil {
		_, _ = io.Copy(io.Discard, g.in)
	}
}

// shoal comes as many at once, and leaves.
func shoal(ctx context.Context, s *tempest, g *guest) {
	var all sync.WaitGroup
	for range s.burst(30) {
		other, err := s.dial(ctx, g.rng, "127.0.1.9")
		if err != nil {
			break
		}
		_ = other.SetDeadline(time.Now().Add(troublePatience))
		all.Go(func() {
			defer other.tcp.Close()
			defer context.AfterFunc(ctx, func() { _ = other.tcp.SetDeadline(time.Now()) })()
			_, _ = other.shake("")
		})
	}
	all.Wait()
}

// refused asks for what there is not; the answer has to be an error of its own.
func refused(_ context.Context, s *tempest, g *guest) {
	asks := []string{
		"GET / HTTP/1.1\r\nHost: gate.test\r\n\r\n",
		"GET /echo HTTP/1.1\r\nHost: gate.test\r\n\r\n",
		strings.Replace(request(), "GET", "POST", 1),
		strings.Replace(request(), "Version: 13", "Version: 8", 1),
		strings.Replace(request(), "dGhl", "!!!!", 1),
		request("Origin: https://evil.test\r\n"),
		request("X: " + strings.Repeat("x", 20_000) + "\r\n"),
		"\x16\x03\x01 no HTTP\r\n\r\n",
	}
	if _, err := io.WriteString(g, asks[g.rng.IntN(len(asks))]); err != nil {
		return
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(g.in, answer); err == nil && answer[9] != '4' && answer[9] != '5' {
		s.harm("%q was not refused", answer)
	}
}

// vanish says hello and is gone without a FIN.
func vanish(ctx context.Context, _ *tempest, g *guest) {
	if status, err := g.shake(string(frame(g.rng, text, "hello"))); err == nil && status == 101 {
		g.vanish(ctx, troublePatience)
	}
}

// sip reads, but slowly.
func sip(ctx context.Context, s *tempest, g *guest) {
	_ = g.tcp.SetReadBuffer(4096)
	if status, err := g.shake(""); err != nil || status != 101 {
		return
	}
	go func() {
		message := frame(g.rng, binaries, strings.Repeat("x", 3000))
		for range s.burst(200) {
			if _, err := g.Write(message); err != nil {
				return
			}
		}
	}()
	for drop := make([]byte, 100); pause(ctx, 5*time.Millisecond); {
		if _, err := g.in.Read(drop); err != nil {
			return
		}
	}
}
