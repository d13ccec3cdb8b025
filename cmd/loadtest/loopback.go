package main

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"time"
)

// loopback is the address of a URL, if it is of this machine.
func loopback(text string) (netip.AddrPort, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return netip.AddrPort{}, false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(addrs) == 0 || !addrs[0].Unmap().IsLoopback() {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(addrs[0].Unmap().String(), port))
	return addr, err == nil
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
