package main

import (
	"encoding/binary"
	"net/http"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbioServer is lesismal/nbio as a server of its own: epoll, no goroutine per
// connection, payloads given back to its pool.
type nbioServer struct {
	conns  *registry[*websocket.Conn]
	engine *nbhttp.Engine
}

func startNBIO(addr string) (peer, error) {
	logging.SetLevel(logging.LevelError)
	s := &nbioServer{conns: newRegistry[*websocket.Conn]()}
	mux := http.NewServeMux()
	s.engine = nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{addr}, Handler: mux,
		IOMod:                   nbhttp.IOModNonBlocking,
		ReleaseWebsocketPayload: true,
		SupportServerOnly:       true,      // no pool of goroutines for clients
		KeepaliveTime:           time.Hour, // the deadline of the last request, which stays
		// Nothing blocks in what is called, so no goroutine is needed for it.
		ServerExecutor: func(f func()) { f() },
	})
	mux.HandleFunc("/ws", s.handler(false))
	mux.HandleFunc("/echo", s.handler(true))
	return s, s.engine.Start()
}

func (s *nbioServer) handler(echo bool) http.HandlerFunc {
	u := websocket.NewUpgrader()
	u.Engine = s.engine
	// Like the others: no deadline that each message moves.
	u.KeepaliveTime = 0
	u.OnOpen(s.conns.add)
	u.OnClose(func(c *websocket.Conn, _ error) { s.conns.remove(c) })
	if echo {
		u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, payload []byte) {
			_ = c.WriteMessage(kind, payload)
		})
	}
	return func(w http.ResponseWriter, r *http.Request) { _, _ = u.Upgrade(w, r, nil) }
}

// broadcast builds the frame once and writes it beneath the WebSocket layer, which
// has nothing like a prepared message. A write is one whole frame here and in
// WriteMessage, and nbio copies what the socket does not take.
func (s *nbioServer) broadcast(payload []byte) int {
	frame := append(binaryHeader(len(payload)), payload...)
	return s.conns.each(func(c *websocket.Conn) { _, _ = c.Conn.Write(frame) })
}

// binaryHeader is the head of an unmasked final frame of at most 64 KiB - 1.
func binaryHeader(n int) []byte {
	const finalBinary = 0x82
	if n < 126 {
		return []byte{finalBinary, byte(n)}
	}
	return binary.BigEndian.AppendUint16([]byte{finalBinary, 126}, uint16(n))
}
