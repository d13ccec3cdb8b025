package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// anyHost is the entry of Config.AllowHosts that says so.
const anyHost = "*"

// hostName is a Host header, or an entry of Config.AllowHosts.
type hostName struct {
	name string // in lower case, without a dot at its end; an IPv6 address in brackets
	port string // "" if there is none
}

// parseHost reads host or host:port. Names that no client resolves are none of its
// business: they match no entry.
func parseHost(s string) (h hostName, ok bool) {
	h.name = s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		h.name, h.port = s[:i], s[i+1:]
	}
	if inner, found := strings.CutPrefix(h.name, "["); found {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		h.name = "[" + addr.String() + "]"
		return h, closed && err == nil && addr.Is6() && addr.Zone() == ""
	}
	h.name = strings.ToLower(strings.TrimSuffix(h.name, "."))
	return h, h.name != "" && !strings.ContainsAny(h.name, ":[]")
}

// allows reports whether the entry h is met by the header got. Without a port h is met
// by any; a header without one means a scheme's own, which a proxy may have changed.
func (h hostName) allows(got hostName) bool {
	return h.name == got.name && (h.port == "" || h.port == got.port || got.port == "" && (h.port == "80" || h.port == "443"))
}

// hostAllowed reports whether a request for this Host is for us. No entries allow any.
func hostAllowed(host string, allowed []hostName) bool {
	if len(allowed) == 0 {
		return true
	}
	got, ok := parseHost(host)
	return ok && slices.ContainsFunc(allowed, func(h hostName) bool { return h.allows(got) })
}

// allowedHosts are valid entries of Config.AllowHosts; nil allows any.
func allowedHosts(entries []string) (hosts []hostName) {
	for _, entry := range entries {
		if entry == anyHost {
			return nil
		}
		h, _ := parseHost(entry)
		hosts = append(hosts, h)
	}
	return hosts
}

// CheckHost reports what is wrong with an entry of Config.AllowHosts. It is "*" or
// host[:port], in any case: a name in ASCII (RFC 5890) without a wildcard, an IPv4
// address, or an IPv6 address in brackets.
func CheckHost(entry string) error {
	if entry == anyHost {
		return nil
	}
	h, ok := parseHost(entry)
	port, err := strconv.ParseUint(h.port, 10, 16)
	if h.port == "" && !strings.HasSuffix(entry, ":") || err == nil && strconv.FormatUint(port, 10) == h.port && port > 0 {
		addr, err := netip.ParseAddr(h.name)
		if ok && (h.name[0] == '[' || err == nil && addr.Is4() || isDomain(h.name)) {
			return nil
		}
	}
	return fmt.Errorf("gateway: host %q: must be * or host[:port]: a name in ASCII without a wildcard, "+
		"an IPv4 address or an IPv6 address in brackets, and a port from 1 to 65535", entry)
}
