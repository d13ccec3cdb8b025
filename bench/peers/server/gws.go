package main

import (
	"net/http"

	"github.com/lxzan/gws"
)

// gwsServer is lxzan/gws behind net/http, a reading goroutine per connection.
type gwsServer struct {
	conns *registry[*gws.Conn]
}

// startGWS starts it; readBuffer 0 is gws's default.
func startGWS(addr string, readBuffer int) (peer, error) {
	s := &gwsServer{conns: newRegistry[*gws.Conn]()}
	mux := http.NewServeMux()
	mux.Handle("/ws", s.handler(gwsEvents{conns: s.conns}, readBuffer))
	mux.Handle("/echo", s.handler(gwsEvents{conns: s.conns, echo: true}, readBuffer))
	return s, serveHTTP(addr, mux)
}

func (s *gwsServer) handler(events gwsEvents, readBuffer int) http.HandlerFunc {
	upgrader := gws.NewUpgrader(events, &gws.ServerOption{ReadBufferSize: readBuffer})
	return func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop()
	}
}

func (s *gwsServer) broadcast(payload []byte) int {
	b := gws.NewBroadcaster(gws.OpcodeBinary, payload)
	defer b.Close()
	return s.conns.each(func(c *gws.Conn) { _ = b.Broadcast(c) })
}

// gwsEvents keeps the registry, and echoes.
type gwsEvents struct {
	gws.BuiltinEventHandler
	conns *registry[*gws.Conn]
	echo  bool
}

func (e gwsEvents) OnOpen(c *gws.Conn) { e.conns.add(c) }

func (e gwsEvents) OnClose(c *gws.Conn, _ error) { e.conns.remove(c) }

func (e gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if e.echo {
		_ = c.WriteMessage(m.Opcode, m.Bytes())
	}
}
