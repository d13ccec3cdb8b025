package loadtest

import "sync/atomic"

// level is how many connections are open, over all lanes, and the most that were so
// at one moment.
type level struct{ now, most atomic.Int64 }

func (l *level) rise() { l.raise(l.now.Add(1)) }

func (l *level) fall() { l.now.Add(-1) }

func (l *level) raise(n int64) {
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
}

// peak is the most since the last call, and begins anew from what is open.
func (l *level) peak() int {
	most := l.most.Swap(0)
	l.raise(l.now.Load())
	return int(most)
}
