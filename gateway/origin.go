package gateway

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// originAllowed reports whether a page of this origin may connect to host. The
// scheme is not compared with ours, which a proxy in front may have changed.
func originAllowed(origin []string, host string, allowed []string) bool {
	if len(origin) == 0 {
		return true
	}
	if slices.Contains(allowed, "*") {
		return true
	}
	if len(origin) > 1 {
		return false
	}
	if len(allowed) > 0 {
		return slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, origin[0]) })
	}
	u, err := url.Parse(origin[0])
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// CheckOrigin reports what is wrong with an entry of Config.AllowOrigins. It is "*"
// or an origin as browsers send it, but in any case: scheme://host[:port] without a
// default port. A host has no wildcard, and its name is in ASCII (RFC 5890).
func CheckOrigin(origin string) error {
	if origin == "*" || isOrigin(origin) {
		return nil
	}
	return fmt.Errorf("gateway: origin %q: must be * or scheme://host[:port] as browsers send it: "+
		"the page's scheme (https, not wss), no wildcard in the host, no default port, other letters than ASCII in punycode", origin)
}

// isOrigin reports whether a browser may send s. Another form of the same origin
// would be an entry that never matches.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return false
	}
	sent := u.Host
	switch u.Scheme {
	case "", "ws", "wss": // no page has these
		return false
	case "http":
		sent = hostPort(u, 80)
	case "https":
		sent = hostPort(u, 443)
	}
	return strings.EqualFold(s, u.Scheme+"://"+sent)
}

// hostPort is the host and port of u as browsers send it (the URL standard of
// WHATWG), "" if none would.
func hostPort(u *url.URL, defaultPort uint64) string {
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		host = "[" + addr.String() + "]"
	} else if err != nil && !isDomain(host) {
		return ""
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == defaultPort {
		return host
	}
	return host + ":" + strconv.FormatUint(port, 10)
}

// isDomain reports whether a page may come from a host of this name. One that ends
// in a number is an IPv4 address in a form that browsers rewrite.
func isDomain(name string) bool {
	number := false
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
		number = strings.Trim(label, "0123456789") == ""
	}
	return !number
}
