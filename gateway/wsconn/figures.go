package wsconn

import "sync/atomic"

// Figures is what a transport has done so far, and does now.
type Figures struct {
	// Received and Sent are bytes after the handshake, with the headers of frames. Under
	// TLS they are those within it.
	Received, Sent uint64
	// OnLoops and OnGoroutines are the connections of now.
	OnLoops, OnGoroutines int64
	// Fallbacks counts the connections that no loop could take.
	Fallbacks [fallbackCount]uint64
	// IOUring says that loops use it.
	IOUring bool
}

// Fallback is why a connection is carried by a goroutine though there are loops.
type Fallback uint8

// The reasons.
const (
	FallbackTLS         Fallback = iota
	FallbackKind                 // neither TCP nor an end of Pipe
	FallbackNoLoop               // no loop could be made, for lack of descriptors as a rule
	FallbackDescriptors          // its own descriptor could not be had
	fallbackCount
)

// String is the label of a metric.
func (f Fallback) String() string {
	return [fallbackCount]string{"tls", "kind", "no_loop", "descriptors"}[f]
}

// Fallbacks lists all reasons.
func Fallbacks() (all []Fallback) {
	for f := range fallbackCount {
		all = append(all, f)
	}
	return all
}

// traffic counts the bytes of some connections, so that those of others, on other
// processors, do not wait for the same memory.
type traffic struct {
	received, sent atomic.Uint64
	_              [48]byte
}

const trafficShards = 16

// Figures counts its connections' traffic.
func (t *Goroutine) Figures() (f Figures) {
	for i := range t.traffic {
		f.Received += t.traffic[i].received.Load()
		f.Sent += t.traffic[i].sent.Load()
	}
	f.OnGoroutines = t.open.Load()
	return f
}

// shard is the traffic of the next connection.
func (t *Goroutine) shard() *traffic { return &t.traffic[t.opened.Add(1)%trafficShards] }
