package wsconn_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

const (
	rsv1 = 0x40
	rsv2 = 0x20
)

// deflatingRequest offers permessage-deflate as browsers do.
var deflatingRequest = offering("permessage-deflate; client_max_window_bits")

// offering is request with that offer.
func offering(extensions string) string {
	return strings.Replace(request, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+extensions+"\r\n\r\n", 1)
}

// compressing is testConfig with compression of more than a few bytes.
func compressing() wsconn.Config {
	cfg := testConfig
	cfg.Compression, cfg.CompressionThreshold = true, 100
	return cfg
}

// deflate is the sending side of RFC 7692 section 7.2.1, by another library.
func deflate(payload string) string {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err == nil {
		_, err = io.WriteString(w, payload)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
}

// expectDeflated reads a compressed frame, whose client has a window of any size.
func (c *client) expectDeflated(first byte, payload string) {
	c.t.Helper()
	c.expectWithin(15, first, payload)
}

// expectWithin reads a compressed frame, for a window of that size.
func (c *client) expectWithin(window int, first byte, payload string) {
	c.t.Helper()
	got, body, err := c.readFrame()
	if err != nil || got != first|rsv1 {
		c.t.Fatalf("client got %#x %.40q, %v; want a compressed %#x", got, body, err, first)
	}
	if text, err := wsconn.InflateWithin(body, window); err != nil || text != payload {
		c.t.Fatalf("client got %.40q inflated with a window of %d, %v; want %.40q", text, window, err, payload)
	}
}

// bomb is small and inflates to 64 times what a message may be.
var bomb = sync.OnceValue(func() string {
	return deflate(repeat(64 * testConfig.MaxMessage))
})

func contractCompression(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, _ := newServer(t, newTransport(compressing()), l, echoing).connectWith(deflatingRequest)
	if want := []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}; !slices.Equal(c.extensions, want) {
		t.Fatalf("negotiated %q", c.extensions)
	}
	long := strings.Repeat("grüß dich, ", 200)
	for range 2 { // the second does not lean on the first
		c.send(clientFrame(fin|rsv1|opText, deflate(long)))
		c.expectDeflated(fin|opText, long)
	}
	c.send(clientFrame(fin|rsv1|opText, deflate("short")))
	c.expect(fin|opText, "short") // below the threshold
	c.send(clientFrame(fin|rsv1|opText, deflate("")))
	c.expect(fin|opText, "")
	c.send(clientFrame(fin|opText, long)) // the client may choose for each message
	c.expectDeflated(fin|opText, long)

	deflated := deflate(long)
	c.send(clientFrame(rsv1|opText, deflated[:5]), clientFrame(fin|opPing, "between"),
		clientFrame(opContinuation, ""), clientFrame(fin|opContinuation, deflated[5:]))
	c.expect(fin|opPong, "between")
	c.expectDeflated(fin|opText, long)

	noise := make([]byte, testConfig.MaxMessage) // gets longer when it is deflated
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	go func() { _, _ = c.Write(clientFrame(fin|rsv1|opBinary, deflate(string(noise)))) }()
	c.expect(fin|opBinary, string(noise))
	go func() { _, _ = c.Write(clientFrame(fin|rsv1|opBinary, store(string(noise), 127))) }()
	c.expect(fin|opBinary, string(noise))

	// RFC 7692 section 7.2.3.4: a last block, and the byte that has to follow it.
	c.send(clientFrame(fin|rsv1|opText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	c.expect(fin|opText, "Hello")
}

// store is what zlib makes of noise, in blocks of n bytes: 2047 at the memory level
// that the websockets of Python have, 127 at the least.
func store(noise string, n int) string {
	var out []byte
	for part := range slices.Chunk([]byte(noise), n) {
		out = binary.LittleEndian.AppendUint16(append(out, 0), uint16(len(part)))
		out = binary.LittleEndian.AppendUint16(out, ^uint16(len(part)))
		out = append(out, part...)
	}
	return string(append(out, 0)) // an empty block less its last four bytes
}

// Input that ends the session, with the violation it is.
func contractCompressionRefused(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(compressing()), l, echoing)
	for _, c := range []struct {
		name      string
		request   string
		input     []byte
		violation wsconn.Violation
	}{
		{"nothing negotiated", request, clientFrame(fin|rsv1|opText, deflate("x")), wsconn.Protocol},
		{"a compressed control frame", deflatingRequest, clientFrame(fin|rsv1|opPing, ""), wsconn.Protocol},
		{"RSV1 on a continuation", deflatingRequest, append(clientFrame(rsv1|opText, "\x4a"), clientFrame(fin|rsv1|opContinuation, "\x00")...), wsconn.Protocol},
		{"RSV2", deflatingRequest, clientFrame(fin|rsv2|opText, "x"), wsconn.Protocol},
		{"RSV2 beside RSV1", deflatingRequest, clientFrame(fin|rsv1|rsv2|opText, deflate("x")), wsconn.Protocol},
		{"a bomb", deflatingRequest, clientFrame(fin|rsv1|opText, bomb()), wsconn.TooBig},
		{"one byte too much", deflatingRequest, clientFrame(fin|rsv1|opText, deflate(repeat(testConfig.MaxMessage+1))), wsconn.TooBig},
		{"one byte too much, not compressed", deflatingRequest, clientFrame(fin|opText, repeat(testConfig.MaxMessage+1)), wsconn.TooBig},
		{"no deflate data", deflatingRequest, clientFrame(fin|rsv1|opText, "\xff\xff\xff"), wsconn.Protocol},
		{"text that is not UTF-8", deflatingRequest, clientFrame(fin|rsv1|opText, deflate("\xff")), wsconn.InvalidUTF8},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, s := srv.connectWith(c.request)
			go func() { _, _ = client.Write(slices.Concat(c.input, clientFrame(fin|opText, "after"))) }()
			if e := s.expect("violation"); e.v != c.violation {
				t.Errorf("violation %v; want %v", e.v, c.violation)
			}
			code, payload, _ := client.readFrame()
			if code != fin|opClose || strings.Contains(payload, "gws") {
				t.Errorf("answered %#x %q", code, payload)
			}
		})
	}
	// All of it was one session's own business.
	c, _ := srv.connectWith(deflatingRequest)
	c.send(clientFrame(fin|rsv1|opText, deflate("well")))
	c.expect(fin|opText, "well")
}

// One frame goes to sessions with and without compression.
func contractCompressionToSome(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(compressing()), l, nil)
	text := strings.Repeat("news ", 100)
	f, err := wsconn.NewFrame(wsconn.Text, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		plain, p := srv.connect()
		deflating, d := srv.connectWith(deflatingRequest)
		if len(plain.extensions) != 0 {
			t.Errorf("negotiated %q without an offer", plain.extensions)
		}
		for _, s := range []*session{p, d} {
			if err := s.conn.Send(f); err != nil {
				t.Fatal(err)
			}
		}
		plain.expect(fin|opText, text)
		deflating.expectDeflated(fin|opText, text)
	}
	off, _ := newServer(t, newTransport(testConfig), l, nil).connectWith(deflatingRequest)
	if len(off.extensions) != 0 {
		t.Errorf("negotiated %q though compression is off", off.extensions)
	}
}
