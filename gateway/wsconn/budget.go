package wsconn

import "sync/atomic"

// budget bounds what unfinished messages take in all connections of a transport.
type budget struct {
	limit int64 // bytes; 0: none
	used  atomic.Int64
}

// settle makes now what one connection takes, counted before as *counted. It
// reports false when that is more than before and more than there is.
func (b *budget) settle(counted *int, now int) bool {
	more := now - *counted
	if more == 0 {
		return true
	}
	*counted = now
	return b.used.Add(int64(more)) <= b.limit || more < 0 || b.limit == 0
}
