package main

import (
	"strings"
	"testing"

	"github.com/wheelgate/wheelgate/gateway"
)

// The texts each setting takes, and those it does not.
var samples = map[string]struct{ good, bad []string }{
	"listen":         {[]string{":0", "localhost:80", "[::1]:65535", "0.0.0.0:1"}, []string{"", "80", "a:b", ":65536", "http://a:80", "a:80/x", "a b:1", ":-1"}},
	"admin-listen":   {[]string{"127.0.0.1:0", "localhost:1", "[::1]:1"}, []string{"", "x", ":http"}},
	"tls-cert":       {nil, []string{"a\x00b"}},
	"tls-key":        {nil, []string{"a\x00b"}},
	"admin-tls-cert": {nil, []string{"a\x00b"}},
	"admin-tls-key":  {nil, []string{"a\x00b"}},
	"allow-origin": {
		[]string{"", "*", "https://a", "http://a:1, https://b"},
		[]string{"a", "https://a/", "https://a,,https://b", ",", "https://", "https://a/b", "https://*.a", "https://a:443", "https://a,wss://b", "https://é"},
	},
	"allow-host": {
		[]string{"", "*", "a", "a:80, [::1]:8080", "A.b."},
		[]string{"a,,b", ",", "*.a", "https://a", "a:0", "a:65536", "a:", "::1", "[a]", "é", "a/"},
	},
	"trusted-proxies": {
		[]string{"", "10.0.0.0/8", "192.0.2.7, 2001:db8::/32", "::1", "0.0.0.0/0", "::ffff:10.0.0.0/104"},
		[]string{"a", "10.0.0.0/33", "10.0.0.0/8,", "10.0.0", "::ffff:10.0.0.0/90", "10.0.0.1:80"},
	},
	"health-listen":         {[]string{"", ":0", "[::1]:1"}, []string{"x", "80"}},
	"max-admin-connections": {[]string{"4", "4096"}, []string{"", "3", "4097", "-1"}},
	"drain-wait":            {[]string{"0", "1ms", "8760h"}, []string{"", "-1s", "8761h"}},
	"echo":                  {[]string{"true", "false", "1", "0"}, []string{"", "yes", "2"}},
	"compression":           {[]string{"true", "false"}, []string{"", "deflate"}},
	"io-uring":              {[]string{"true", "false"}, []string{"", "auto"}},
	"compression-threshold": {[]string{"0", "512", "1KiB"}, []string{"", "-1", "1.5"}},
	"admin-token":           {[]string{"", "a~!"}, []string{"a b", "a\n", "é"}},
	"admin-token-file":      {nil, []string{"a\x00b"}},
	"session-timeout":       {[]string{"40ms", "30m", "8760h"}, []string{"", "39ms", "8760h1ns", "0", "-5m", "30", "abc", "1.5", "99999999999999999999h"}},
	"tick":                  {[]string{"0", "0s", "20ms", "1m"}, []string{"", "1ns", "19ms", "61s", "-1s", "5"}},
	"activity":              {[]string{"in", "ping,in", "in, out"}, []string{"", "pong", "in,", "IN"}},
	"ping-interval":         {[]string{"0", "20ms", "8760h"}, []string{"", "1ms", "8761h", "x"}},
	"pong-timeout":          {[]string{"20ms", "8760h"}, []string{"", "0s", "8761h"}},
	"close-wait":            {[]string{"20ms", "8760h"}, []string{"", "0s", "8761h"}},
	"transport":             {[]string{"auto", "loop", "goroutine"}, []string{"", "Loop", "epoll"}},
	"close-codes":           {[]string{"app", "rfc"}, []string{"", "RFC", "4000"}},
	"idle-reconnect":        {[]string{"true", "false"}, []string{"", "on"}},
	"drain-window":          {[]string{"0", "1ms", "8760h"}, []string{"", "-1s", "8761h"}},
	"handshake-timeout":     {[]string{"1ms", "8760h"}, []string{"", "0", "8761h"}},
	"write-timeout":         {[]string{"1ms", "8760h"}, []string{"", "0", "8761h"}},
	"outbox-messages":       {[]string{"1", "1000000000"}, []string{"", "0", "-1", "1000000001", "1e3", "1_000", "+1"}},
	"outbox-bytes":          {[]string{"1024", "1KiB", "1024MiB"}, []string{"", "1023", "1025MiB", "1KB", "1 KiB", "KiB", "99999999999999999MiB"}},
	"send-buffer":           {[]string{"0", "4KiB", "128KiB", "1024MiB"}, []string{"", "1", "4095", "-1", "1025MiB"}},
	"message-timeout":       {[]string{"20ms", "30s"}, []string{"", "0s", "-1s", "30"}},
	"partial-budget":        {[]string{"1024", "64MiB"}, []string{"", "0", "1023", "2GiB"}},
	"outbox-budget":         {[]string{"0", "1MiB", "1048576", "1024MiB"}, []string{"", "0s", "1MB", "1023KiB", "1025MiB", "-1"}},
	"max-message":           {[]string{"1", "64KiB", "1MiB", "1GiB", "1073741824"}, []string{"", "0", "1073741825", "1kib", "-1KiB", "2GiB", "1MiBKiB", "1KiBMiB", "GiB"}},
	"max-sessions":          {[]string{"0", "268435456"}, []string{"", "-1", "268435457"}},
	"expiry-rate":           {[]string{"0", "1000000000"}, []string{"", "-1", "1000000001"}},
	"log-level":             {[]string{"trace", "debug", "info", "warn", "error", "disabled"}, []string{"", "fatal", "INFO", "1"}},
	"log-format":            {[]string{"auto", "json", "console"}, []string{"", "text"}},
	"env-file":              {[]string{""}, nil},
}

