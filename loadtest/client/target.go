package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// resolveTimeout bounds the look-up of a target's host name.
const resolveTimeout = 10 * time.Second

// maxResponse is the bytes the head of a server's answer may have.
const maxResponse = 8 << 10

// Target is where to connect and what to ask for. It does not change and may serve
// any number of connections, of several crowds.
type Target struct {
	addr         netip.AddrPort
	host         string // name without port, for TLS
	secure       bool
	request      []byte
	accept       string // Sec-WebSocket-Accept that fits the request's key
	subprotocols []string
}

// NewTarget parses a ws:// or wss:// URL, resolves its host (which blocks, 10 s at
// most; the first IPv4 address is taken, else the first) and builds the request.
// header is added to it, a Host in it replaces the URL's; headers of the
// WebSocket handshake itself are refused. The key is drawn once for the target.
func NewTarget(rawURL string, header http.Header, subprotocols []string) (*Target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	t := &Target{host: u.Hostname(), secure: u.Scheme == "wss", subprotocols: slices.Clone(subprotocols)}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("target %q: the scheme must be ws or wss", rawURL)
	case t.host == "":
		return nil, fmt.Errorf("target %q: it names no host", rawURL)
	case u.Fragment != "":
		return nil, fmt.Errorf("target %q: a WebSocket URL has no fragment (#)", rawURL)
	}
	if t.addr, err = resolve(u); err != nil {
		return nil, fmt.Errorf("target %q: %w", rawURL, err)
	}
	if err := t.build(u, header); err != nil {
		return nil, fmt.Errorf("target %q: %w", rawURL, err)
	}
	return t, nil
}

// Addr is the address that is connected to.
func (t *Target) Addr() netip.AddrPort { return t.addr }

func resolve(u *url.URL) (netip.AddrPort, error) {
	service := u.Port()
	if service == "" {
		service = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := addrs[0].Unmap()
	for _, a := range addrs {
		if a.Unmap().Is4() {
			best = a.Unmap()
			break
		}
	}
	return netip.AddrPortFrom(best, uint16(port)), nil
}

// build makes the request of RFC 6455 section 4.1.
func (t *Target) build(u *url.URL, header http.Header) error {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	host := u.Host
	if h := header.Get("Host"); h != "" {
		host = h
		header.Del("Host")
	}
	for name := range header {
		if c := http.CanonicalHeaderKey(name); c == "Upgrade" || c == "Connection" || strings.HasPrefix(c, "Sec-Websocket-") {
			return fmt.Errorf("header %q belongs to the handshake", name)
		}
	}
	if password, ok := u.User.Password(); u.User != nil && header.Get("Authorization") == "" {
		_ = ok // a user alone has an empty password
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, s := range t.subprotocols {
		if s == "" || strings.ContainsAny(s, " ,;\t\r\n\"") {
			return fmt.Errorf("subprotocol %q is not a token", s)
		}
	}
	if strings.ContainsAny(host, "\r\n ") {
		return fmt.Errorf("host %q", host)
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	t.accept = base64.StdEncoding.EncodeToString(sum[:])

	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", u.RequestURI(), host, key)
	if len(t.subprotocols) > 0 {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", strings.Join(t.subprotocols, ", "))
	}
	_ = header.Write(&b) // makes spaces of line breaks
	b.WriteString("\r\n")
	t.request = b.Bytes()
	return nil
}

// responseHead returns how many bytes of b the head of an HTTP response has, 0
// while it is incomplete.
func responseHead(b []byte) (int, *Error) {
	const begin = "HTTP/1."
	if n := min(len(b), len(begin)); string(b[:n]) != begin[:n] {
		return 0, &Error{Kind: KindBadHandshake, Err: errors.New("the answer is not HTTP")}
	}
	if i := bytes.Index(b[:min(len(b), maxResponse)], []byte("\r\n\r\n")); i >= 0 {
		return i + 4, nil
	}
	if len(b) >= maxResponse {
		return 0, &Error{Kind: KindBadHandshake, Err: fmt.Errorf("the answer's head is longer than %d bytes", maxResponse)}
	}
	return 0, nil
}

// judge reads the head of the server's answer (RFC 6455 section 4.2.2 as the client
// of section 4.1 has to check it) and says what is wrong with it.
func (t *Target) judge(head []byte, in *bufio.Reader) *Error {
	in.Reset(bytes.NewReader(head))
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return &Error{Kind: KindBadHandshake, Err: err}
	}
	bad := func(why string) *Error {
		return &Error{Kind: KindBadHandshake, Status: answer.StatusCode, Err: errors.New(why)}
	}
	h := answer.Header
	chosen := h.Get("Sec-WebSocket-Protocol")
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return refused(answer.StatusCode)
	case !hasToken(h["Upgrade"], "websocket"):
		return bad("no Upgrade to websocket")
	case !hasToken(h["Connection"], "upgrade"):
		return bad("no Connection: Upgrade")
	case len(h["Sec-Websocket-Accept"]) != 1 || h.Get("Sec-WebSocket-Accept") != t.accept:
		return &Error{Kind: KindWrongAccept, Status: answer.StatusCode}
	case h.Get("Sec-WebSocket-Extensions") != "":
		return bad("an extension that was not offered")
	case chosen != "" && !slices.Contains(t.subprotocols, chosen):
		return bad("a subprotocol that was not offered")
	}
	return nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
