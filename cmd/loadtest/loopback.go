package main

import (
	"net/netip"
	"runtime"

	"github.com/wheelgate/wheelgate/loadtest/client"
)

// loopback is the address that the client takes for a URL, if it is of this machine.
func loopback(text string) (netip.AddrPort, bool) {
	target, err := client.NewTarget(text, nil, nil)
	if err != nil || !target.Addr().Addr().IsLoopback() {
		return netip.AddrPort{}, false
	}
	return target.Addr(), true
}

// perSource is how many connections from one address to another are easy to have.
// Linux gives connect ports of one parity first, of which it has 14,000; then each
// connect looks at all of these before it tries the others, for milliseconds.
const perSource = 10_000

// loopbackSources are addresses to connect from, where all targets are of this
// machine, which has all of 127.0.0.0/8, and one source would run short of ports. None
// is the kernel's choice. As there is no common divisor with the targets, each
// source goes to each target.
func loopbackSources(urls []string, connections int) []netip.Addr {
	if runtime.GOOS != "linux" {
		return nil
	}
	for _, text := range urls {
		if addr, ok := loopback(text); !ok || !addr.Addr().Is4() {
			return nil
		}
	}
	n := (connections/len(urls) + perSource) / perSource
	if n == 1 {
		return nil
	}
	for divisor(n, len(urls)) > 1 {
		n++
	}
	sources := make([]netip.Addr, min(n, 250))
	for i := range sources {
		sources[i] = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)})
	}
	return sources
}

// divisor is the greatest common one.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
