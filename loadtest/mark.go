package loadtest

import (
	"bytes"
	"strconv"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// A message of a run begins with its mark: "wgl:", the run's id, kind and number
// in fixed places, so that it is found in a payload that a server has wrapped.
//
//	wgl:0123abcd:e:000000000042:............
const (
	markPrefix   = "wgl:"
	runLength    = 8
	numberLength = 12
	numberAt     = len(markPrefix) + runLength + 3
	markLength   = numberAt + numberLength + 1
)

// kindEcho and kindBroadcast are the kinds of messages.
const (
	kindEcho      = 'e'
	kindBroadcast = 'b'
)

// Payload makes message number k of a run, with a mark and dots up to size bytes.
func Payload(run string, kind byte, k, size int) []byte {
	p := bytes.Repeat([]byte{'.'}, max(size, scenario.MinBytes))
	copy(p, markPrefix+run+":"+string(kind)+":")
	p[markLength-1] = ':'
	number(p, k)
	return p
}

// BroadcastPayload makes broadcast number k of a run.
func BroadcastPayload(run string, k, size int) []byte { return Payload(run, kindBroadcast, k, size) }

// number writes k into a payload's mark.
func number(p []byte, k int) {
	for i := numberAt + numberLength - 1; i >= numberAt; i-- {
		p[i] = byte('0' + k%10)
		k /= 10
	}
}

// marked finds the mark of a run in a payload; prefix is "wgl:RUN:".
func marked(prefix, payload []byte) (kind byte, k int, ok bool) {
	at := 0
	if !bytes.HasPrefix(payload, prefix) {
		if at = bytes.Index(payload, prefix); at < 0 {
			return 0, 0, false
		}
	}
	if len(payload) < at+markLength {
		return 0, 0, false
	}
	m := payload[at : at+markLength]
	k, err := strconv.Atoi(string(m[numberAt : numberAt+numberLength])) // does not escape: no allocation
	return m[numberAt-2], k, err == nil && k >= 0
}