func TestEveryValue(t *testing.T) {
	for i := range settings {
		s := &settings[i]
		sample, ok := samples[s.name]
		if !ok {
			t.Errorf("no samples for %s", s.name)
		}
		for _, text := range sample.good {
			if _, err := resolve(t.Context(), map[string]string{s.name: text}, nil); err != nil {
				t.Errorf("%s %q: %v", s.name, text, err)
			}
		}
		for _, text := range sample.bad {
			wantBad(t, s, text)
		}
	}
}

// wantBad tries a bad text as a flag and as a variable.
func wantBad(t *testing.T, s *setting, text string) {
	t.Helper()
	shown := quote(text)
	if s.secret {
		shown = "(secret)"
	}
	line := s.name + ": bad value " + shown + " from %: must be " + s.allowed
	if !(s.toggle && text == "") { // cli takes --echo= for --echo
		try(t, nil, "--"+s.name+"="+text).wantFault(t, exitUsage, strings.Replace(line, "%", "flag --"+s.name, 1))
	}
	try(t, []string{s.variable() + "=" + text}).wantFault(t, exitUsage, strings.Replace(line, "%", "variable "+s.variable(), 1))
}

// What the rules allow has to be what gateway.Config allows: TestEveryValue has
// the good ends of each range pass Validate; here those beyond must not.
func TestBoundsAreTheGateways(t *testing.T) {
	f := func(name string, change func(*gateway.Config)) {
		t.Helper()
		c := gateway.DefaultConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: the gateway allows more than the setting", name)
		}
	}
	f("max-sessions", func(c *gateway.Config) { c.MaxSessions = maxSessions + 1 })
	f("max-message", func(c *gateway.Config) { c.MaxMessage = maxSize + 1 })
	f("tick", func(c *gateway.Config) { c.Tick = maxTick + 1 })
	f("session-timeout", func(c *gateway.Config) { c.SessionTimeout = gateway.MaxTimeout + 1 })
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "2001:db8::7": "2001:db8::7/128",
	} {
		if got, ok := network(text); !ok || got.String() != want {
			t.Errorf("%s is %v; want %s", text, got, want)
		}
	}
	if got, ok := network("fe80::1%eth0"); ok {
		t.Errorf("%v has a zone", got)
	}
}

func TestLongAndOddValuesStayOnOneShortLine(t *testing.T) {
	o := try(t, nil, "--tick", strings.Repeat("é\n", 1000))
	if o.code != exitUsage || strings.Count(o.stderr, "\n") != 1 || len(o.stderr) > 400 {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
