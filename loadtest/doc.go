// Package loadtest is the load engine: one process's part of a run against a
// WebSocket server. Package fleet divides a run among processes and machines.
//
// # Open model
//
// Work is due by schedule, whatever became of the work before: item k of a series
// is due k/rate after its begin. Every latency runs from there, so that a server
// that stalls is charged with all that waited behind the stall; a tool that is
// late is found out by the lag (begun minus due) and by the counts of late and
// dropped work.
//
// # When a session is due to expire
//
// The server's clock of a session begins with what it saw last; the client can
// only say before when that cannot have been. So that a correct server is never
// called early, a session's last activity here is the latest moment that is
// surely not after the server's:
//
//   - of the handshake, when the TCP connection stood: the request was sent after it;
//   - of a message to the server, just before it was sent; its echo counts as this;
//   - of a broadcast, when it was due: it was not triggered before;
//   - of anything else the server sends, nothing: when it was sent is unknown.
//
// Closed before that plus the timeout is early, and a fault of the server. What is
// reported as lateness is counted from there too, so it holds the time that the
// handshake or the broadcast took, and is never flattered.
//
// # Goroutines
//
// Run has one of its own and returns after the crowd's loops have ended. All else
// about a connection happens on its loop, and needs no lock.
package loadtest
