package main

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// gorillaServer is gorilla/websocket, a reading goroutine per connection, with
// small read buffers and a pool of write buffers. Writers take turns by a mutex,
// which costs less than the usual second goroutine and its channel.
type gorillaServer struct {
	conns    *registry[*gorillaConn]
	upgrader websocket.Upgrader
}

// gorillaConn is a connection that the broadcast and the echo may write to.
type gorillaConn struct {
	mu sync.Mutex
	*websocket.Conn
}

func startGorilla(addr string) (peer, error) {
	s := &gorillaServer{
		conns: newRegistry[*gorillaConn](),
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { s.upgrade(w, r, false) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { s.upgrade(w, r, true) })
	return s, serveHTTP(addr, mux)
}

func (s *gorillaServer) upgrade(w http.ResponseWriter, r *http.Request, echo bool) {
	socket, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &gorillaConn{Conn: socket}
	s.conns.add(c)
	// A goroutine of its own lets go of what net/http holds for the request.
	go s.read(c, echo)
}

func (s *gorillaServer) read(c *gorillaConn, echo bool) {
	defer func() {
		s.conns.remove(c)
		_ = c.Close()
	}()
	for {
		kind, payload, err := c.ReadMessage()
		if err != nil {
			return
		}
		if !echo {
			continue
		}
		c.mu.Lock()
		err = c.WriteMessage(kind, payload)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *gorillaServer) broadcast(payload []byte) int {
	m, err := websocket.NewPreparedMessage(websocket.BinaryMessage, payload)
	if err != nil {
		return 0
	}
	return s.conns.each(func(c *gorillaConn) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.WritePreparedMessage(m)
	})
}
