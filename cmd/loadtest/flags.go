package main

import (
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// To cli all values are text, so that each is judged here, with one kind of message.
func text(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }

func texts(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage}
}

func toggle(name, usage string) cli.Flag { return &cli.BoolFlag{Name: name, Usage: usage} }

// The headings of the help.
func under(category string, flags ...cli.Flag) []cli.Flag {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Category = category
		case *cli.StringSliceFlag:
			f.Category = category
		case *cli.BoolFlag:
			f.Category = category
		}
	}
	return flags
}

// reader reads flags and keeps the first fault.
type reader struct {
	cmd   *cli.Command
	fault error
}

func (r *reader) bad(name, value, allowed string) {
	if r.fault == nil {
		r.fault = usagef("--%s: bad value %q: must be %s", name, value, allowed)
	}
}

// text returns a flag's value; given is false if it is not on the command line.
// An empty value is none.
func (r *reader) text(name string) (value string, given bool) {
	value, given = r.cmd.String(name), r.cmd.IsSet(name)
	if given && value == "" {
		r.bad(name, value, "something")
	}
	return value, given
}

func (r *reader) whole(name string, low, high int, to *int) {
	if value, given := r.text(name); given {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || int(n) < low || int(n) > high {
			r.bad(name, value, "a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
		}
		*to = int(n)
	}
}

func (r *reader) number(name string, to *float64) (given bool) {
	value, given := r.text(name)
	if given {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(n) || n < 0 || n > scenario.MaxRate {
			r.bad(name, value, "a number per second from 0 to "+strconv.Itoa(scenario.MaxRate))
		}
		*to = n
	}
	return given
}

func (r *reader) duration(name string, low, high time.Duration, to *time.Duration) (given bool) {
	value, given := r.text(name)
	if given {
		d, err := time.ParseDuration(value)
		if err != nil || d < low || d > high {
			r.bad(name, value, "a duration from "+low.String()+" to "+high.String()+", such as 1m30s")
		}
		*to = d
	}
	return given
}

// list returns a flag's values, of which some may have come with commas.
func (r *reader) list(name string) []string {
	var all []string
	for _, value := range r.cmd.StringSlice(name) {
		for part := range strings.SplitSeq(value, ",") {
			all = append(all, strings.TrimSpace(part))
		}
	}
	return all
}

func (r *reader) urls(name string, schemes ...string) []string {
	all := r.list(name)
	for _, text := range all {
		u, err := url.Parse(text)
		good := err == nil && u.Host != "" && u.User == nil && u.Fragment == ""
		known := false
		for _, s := range schemes {
			known = known || (err == nil && u.Scheme == s)
		}
		if !good || !known {
			r.bad(name, text, strings.Join(schemes, ":// or ")+"://host[:port][/path]")
		}
	}
	return all
}

func (r *reader) addresses(name string) []netip.Addr {
	var all []netip.Addr
	for _, text := range r.list(name) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			r.bad(name, text, "IP addresses of this machine, separated by commas")
		}
		all = append(all, a)
	}
	return all
}

// header reads "Name: value" flags; commas belong to the value.
func (r *reader) header(name string) http.Header {
	h := http.Header{}
	for _, text := range r.cmd.StringSlice(name) {
		field, value, ok := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		if !ok || !printable(field, "!\"(),/:;<=>?@[\\]{} ") || field == "" || !printable(value, "") {
			r.bad(name, text, `"Name: value"`)
			return h
		}
		if c := http.CanonicalHeaderKey(field); c == "Upgrade" || c == "Connection" || strings.HasPrefix(c, "Sec-Websocket-") {
			r.bad(name, text, "none of the handshake's own (Upgrade, Connection, Sec-WebSocket-*)")
			return h
		}
		h.Add(field, value)
	}
	return h
}

// printable reports whether text is printable ASCII without those in except.
func printable(text, except string) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || strings.ContainsRune(except, c) {
			return false
		}
	}
	return true
}
