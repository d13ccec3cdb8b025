package wsconn

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"weak"
)

func TestOffers(t *testing.T) {
	f := func(want bool, headers ...string) {
		t.Helper()
		if got, _ := accept(headers); (got != "") != want {
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
	f(true, "permessage-deflate; server_max_window_bits=7, permessage-deflate")
	f(true, "permessage-deflate; server_max_window_bits=7", "permessage-deflate")
	f(true, "x-webkit-deflate-frame, foo; bar=\"a,b;c\", permessage-deflate")
	f(false, "permessage-bzip2")
	f(false, "Permessage-Deflate") // tokens of RFC 6455 section 9.1 are compared as they are
	f(false, "permessage-deflates")
	f(false, "permessage-deflate; server_no_context_takeover=true")
	f(false, "permessage-deflate; client_no_context_takeover; client_no_context_takeover")
	f(false, "permessage-deflate; server_max_window_bits")
	f(false, "permessage-deflate; server_max_window_bits=7")
	f(false, "permessage-deflate; server_max_window_bits=16")
	f(false, "permessage-deflate; server_max_window_bits=09")
	f(false, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9")
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

// TestOfferedWindows: the answer repeats what the client's window may be, and the session
// has it.
func TestOfferedWindows(t *testing.T) {
	f := func(offer, want string, size uint8) {
		t.Helper()
		answer, window := accept([]string{offer})
		if answer != deflateAnswer+want || window != size {
			t.Errorf("%q: answered %q, a window of %d", offer, answer, window)
		}
	}
	f("permessage-deflate", "", 15)
	f("permessage-deflate; client_max_window_bits=9", "", 15)
	for size := uint8(8); size <= 15; size++ {
		limited := fmt.Sprintf("; server_max_window_bits=%d", size)
		f("permessage-deflate"+limited, limited, size)
		f("permessage-deflate; client_max_window_bits"+limited+"; server_no_context_takeover", limited, size)
	}
	f(`permessage-deflate; server_max_window_bits="10"`, "; server_max_window_bits=10", 10)
	f("permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=12, permessage-deflate",
		"; server_max_window_bits=12", 12)
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
		all.Go(func() { got[i] = f.compressed(len(text), maxWindow) })
	}
	all.Wait()
	for _, g := range got {
		if g == f || g != got[0] || len(g.wire) >= len(f.wire)/2 || g.op != Text {
			t.Fatalf("compressed to %d bytes of %d, %p beside %p", len(g.wire), len(f.wire), g, got[0])
		}
	}
	if n := testing.AllocsPerRun(100, func() { f.compressed(1, 10) }); n != 0 {
		t.Errorf("asking again allocates %v times", n)
	}
	g := func(op Opcode, payload string, threshold int) {
		t.Helper()
		f, err := NewFrame(op, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if f.compressed(threshold, minWindow) != f {
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

// TestFrameIsCompressedForWindows: for a client with a window of any size, within it; with
// what is as long as its window or shorter, all get the same.
func TestFrameIsCompressedForWindows(t *testing.T) {
	for _, n := range []int{200, 256, 257, 512, 513, 5000, 1 << 15, 1<<15 + 1, 200_000} {
		text := jsonText(n)
		f, err := NewFrame(Text, text)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[*Frame]bool{}
		short := 0 // windows that are shorter than the text
		for _, window := range rand.Perm(maxWindow + 1) {
			if window < minWindow {
				continue
			}
			if window < maxWindow && n > 1<<window {
				short++
			}
			form := f.compressed(1, uint8(window))
			if form == f || form.wire[0] != finBit|rsv1|byte(Text) || len(form.wire) != frameSize(form.wire) {
				t.Fatalf("%d bytes for 2^%d: % x...", n, window, form.wire[:4])
			}
			if again := f.compressed(1, uint8(window)); again != form {
				t.Errorf("%d bytes for 2^%d: compressed twice", n, window)
			}
			forms[form] = true
			if got, err := InflateWithin(string(form.payload()), window); err != nil || got != string(text) {
				t.Errorf("%d bytes for 2^%d: inflated to %d bytes, %v", n, window, len(got), err)
			}
		}
		if want := 1 + short; len(forms) != want {
			t.Errorf("%d bytes: compressed %d times, want %d", n, len(forms), want)
		}
	}
	// What is meant for all of 32 KiB does reach further back than a client with less can.
	f, err := NewFrame(Text, jsonText(5000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := InflateWithin(string(f.compressed(1, maxWindow).payload()), minWindow); err == nil {
		t.Error("a form for 2^15 can be read with 2^8: this test shows nothing")
	}
}

// FuzzDeflate: any payload, deflated for a window of any size, is read within that.
func FuzzDeflate(f *testing.F) {
	f.Add(jsonText(3000), uint8(9), uint16(300))
	f.Add([]byte("abc"), uint8(8), uint16(9000))
	f.Fuzz(func(t *testing.T, payload []byte, window uint8, times uint16) {
		window = minWindow + window%(maxWindow-minWindow+1)
		for len(payload) > 0 && len(payload) < int(times)%9000 {
			payload = append(payload, payload...)
		}
		frame, err := NewFrame(Binary, payload)
		if err != nil {
			t.Fatal(err)
		}
		form := frame.compressed(0, window)
		if form == frame {
			return
		}
		if got, err := InflateWithin(string(form.payload()), int(window)); err != nil || got != string(payload) {
			t.Fatalf("%d bytes for 2^%d: inflated to %d bytes, %v", len(payload), window, len(got), err)
		}
	})
}

// jsonText is n bytes of the kind that is compressed.
func jsonText(n int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"sensor %d","value":%d.%02d,"ok":true},`, i, i*7919%1000, i*31%97, i*17%100)
	}
	return []byte(b.String()[:n])
}

func BenchmarkDeflate(b *testing.B) {
	for _, n := range []int{1 << 10, 16 << 10} {
		for _, window := range []uint8{9, 12, maxWindow} {
			b.Run(fmt.Sprintf("%d for %d", n, window), func(b *testing.B) {
				text := jsonText(n)
				f := &Frame{op: Text}
				b.ReportAllocs()
				for b.Loop() {
					b.ReportMetric(float64(len(f.deflate(text, window).wire)), "wire")
				}
			})
		}
	}
}

// TestOutboxKeepsOneForm: who has one form of a frame queued, or the frame itself when it is
// sent to nobody any more, has no memory but that, as the budget counts it.
func TestOutboxKeepsOneForm(t *testing.T) {
	f, err := NewFrame(Text, jsonText(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	var forms []weak.Pointer[Frame]
	for window := uint8(minWindow); window <= maxWindow; window++ {
		forms = append(forms, weak.Make(f.compressed(1, window)))
	}
	queued := f.compressed(1, 11)
	runtime.GC()
	for i, form := range forms {
		if form.Value() == nil {
			t.Errorf("the form for window %d is not kept for the next receiver", minWindow+i)
		}
	}
	f.Done()
	runtime.GC()
	for i, form := range forms {
		if kept := form.Value(); kept != nil && kept != queued {
			t.Errorf("the form for window %d is kept on", minWindow+i)
		}
	}
	runtime.KeepAlive(queued)
	runtime.KeepAlive(f)
}
