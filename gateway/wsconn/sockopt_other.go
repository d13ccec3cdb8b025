//go:build !linux

package wsconn

import (
	"context"
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT.
func setUserTimeout(*net.TCPConn, time.Duration) {}

func listen(ctx context.Context, network, address string, _ socketOptions) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}
