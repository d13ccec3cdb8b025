package wsconn_test

import (
	"slices"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// validTexts and invalidTexts are those of Autobahn's test suite, sections 6.2 to 6.23.
var validTexts = []string{
	"", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε",
	"\x00", "\u0080", "\u0800", "\U00010000", // the first of each length
	"\x7f", "\u07ff", "\uffff", "\U0010ffff", // the last
	"\ud7ff", "\ue000", "\ufffd", "\ufffe", "\U0001fffe\U000fffff", // beside surrogates, and no characters
}

// invalidTexts are split at the first byte that is wrong.
var invalidTexts = [][2]string{
	{"κόσμε\xed", "\xa0\x80edited"},     // a surrogate
	{"κόσμε\xf4", "\x90\x80\x80edited"}, // above U+10FFFF
	{"", "\xf8\x88\x80\x80\x80"},        // five bytes
	{"", "\xfc\x84\x80\x80\x80\x80"},    // six
	{"", "\xf7\xbf\xbf\xbf"},            // four, above all
	{"", "\x80"},
	{"", "\xbf\x80"},
	{"a", "\xbf\x80\xbf"}, // continuations of nothing
	{"", "\xc0 \xc1 "},
	{"\xe0", " \xe1 "},
	{"\xf0", " \xf1 "}, // beginnings without their end
	{"\xe0\xa0", "\xc0"},
	{"\xf0\x90\x80", "\xe0"}, // followed by another
	{"", "\xfe"},
	{"", "\xff"},
	{"", "\xfe\xfe\xff\xff"}, // impossible
	{"", "\xc0\xaf"},
	{"\xe0", "\x80\xaf"},
	{"\xf0", "\x80\x80\xaf"}, // longer than needed
	{"", "\xc1\xbf"},
	{"\xe0", "\x9f\xbf"},
	{"\xf0", "\x8f\xbf\xbf"},
	{"\xed", "\xad\xbf\xed\xb0\x80"},
	{"\xed", "\xaf\xbf\xed\xbf\xbf"}, // pairs of surrogates
}

// cutTexts end amid a rune.
var cutTexts = []string{"\xc3", "\xe0\xa0", "\xf0\x90\x80", "κόσμ\xce", "\xef\xbf", "\xf4\x8f\xbf"}

// bytewise is text as frames of a byte each, with a ping before each but the first, and the
// last of them with FIN, if any.
func bytewise(text string, last bool) (frames []byte) {
	first := byte(opText)
	for i := range len(text) {
		if last && i == len(text)-1 {
			first |= fin
		}
		frames = append(frames, clientFrame(first, text[i:i+1])...)
		if first&fin == 0 {
			frames = append(frames, clientFrame(fin|opPing, "p")...)
		}
		first = opContinuation
	}
	return frames
}

// contractText: what is UTF-8 arrives however it comes.
func contractText(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	c, _ := newServer(t, newTransport(testConfig), l, echoing).connect()
	for _, text := range validTexts {
		c.send(clientFrame(fin|opText, text))
		c.expect(fin|opText, text)
		for _, b := range clientFrame(fin|opText, text) {
			c.send([]byte{b})
		}
		c.expect(fin|opText, text)
		if text == "" {
			continue
		}
		go func() { _, _ = c.Write(bytewise(text, true)) }()
		for range len(text) - 1 {
			c.expect(fin|opPong, "p")
		}
		c.expect(fin|opText, text)
		c.send(clientFrame(opText, ""), clientFrame(opContinuation, text), clientFrame(fin|opContinuation, ""))
		c.expect(fin|opText, text)
	}
}

// contractBadText: what is not UTF-8 is refused at its first wrong byte, whatever would
// come, and what came before has been heard.
func contractBadText(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, echoing)
	refused := func(pongs int, pieces ...[]byte) {
		t.Helper()
		c, s := srv.connect()
		go func() {
			for _, p := range pieces {
				_, _ = c.Write(p)
			}
		}()
		for range pongs {
			c.expect(fin|opPong, "p")
		}
		c.expect(fin|opClose, closePayload(1007, ""))
		c.expectEOF()
		_ = c.Close()
		for range pongs {
			s.expect("ping")
		}
		if e := s.expectAny(); e.kind != "violation" || e.v != wsconn.InvalidUTF8 {
			t.Errorf("%q: %+v; want the violation and nothing else", pieces, e)
		}
		s.expect("closed")
	}
	rest := repeat(200)
	for _, text := range invalidTexts {
		good, bad := text[0], text[1]
		whole := clientFrame(fin|opText, good+bad+rest)
		header := len(whole) - len(good+bad+rest)
		refused(0, whole)
		refused(0, slices.Concat(whole, clientFrame(fin|opPing, "behind")))
		refused(0, whole[:header+len(good)+1])                                                 // nothing else comes
		refused(0, whole[:header+len(good)], whole[header+len(good):][:1])                     //
		refused(0, clientFrame(opText, good), clientFrame(opContinuation, bad))                // the message goes on
		refused(0, slices.Concat(clientFrame(opText, good+bad), clientFrame(fin|opPing, "p"))) // a ping behind does not pass
		refused(len(good), bytewise(good+bad, false))
	}
	for _, text := range cutTexts {
		refused(0, clientFrame(fin|opText, text))
		refused(len(text)-1, bytewise(text, true))
		refused(1, clientFrame(opText, text), clientFrame(fin|opPing, "p"), clientFrame(fin|opContinuation, ""))
	}

	// No session has a window: what is compressed is judged when it has ended.
	c, s := newServer(t, newTransport(compressing()), l, echoing).connectWith(deflatingRequest)
	deflated := deflate("\xff" + rest)
	c.send(clientFrame(rsv1|opText, deflated), clientFrame(fin|opPing, "p"))
	c.expect(fin|opPong, "p")
	s.expect("ping")
	c.send(clientFrame(fin|opContinuation, ""))
	c.expect(fin|opClose, closePayload(1007, ""))
	// What is not compressed is judged as it comes there too.
	c, _ = newServer(t, newTransport(compressing()), l, echoing).connectWith(deflatingRequest)
	c.send(clientFrame(opText, "\xff"))
	c.expect(fin|opClose, closePayload(1007, ""))
}
