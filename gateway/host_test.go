package gateway_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/wheelgate/wheelgate/gateway"
)

func TestHostList(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, c := range []struct {
			allowed, host string
			want          int
		}{
			{"", "evil.test", 101},
			{"*", "evil.test", 101},
			{"gate.test", "gate.test", 101},
			{"gate.test", "GATE.Test", 101},
			{"Gate.TEST.", "gate.test", 101},
			{"gate.test", "gate.test.", 101},
			{"gate.test", "gate.test:8080", 101},
			{"gate.test:8080", "gate.test:8080", 101},
			{"gate.test:443", "gate.test", 101},
			{"gate.test:80", "gate.test", 101},
			{"192.0.2.1", "192.0.2.1:80", 101},
			{"[2001:DB8:0::1]", "[2001:db8::1]:8080", 101},
			{"other.test,gate.test", "gate.test", 101},
			{"gate.test", "evil.test", 421},
			{"gate.test", "www.gate.test", 421},
			{"gate.test", "gate.test.evil.test", 421},
			{"gate.test", "gate.test:8080:80", 421},
			{"gate.test:8080", "gate.test", 421},
			{"gate.test:8080", "gate.test:80", 421},
			{"gate.test:443", "gate.test:8443", 421},
			{"[2001:db8::1]", "[2001:db8::2]", 421},
			{"gate.test", "[gate.test]", 421},
		} {
			f := start(t, func(cfg *gateway.Config) {
				if c.allowed != "" {
					cfg.AllowHosts = strings.Split(c.allowed, ",")
				}
			})
			raw := strings.Replace(handshake("/ws"), "Host: gate.test", "Host: "+c.host, 1)
			if got := f.request(raw).StatusCode; got != c.want {
				t.Errorf("allowed %s, host %s: status %d; want %d", c.allowed, c.host, got, c.want)
			}
			f.cancel()
			<-f.ended
		}
	})
}

func TestHostsThatNoClientSendsAreRefused(t *testing.T) {
	for _, c := range []struct {
		host string
		ok   bool
	}{
		{"*", true},
		{"example.com", true},
		{"Example.COM:8443", true},
		{"example.com.", true},
		{"localhost", true},
		{"xn--mnchen-3ya.example", true},
		{"192.0.2.1:8080", true},
		{"[2001:db8::1]:8080", true},
		{"", false},
		{"*.example.com", false},
		{"example.com:", false},
		{"example.com:0", false},
		{"example.com:080", false},
		{"example.com:65536", false},
		{"https://example.com", false},
		{"example.com/ws", false},
		{"2001:db8::1", false},
		{"[2001:db8::1", false},
		{"[192.0.2.1]", false},
		{"[fe80::1%eth0]", false},
		{"127.1", false},
		{"m\u00fcnchen.example", false},
	} {
		err := gateway.CheckHost(c.host)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.host, err)
		}
		if err != nil && !strings.Contains(err.Error(), strconv.Quote(c.host)) {
			t.Errorf("%q is not in: %v", c.host, err)
		}
		cfg := gateway.DefaultConfig()
		cfg.AllowHosts = []string{c.host}
		if err := cfg.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: Validate: %v", c.host, err)
		}
	}
}
