package probe

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/prometheus/procfs"
)

const stateListen = 0x0A // of /proc/net/tcp

// Listener finds the process of this machine that listens on addr; of several
// (SO_REUSEPORT) the one with the lowest id. It reads the table of all TCP
// sockets and the descriptors of all processes it may: call it before there are many.
func Listener(addr netip.AddrPort) (pid int, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	var sockets []string
	//lint:ignore SA1019 one look before the run; netlink would be one dependency more for it
	for _, table := range []func() (procfs.NetTCP, error){fs.NetTCP, fs.NetTCP6} {
		lines, err := table()
		if err != nil {
			continue // no IPv6
		}
		for _, line := range lines {
			if line.St == stateListen && line.LocalPort == uint64(addr.Port()) && covers(line.LocalAddr, addr.Addr()) {
				sockets = append(sockets, fmt.Sprintf("socket:[%d]", line.Inode))
			}
		}
	}
	if len(sockets) == 0 {
		return 0, fmt.Errorf("nobody listens on %s on this machine", addr)
	}
	processes, err := procfs.AllProcs()
	if err != nil {
		return 0, err
	}
	slices.SortFunc(processes, func(a, b procfs.Proc) int { return a.PID - b.PID })
	for _, process := range processes {
		targets, err := process.FileDescriptorTargets()
		if err != nil {
			continue // gone, or not ours to look at
		}
		if slices.ContainsFunc(targets, func(target string) bool { return slices.Contains(sockets, target) }) {
			return process.PID, nil
		}
	}
	return 0, fmt.Errorf("the process that listens on %s cannot be seen by this user", addr)
}

// covers reports whether a socket bound to bound takes connections to addr.
func covers(bound net.IP, addr netip.Addr) bool {
	return bound.IsUnspecified() || bound.Equal(addr.AsSlice())
}
