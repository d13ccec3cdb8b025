package wsconn

import "golang.org/x/sys/unix"

// ackedBy is how many bytes the peer of the TCP socket has acknowledged in all; false if
// the kernel does not tell, as for one of Multipath TCP, of which it tells a part.
func ackedBy(fd int) (bytes uint64, known bool) {
	if protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || protocol != unix.IPPROTO_TCP {
		return 0, false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return info.Bytes_acked, true
}

func (s *sockets) acked(fd int32) (uint64, bool) { return ackedBy(int(fd)) }

func (m *memory) acked(int32) (uint64, bool) { return 0, false }
