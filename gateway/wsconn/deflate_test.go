package wsconn

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func TestOffers(t *testing.T) {
	f := func(want bool, headers ...string) {
		t.Helper()
		if got := accept(headers); (got != "") != want {
			t.Errorf("%q: answered %q", headers, got)
		}
	}
	f(false)
	f(false, "")
	f(true, "permessage-deflate")
	f(true, "permessage-deflate; client_max_window_bits") // browsers
	f(true, " permessage-deflate ;  server_no_context_takeover ; client_no_context_takeover ")
	f(true, "permessage-deflate; client_max_window_bits=9")
	f(true, `permessage-deflate; client_max_window_bits="10"`)
	f(false, "permessage-deflate; server_max_window_bits=14") // we deflate with 15
	if got := accept([]string{"permessage-deflate; server_max_window_bits=15"}); got != deflateAnswer+"; server_max_window_bits=15" {
		t.Errorf("a window of 15 bits was answered with %q", got)
	}
	f(true, "permessage-deflate; server_max_window_bits=10, permessage-deflate")
	f(true, "permessage-deflate; server_max_window_bits=10", "permessage-deflate")
	f(true, "x-webkit-deflate-frame, foo; bar=\"a,b;c\", permessage-deflate")
	f(false, "permessage-bzip2")
	f(false, "Permessage-Deflate") // tokens of RFC 6455 section 9.1 are compared as they are
	f(false, "permessage-deflates")
	f(false, "permessage-deflate; server_no_context_takeover=true")
	f(false, "permessage-deflate; client_no_context_takeover; client_no_context_takeover")
	f(false, "permessage-deflate; server_max_window_bits")
	f(false, "permessage-deflate; client_max_window_bits=7")
	f(false, "permessage-deflate; client_max_window_bits=16")
	f(false, "permessage-deflate; client_max_window_bits=08")
	f(false, "permessage-deflate; client_max_window_bits=")
	f(false, `permessage-deflate; client_max_window_bits="`)
	f(false, `permessage-deflate; client_max_window_bits=1"0"`)
	f(false, "permessage-deflate; unknown")
	f(false, "permessage-deflate;")
	f(false, `foo="permessage-deflate, permessage-deflate`) // one quoted text without end
}

// TestFrameIsCompressedOnce, however many ask at a time, and only if it is worth it.
func TestFrameIsCompressedOnce(t *testing.T) {
	text := []byte(strings.Repeat("again and ", 100))
	f, err := NewFrame(Text, text)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]*Frame, 8)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = f.compressed(len(text)) })
	}
	all.Wait()
	for _, g := range got {
		if g == f || g != got[0] || len(g.wire) >= len(f.wire)/2 || g.op != Text {
			t.Fatalf("compressed to %d bytes of %d, %p beside %p", len(g.wire), len(f.wire), g, got[0])
		}
	}
	if n := testing.AllocsPerRun(100, func() { f.compressed(1) }); n != 0 {
		t.Errorf("asking again allocates %v times", n)
	}
	g := func(op Opcode, payload string, threshold int) {
		t.Helper()
		f, err := NewFrame(op, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if f.compressed(threshold) != f {
			t.Errorf("%d %.20q was compressed", op, payload)
		}
	}
	g(Text, strings.Repeat("x", 99), 100)
	g(Ping, strings.Repeat("x", 125), 0)
	g(Text, "", 0)
	g(Binary, "\x01\x02\x03", 0) // would get longer
	for _, n := range []int{125, 126, 65535, 65536} {
		f, err := NewFrame(Binary, bytes.Repeat([]byte("y"), n))
		if err != nil {
			t.Fatal(err)
		}
		if p := f.payload(); len(p) != n || p[0] != 'y' {
			t.Errorf("the payload of a frame of %d bytes has %d", n, len(p))
		}
	}
}
