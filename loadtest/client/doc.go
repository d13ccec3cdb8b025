// Package client is the load tool's WebSocket client (RFC 6455): very many
// connections in one process, on few goroutines.
//
// A Crowd has one event loop per core. A loop owns an epoll set, one read buffer,
// one write buffer and its connections; a connection that is idle is a descriptor and
// a struct of less than 100 bytes: no goroutine, no buffer. What a connection
// holds beyond that lasts only as long as it is needed: the head of the server's
// answer during the handshake, the begun message while it is incomplete, the bytes
// a full socket did not take.
//
// Connections to wss:// targets, and all connections on systems without epoll,
// have a goroutine and a 4 KiB buffer each behind the same contract: the loop still
// makes every Handler call and every method still belongs to the loop. They cost
// accordingly; Room and the figures of the benchmarks speak of ws:// on Linux.
//
// # Time
//
// Where messages are sent by a schedule, a loop reads when it sends and not in between:
// it wakes once for a message instead of twice. When bytes arrived is the kernel's
// word (SO_TIMESTAMPNS), so neither that nor a loop that is late makes an answer look
// late; what is sent late does, since that counts from when it was due.
//
// # Goroutines
//
//	what                  starts         ends
//	Loop.run, per loop    New            Crowd.Close
//	link.run, per wss     Loop.Dial      the connection's end, at the latest Crowd.Close
//	link.send, wss        a write        that write's end
//
// # Masks
//
// A client has to mask its frames with a key that cannot be foreseen, so that a script
// in a browser cannot put bytes of its choice on the wire and fool a proxy (RFC 6455
// section 10.3). No foreign script chooses what a load tool sends, so a key per loop,
// drawn once, protects as much as a key per frame and costs nothing. With a key of zero a
// server might skip unmasking, and look better than it is: that is one key in 2^32.
//
// # Why not a library
//
// A goroutine with a read buffer for each connection costs some 7 KB and a wake-up
// for each message; the tool would be slower than the servers it is to measure.
package client
