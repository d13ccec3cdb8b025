package main

import (
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/rs/zerolog"
)

// handshakes is a listener that bounds the connections that are no session yet, which
// nobody else counts. Who comes beyond waits in the kernel's queue (listen(2)): so a
// storm of clients, or clients that say nothing, cannot take the files that sessions
// and the admin listener need. Its server has to tell what becomes of connections.
type handshakes struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	once   sync.Once
	log    zerolog.Logger
}

func limitHandshakes(l net.Listener, most int, log zerolog.Logger) *handshakes {
	return &handshakes{Listener: l, places: make(chan struct{}, most), done: make(chan struct{}), log: log}
}

// Accept implements net.Listener. It waits for a place before it accepts.
func (h *handshakes) Accept() (net.Conn, error) {
	select {
	case h.places <- struct{}{}:
	case <-h.done:
		return nil, net.ErrClosed
	}
	conn, err := h.Listener.Accept()
	if err != nil {
		<-h.places
		if !errors.Is(err, net.ErrClosed) {
			h.log.Warn().Err(err).Msg("Cannot accept a connection")
		}
	}
	return conn, err
}

// Close implements net.Listener.
func (h *handshakes) Close() error {
	h.once.Do(func() { close(h.done) })
	return h.Listener.Close()
}

// changed is the server's http.Server.ConnState.
func (h *handshakes) changed(_ net.Conn, state http.ConnState) {
	if state == http.StateHijacked || state == http.StateClosed { // each ends with one of them
		<-h.places
	}
}
