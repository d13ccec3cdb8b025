//go:build !linux

package wsconn

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT.
func setUserTimeout(*net.TCPConn, time.Duration) {}

func listenConfig(time.Duration) net.ListenConfig { return net.ListenConfig{} }
