package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// rule is how the text of a setting is read.
type rule struct {
	kind    string // placeholder in the help
	allowed string // completes "must be"
	// set reads text into o and reports whether it was allowed.
	set func(o *options, text string) bool
}

// reading makes a rule from a parser and the field its result goes to.
func reading[T any](kind, allowed string, parse func(string) (T, bool), field func(*options) *T) rule {
	return rule{kind: kind, allowed: allowed, set: func(o *options, text string) bool {
		v, ok := parse(text)
		if ok {
			*field(o) = v
		}
		return ok
	}}
}

func duration(low, high time.Duration, field func(*options) *time.Duration) rule {
	allowed := fmt.Sprintf("a duration from %s to %s, such as 1m30s", short(low), short(high))
	return reading("duration", allowed, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= low && d <= high
	}, field)
}

func durationOrZero(low, high time.Duration, field func(*options) *time.Duration) rule {
	r := duration(low, high, field)
	r.allowed = "0s or " + r.allowed
	nonzero := r.set
	r.set = func(o *options, text string) bool {
		if d, err := time.ParseDuration(text); err == nil && d == 0 {
			*field(o) = 0
			return true
		}
		return nonzero(o, text)
	}
	return r
}

// short is d's usual form without the zero units at its end: 8760h, not 8760h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func count(low, high int, field func(*options) *int) rule {
	allowed := fmt.Sprintf("a whole number from %d to %d", low, high)
	return reading("number", allowed, func(text string) (int, bool) {
		n, ok := digits(text)
		return n, ok && n >= low && n <= high
	}, field)
}

func size(low, high int, field func(*options) *int) rule {
	allowed := fmt.Sprintf("a size from %d to %d bytes, such as 65536, 64KiB, 1MiB or 1GiB", low, high)
	return reading("size", allowed, func(text string) (int, bool) {
		unit := 1
		for i, suffix := range []string{"KiB", "MiB", "GiB"} {
			if number, ok := strings.CutSuffix(text, suffix); ok {
				text, unit = number, 1<<(10*(i+1))
				break
			}
		}
		n, ok := digits(text)
		return n * unit, ok && n <= high/unit && n*unit >= low
	}, field)
}

func sizeOrZero(low, high int, field func(*options) *int) rule {
	r := size(low, high, field)
	r.allowed = "0 or " + r.allowed
	nonzero := r.set
	r.set = func(o *options, text string) bool {
		if text == "0" {
			*field(o) = 0
			return true
		}
		return nonzero(o, text)
	}
	return r
}

// digits reads a number that is nothing but digits: no sign, no underscores.
func digits(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, strconv.IntSize-1)
	return int(n), err == nil
}

func boolean(field func(*options) *bool) rule {
	return reading("", "true or false", func(text string) (bool, bool) {
		v, err := strconv.ParseBool(text)
		return v, err == nil
	}, field)
}

func oneOf(names []string, field func(*options) *string) rule {
	last := len(names) - 1
	allowed := strings.Join(names[:last], ", ") + " or " + names[last]
	return reading("name", allowed, func(text string) (string, bool) {
		for _, name := range names {
			if text == name {
				return text, true
			}
		}
		return "", false
	}, field)
}

func logLevel(field func(*options) *zerolog.Level) rule {
	var level string
	names := oneOf([]string{"trace", "debug", "info", "warn", "error", "disabled"}, func(*options) *string { return &level })
	return reading("level", names.allowed, func(text string) (zerolog.Level, bool) {
		if !names.set(nil, text) {
			return 0, false
		}
		l, err := zerolog.ParseLevel(text)
		return l, err == nil
	}, field)
}

// transport is for a way to carry connections.
func transport(field func(*options) *wsconn.Kind) rule {
	return reading("name", "auto, loop or goroutine", func(text string) (wsconn.Kind, bool) {
		kind, err := wsconn.ParseKind(text)
		return kind, err == nil
	}, field)
}

func closeCodes(field func(*options) *gateway.CloseCodes) rule {
	return reading("name", "app or rfc", func(text string) (gateway.CloseCodes, bool) {
		codes, err := gateway.ParseCloseCodes(text)
		return codes, err == nil
	}, field)
}

func activity(field func(*options) *gateway.Activity) rule {
	return reading("list", "one or more of in, out and ping, separated by commas", func(text string) (gateway.Activity, bool) {
		a, err := gateway.ParseActivity(text)
		return a, err == nil
	}, field)
}

func origins(field func(*options) *[]string) rule {
	return checked("* or a list of scheme://host[:port] as browsers send it (https, not wss; no wildcard in the host; "+
		"no default port; other letters than ASCII in punycode), separated by commas", gateway.CheckOrigin, field)
}

func hosts(field func(*options) *[]string) rule {
	return checked("* or a list of host[:port] (no wildcard in the host; IPv6 addresses in brackets; "+
		"other letters than ASCII in punycode; a port from 1 to 65535), separated by commas", gateway.CheckHost, field)
}

// checked is for lists whose entries have a check.
func checked(allowed string, check func(string) error, field func(*options) *[]string) rule {
	return reading("list", allowed, func(text string) ([]string, bool) {
		var all []string
		if text == "" {
			return nil, true
		}
		for entry := range strings.SplitSeq(text, ",") {
			entry = strings.TrimSpace(entry)
			if check(entry) != nil {
				return nil, false
			}
			all = append(all, entry)
		}
		return all, true
	}, field)
}

// networks is for lists of address ranges; IPv4 ones in IPv6 form become IPv4 ones.
func networks(field func(*options) *[]netip.Prefix) rule {
	const allowed = "a list of CIDRs or addresses such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, separated by commas"
	return reading("list", allowed, func(text string) ([]netip.Prefix, bool) {
		var all []netip.Prefix
		for part := range strings.SplitSeq(text, ",") {
			p, ok := network(strings.TrimSpace(part))
			if !ok {
				return nil, false
			}
			all = append(all, p)
		}
		return all, true
	}, field)
}

func network(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96) // not valid if it is more than IPv4
	}
	return p.Masked(), err == nil && p.IsValid()
}

func address(field func(*options) *string) rule {
	return reading("address", "host:port or :port with a port from 0 to 65535", func(text string) (string, bool) {
		host, port, err := net.SplitHostPort(text)
		if err != nil || strings.ContainsAny(host, " /\t\n") {
			return "", false
		}
		n, ok := digits(port)
		return text, ok && n <= 65535
	}, field)
}

// path is any text: whether a file is there is found out when it is read.
func path(field func(*options) *string) rule {
	return reading("file", "the path of a file", func(text string) (string, bool) {
		return text, !strings.ContainsRune(text, 0)
	}, field)
}

// token is what can stand in an Authorization header.
func token(field func(*options) *string) rule {
	allowed := fmt.Sprintf("printable ASCII without spaces, of at most %d bytes", adminHeaderBytes)
	return reading("token", allowed, func(text string) (string, bool) { return text, isToken(text) }, field)
}

// sessionTimeoutMinutes is the variable that users of the program before ours set.
var sessionTimeoutMinutes = alias{
	variable: "SESSION_TIMEOUT_MINUTES",
	value:    "30",
	allowed:  "a whole number of minutes from 1 to 525600",
	convert: func(text string) (string, bool) {
		n, ok := digits(text)
		if !ok || n < 1 || n > int(gateway.MaxTimeout/time.Minute) {
			return "", false
		}
		return short(time.Duration(n) * time.Minute), true
	},
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
