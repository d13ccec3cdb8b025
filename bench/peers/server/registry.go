package main

import "sync"

// registry is the open connections.
type registry[C comparable] struct {
	mu    sync.Mutex
	conns map[C]struct{}

	fanOut   sync.Mutex // one broadcast at a time
	receiver []C        // those of the running broadcast, reused
}

func newRegistry[C comparable]() *registry[C] {
	return &registry[C]{conns: map[C]struct{}{}}
}

func (r *registry[C]) add(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c] = struct{}{}
}

func (r *registry[C]) remove(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// each calls send for every connection, without the registry's lock, and returns
// how many they are.
func (r *registry[C]) each(send func(C)) int {
	r.fanOut.Lock()
	defer r.fanOut.Unlock()
	r.mu.Lock()
	for c := range r.conns {
		r.receiver = append(r.receiver, c)
	}
	r.mu.Unlock()
	n := len(r.receiver)
	for _, c := range r.receiver {
		send(c)
	}
	clear(r.receiver)
	r.receiver = r.receiver[:0]
	if n == 0 {
		r.receiver = nil
	}
	return n
}
