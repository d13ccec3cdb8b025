package wsconn_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestLoopTurnsAreShort: who sends at the same time as others that flood is heard after a
// bounded part of what those have sent, and they are heard wholly all the same.
func TestLoopTurnsAreShort(t *testing.T) {
	empty := clientFrame(fin|opBinary, "")
	fragments := bytes.Join([][]byte{clientFrame(opBinary, ""), clientFrame(fin|opPing, ""), clientFrame(fin, "")}, nil)
	bomb := clientFrame(fin|rsv1|opBinary, deflate(repeat(60_000)))
	t.Run("empty frames", func(t *testing.T) { testShortTurns(t, request, empty, 8000, 128) })
	t.Run("fragments", func(t *testing.T) { testShortTurns(t, request, fragments, 3000, 43) })
	t.Run("bombs", func(t *testing.T) { testShortTurns(t, deflatingRequest, bomb, 40, 2) })
}

// testShortTurns has two clients send so many messages, and one amid them a single one,
// which may come after most of the messages of both.
func testShortTurns(t *testing.T, request string, message []byte, messages, most int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one loop
	held, goOn, heard := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	flood := atomic.Int64{} // messages
	srv := newServer(t, newLoop(t)(compressing()), links[0], func(s *session) {
		s.react = func(e event) {
			switch {
			case e.payload == "hold":
				close(held)
				<-goOn
			case e.payload == "hello":
				heard <- int(flood.Load())
			case e.kind == "message":
				flood.Add(1)
			}
		}
	})
	var clients []*client
	for range 3 {
		c, _ := srv.connectWith(request)
		clients = append(clients, c)
	}
	holder, _ := srv.connect()
	holder.send(clientFrame(fin|opText, "hold"))
	<-held
	whole := bytes.Repeat(message, messages)
	for i, c := range clients {
		sent := whole
		if i == 1 {
			sent = clientFrame(fin|opText, "hello")
		}
		c.send(sent)
	}
	close(goOn)
	if before := <-heard; before > 2*most {
		t.Errorf("heard after %d of %d messages of others, want %d at most", before, 2*messages, 2*most)
	}
	eventually(t, "the others to be heard", func() bool { return flood.Load() == int64(2*messages) })
}

// TestGoroutineTurnsAreShort: other goroutines run amid what one connection floods with.
func TestGoroutineTurnsAreShort(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const messages = 8000
	flood, ran := atomic.Int64{}, make(chan int64, 1)
	srv := newServer(t, wsconn.NewGoroutine(testConfig), links[3], func(s *session) {
		s.react = func(e event) {
			if flood.Add(1) == 1 {
				go func() { ran <- flood.Load() }()
			}
		}
	})
	c, _ := srv.connect()
	c.send(bytes.Repeat(clientFrame(fin|opBinary, ""), messages))
	if before := <-ran; before > 100 {
		t.Errorf("ran after %d of %d messages", before, messages)
	}
	eventually(t, "all to be heard", func() bool { return flood.Load() == messages })
}

// TestKeptInputStaysInOrder: what a turn left over comes in order, then what follows it.
func TestKeptInputStaysInOrder(t *testing.T) {
	for _, l := range []link{links[0], links[3]} {
		for _, request := range []string{request, deflatingRequest} {
			t.Run(fmt.Sprint(l.name, len(request)), func(t *testing.T) { testKeptOrder(t, l, request) })
		}
	}
}

func testKeptOrder(t *testing.T, l link, request string) {
	srv := newServer(t, newLoop(t)(compressing()), l, nil)
	for range 4 { // beside each other
		c, s := srv.connectWith(request)
		go func() {
			for i := range 3000 {
				text := fmt.Sprint(i)
				frames := [][]byte{clientFrame(fin|opText, text)}
				switch i % 500 {
				case 7:
					frames = [][]byte{clientFrame(opText, text[:1]), clientFrame(fin|opPing, text), clientFrame(fin, text[1:])}
				case 8:
					frames = [][]byte{clientFrame(fin|opText, text+repeat(40_000))}
				}
				if _, err := c.Write(bytes.Join(frames, nil)); err != nil {
					t.Error(err)
					return
				}
			}
			_, _ = c.Write(clientFrame(fin|opClose, closePayload(1000, "")))
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		t.Cleanup(func() { checkOrder(t, s) })
	}
}

func checkOrder(t *testing.T, s *session) {
	for i := range 3000 {
		if i%500 == 7 {
			s.expect("ping")
		}
		if e := s.expect("message"); len(e.payload) < len(fmt.Sprint(i)) || e.payload[:len(fmt.Sprint(i))] != fmt.Sprint(i) {
			t.Fatalf("message %d is %.20q", i, e.payload)
		}
	}
	s.expect("peer closed")
	s.expect("closed")
}

// TestKeptInputOfClosedIsDropped: no call but Closed begins after Close.
func TestKeptInputOfClosedIsDropped(t *testing.T) {
	seen := atomic.Int64{}
	srv := newServer(t, newLoop(t)(testConfig), links[0], func(s *session) {
		s.react = func(e event) {
			if e.kind == "message" && seen.Add(1) == 150 {
				s.conn.Close(4101, "")
			}
		}
	})
	c, s := srv.connect()
	c.send(bytes.Repeat(clientFrame(fin|opBinary, ""), 1000))
	c.expect(fin|opClose, closePayload(4101, ""))
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	for e := s.expectAny(); e.kind != "closed"; e = s.expectAny() {
	}
	if n := seen.Load(); n != 150 {
		t.Errorf("%d messages, want none after the close at 150", n)
	}
}
