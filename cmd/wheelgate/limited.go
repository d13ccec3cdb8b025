package main

import (
	"net"
	"net/http"
	"sync"
)

// limited is a listener that bounds the connections of its server, sessions not
// counted, which the server has to tell of. Who comes beyond waits in the kernel's queue
// (listen(2)): so a storm of clients, or clients that say nothing, cannot take the
// files that sessions and the other listener need.
type limited struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	once   sync.Once
	full   func() // before a connection has to wait
}

func limitConnections(l net.Listener, most int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, most), done: make(chan struct{}), full: func() {}}
}

// Accept implements net.Listener. It waits for a place before it accepts.
func (l *limited) Accept() (net.Conn, error) {
	if len(l.places) == cap(l.places) {
		l.full()
	}
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
	}
	return conn, err
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// changed is the server's http.Server.ConnState.
func (l *limited) changed(_ net.Conn, state http.ConnState) {
	if state == http.StateHijacked || state == http.StateClosed { // each ends with one of them
		<-l.places
	}
}
