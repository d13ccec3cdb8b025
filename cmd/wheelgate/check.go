package main

import (
	"context"
	"crypto/tls"
	"strings"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// given returns what the named setting was read from.
func (r *resolved) given(name string) *given {
	for i := range settings {
		if settings[i].name == name {
			return &r.values[i]
		}
	}
	panic("no setting " + name)
}

// readTokens makes the tokens of admin-token or admin-token-file, and the file's content the admin-token.
func (r *resolved) readTokens(ctx context.Context) error {
	file, tok := r.given("admin-token-file"), r.given("admin-token")
	switch {
	case file.text == "" && tok.text == "":
		return nil
	case file.text == "":
		r.tokens = []string{r.adminToken}
		return nil
	case tok.text != "":
		return usagef("admin-token-file: %s from %s and admin-token from %s are both set: set one of them",
			quote(file.text), file.source, tok.source)
	}
	content, err := readFile(ctx, file.text)
	if err != nil {
		return file.unreadable("admin-token-file", err)
	}
	tokens, err := parseTokens([][]byte{content})
	if err != nil {
		return usagef("admin-token-file: bad value %s from %s: %v", quote(file.text), file.source, err)
	}
	r.tokens = *tokens
	*tok = given{strings.Join(r.tokens, "\n"), file.source}
	return nil
}

// tokenFiles are the files with the tokens.
func (r *resolved) tokenFiles() []string {
	if r.adminTokenFile == "" {
		return nil
	}
	return []string{r.adminTokenFile}
}

// readPairs reads the certificates.
func (r *resolved) readPairs(ctx context.Context) (err error) {
	if r.pair, err = r.readPair(ctx, "tls-cert", "tls-key"); err == nil {
		r.adminPair, err = r.readPair(ctx, "admin-tls-cert", "admin-tls-key")
	}
	return err
}

func (r *resolved) readPair(ctx context.Context, certName, keyName string) (*tls.Certificate, error) {
	cert, key := r.given(certName), r.given(keyName)
	if cert.text == "" {
		return nil, nil
	}
	certPEM, err := readFile(ctx, cert.text)
	if err != nil {
		return nil, cert.unreadable(certName, err)
	}
	keyPEM, err := readFile(ctx, key.text)
	if err != nil {
		return nil, key.unreadable(keyName, err)
	}
	pair, err := parsePair([][]byte{certPEM, keyPEM})
	if err != nil {
		return nil, usagef("%s: bad value %s from %s with %s %s from %s: %v",
			certName, quote(cert.text), cert.source, keyName, quote(key.text), key.source, err)
	}
	return pair, nil
}

// unreadable is the fault of a file that the setting name gives.
func (v given) unreadable(name string, err error) error {
	return usagef("%s: bad value %s from %s: must be a readable file: %v", name, quote(v.text), v.source, unreadable(err))
}

// check finds the faults that no single setting has.
func (r *resolved) check() error {
	for _, prefix := range []string{"", "admin-"} {
		certName, keyName := prefix+"tls-cert", prefix+"tls-key"
		cert, key := r.given(certName), r.given(keyName)
		if cert.text != "" && key.text == "" {
			return usagef("%s: %s from %s without %s: set both or neither", certName, quote(cert.text), cert.source, keyName)
		}
		if cert.text == "" && key.text != "" {
			return usagef("%s: %s from %s without %s: set both or neither", keyName, quote(key.text), key.source, certName)
		}
	}
	if kind, cert := r.given("transport"), r.given("tls-cert"); cert.text != "" && r.gateway.Transport == wsconn.KindLoop {
		return usagef("transport: %s from %s cannot serve TLS (tls-cert from %s): set auto or goroutine", quote(kind.text), kind.source, cert.source)
	}
	if admin := r.given("admin-listen"); r.tokens == nil && !isLoopback(admin.text) {
		return usagef("admin-listen: %s from %s is not a loopback address: set admin-token-file or admin-token, or listen on 127.0.0.1",
			quote(admin.text), admin.source)
	}
	if err := r.gateway.Validate(); err != nil {
		return usagef("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}
