package wsconn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// recorder is a gws handler that writes down what it is told.
type recorder struct{ messages, controls []string }

func (r *recorder) OnOpen(*gws.Conn) {}
func (r *recorder) OnPing(_ *gws.Conn, p []byte) {
	r.controls = append(r.controls, fmt.Sprintf("ping %q", p))
}

func (r *recorder) OnPong(_ *gws.Conn, p []byte) {
	r.controls = append(r.controls, fmt.Sprintf("pong %q", p))
}

func (r *recorder) OnClose(_ *gws.Conn, err error) {
	r.controls = append(r.controls, fmt.Sprintf("end %v", err))
}

func (r *recorder) OnMessage(_ *gws.Conn, m *gws.Message) {
	r.messages = append(r.messages, fmt.Sprintf("%d %q", m.Opcode, m.Bytes()))
	_ = m.Close()
}

// last is how the input ended.
func (r *recorder) last() string { return r.controls[len(r.controls)-1] }

// playback is a net.Conn that gives what it was made of, and swallows.
type playback struct {
	inert
	io.Reader
}

func (playback) Write(p []byte) (int, error) { return len(p), nil }
func (playback) LocalAddr() net.Addr         { return nil }
func (playback) RemoteAddr() net.Addr        { return nil }

// gwsOn runs a stock gws.Conn over input.
func gwsOn(input []byte) *recorder {
	r := &recorder{}
	u := gws.NewUpgrader(r, &gws.ServerOption{
		ReadMaxPayloadSize: 1 << 10, CheckUtf8Enabled: true, NewSession: noSession, Logger: silent{},
		PermessageDeflate: gws.PermessageDeflate{Enabled: true, PoolSize: 1, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
	})
	conn := playback{Reader: bytes.NewReader(input)}
	ownSocket(u, conn, bufio.NewReaderSize(conn, 64)).ReadLoop()
	return r
}

// completed is input up to the end of the message that g refuses from byte n on, with what
// it lacks made up.
func completed(input []byte, n int, g *guard) []byte {
	rest := max(1, int(g.length)) // of the frame at hand, or the last byte of its header
	all := slices.Concat(input, make([]byte, rest))[:n+rest]
	if g.first&finBit == 0 {
		all = append(all, maskedFrame(0x80, "")...)
	}
	return all
}

// FuzzAgainstGws: what the splitter makes of any input in any cuts gives the same
// events as stock gws on the input itself, as far as the guard lets it see it:
// messages in the same order, and controls in theirs. What it refuses as no UTF-8, stock
// gws refuses when it is whole.
func FuzzAgainstGws(f *testing.F) {
	f.Add(bytes.Join([][]byte{maskedFrame(0x01, "be"), maskedFrame(0x89, "p"), maskedFrame(0x80, "gun"), maskedFrame(0x88, "\x03\xe8")}, nil), []byte{2, 0, 5})
	f.Add(bytes.Join([][]byte{maskedFrame(0x01, "\xff"), maskedFrame(0x8a, ""), maskedFrame(0x80, "x"), maskedFrame(0x82, "y")}, nil), []byte{1})
	f.Add(append(maskedFrame(0x81, "whole"), maskedFrame(0x81, "h\xe4lf")...), []byte{20})
	f.Add(append(maskedFrame(0x02, "unfinished"), maskedFrame(0x88, "\x03")...), []byte{7})
	f.Add(append(maskedFrame(0x82, "whole"), maskedFrame(0xa2, "rsv")...), []byte{})
	f.Add(append(maskedFrame(0xc2, "\x4a\x4c\x4a\x06\x00"), maskedFrame(0x41, "\x4a\x4c")...), []byte{9})
	f.Add(append(maskedFrame(0xc2, "\x00\x00\x00\x00\x00"), maskedFrame(0x81, "\xb1")...), []byte{})
	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		ours, _, g := pieces(input, cuts)
		admitted := input[:(&guard{maxMessage: 1 << 10, window: maxWindow}).admit(input, new(utf8Check))]
		got, want := gwsOn(ours), gwsOn(admitted)
		if !slices.Equal(got.messages, want.messages) {
			t.Errorf("messages %v; stock gws %v", got.messages, want.messages)
		}
		if g.violation == InvalidUTF8 && strings.HasSuffix(want.last(), io.EOF.Error()) { // gws has refused nothing before
			refused := gwsOn(completed(input, len(admitted), &g))
			if last := refused.last(); last != "end "+gws.ErrTextEncoding.Error() || !slices.Equal(refused.messages, want.messages) {
				t.Errorf("stock gws makes of the text that is refused %v, %s", refused.messages, last)
			}
		}
		// The last word is how the input ended, which is cut elsewhere.
		g1, w1 := got.controls[:len(got.controls)-1], want.controls[:len(want.controls)-1]
		if !slices.Equal(g1, w1) {
			t.Errorf("controls %v; stock gws %v", g1, w1)
		}
	})
}
