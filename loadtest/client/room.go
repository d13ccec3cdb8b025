package client

import (
	"fmt"
	"net/netip"
)

// spareFiles are left for the process itself: its logs, results, control connections.
const spareFiles = 32

// LoopbackSources returns n addresses of 127.0.0.0/8 from 127.0.0.1 on, to dial
// loopback targets from. One for each 5,000 connections keeps connect(2) fast: it tries
// one port after the other, and had to try thousands when most of an address's are
// taken (19,000 connections from one address: four times the CPU). On Linux all of them are there without configuration. n is cut
// to what there is, 16,777,214.
func LoopbackSources(n int) []netip.Addr {
	const most = 1<<24 - 2 // all but the network and the broadcast address
	sources := make([]netip.Addr, min(max(n, 0), most))
	next := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for i := range sources {
		sources[i] = next
		next = next.Next()
	}
	return sources
}

// Room says how many connections to targets this process can hold, dialling from
// sources (none: the kernel's choice, one address), beside the files it has open now;
// and which limit comes first, with what moves it. Ports that others use, or that are in
// TIME_WAIT, are not known to it. A limit that cannot be read is taken as none.
func Room(targets []*Target, sources []netip.Addr) (n int, limit string) {
	n, limit = roomForFiles()
	ends := make(map[netip.AddrPort]struct{})
	for _, t := range targets {
		ends[t.addr] = struct{}{}
	}
	from, to, ok := portRange()
	if !ok {
		return n, limit
	}
	ports := (to - from + 1) * max(1, len(sources)) * max(1, len(ends))
	if ports >= n {
		return n, limit
	}
	return ports, fmt.Sprintf("local ports: %d to %d from %d source address(es) to %d destination(s) "+
		"(more source addresses, or sysctl net.ipv4.ip_local_port_range)", from, to, max(1, len(sources)), max(1, len(ends)))
}
