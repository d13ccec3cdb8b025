// Package gateway is the server as a library: it takes WebSocket connections
// over from net/http, keeps a Session for each, sends to one or to all, and
// closes those that are inactive, silent, slow, or left when the process drains.
// It does not own the process: listeners, flags and signals are the caller's.
//
// # Flow
//
//	ServeHTTP: handshake.go checks the request -> wsconn takes the socket -> hub.go registers the Session
//	input:     wsconn -> Session (session.go) -> a stamp, Hooks.Message
//	output:    Broadcast, Session.Send -> the connection's outbox -> the socket
//	time:      wheel -> expiry.go asks deadline.go what is due -> ping, close, abort
//	end:       Session.close with a reason (reason.go) -> close frame -> wait -> released
//
// # Locks
//
// A hub shard's lock, a connection's outbox lock and a wheel shard's lock are
// leaves here: none is held while another of them is taken, nor across what may
// block. Gateway.publish orders broadcasts and is taken before them. Within a
// loop of wsconn a connection's lock comes before the loop's; who sends to many there
// has those of some at once, and waits for no other meanwhile. A budget's lock is a leaf
// below all of them: the budget tells a connection to give memory back without it.
//
// # Goroutines
//
//	goroutine       owner      ends
//	wheel's         Run        when the last session has gone
//	reporter        Run        the same
//	watcher         Run        the same
//	loops           wsconn     with the last session, after the drain
//	connection's    wsconn     with the connection; none on a loop
//	budget's        wsconn     when the connections are within its bound again
//	fan-out         Broadcast  before it returns
package gateway
