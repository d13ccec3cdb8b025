package wsconn

import (
	"bytes"
	"testing"
)

// TestReadAheadIsKeptWhole: however little a loop reads of a connection for now, it has
// taken all that was read ahead of it from the socket, and needs all of it.
func TestReadAheadIsKeptWhole(t *testing.T) {
	poller, err := newSockets()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.release()
	for _, held := range []int{0, mostKept} {
		for _, window := range []uint8{0, maxWindow} {
			l := &loop{poller: poller, input: make([]byte, loopBuffer)}
			l.kept.bytes = held
			c := &loopConn{fd: -1, guard: guard{window: window}}
			read := bytes.Repeat([]byte("abc"), aheadBytes)[:aheadBytes]
			n, errno := l.finishRead(c, transfer{p: read, n: len(read)}, l.inputFor(c))
			if errno != 0 || !bytes.Equal(l.input[:n], read) {
				t.Errorf("with %d bytes kept, window %d: %d of %d bytes are left, %v", held, window, n, len(read), errno)
			}
		}
	}
}
