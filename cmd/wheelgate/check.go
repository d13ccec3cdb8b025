package main

import (
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

// readTokenFile makes the content of admin-token-file the admin-token.
func (r *resolved) readTokenFile() error {
	file, tok := r.given("admin-token-file"), r.given("admin-token")
	if file.text == "" {
		return nil
	}
	if tok.text != "" {
		return usagef("admin-token-file: %s from %s and admin-token from %s are both set: set one of them",
			quote(file.text), file.source, tok.source)
	}
	text, err := readToken(file.text)
	switch {
	case err != nil:
		return usagef("admin-token-file: bad value %s from %s: must be a readable file: %v", quote(file.text), file.source, unreadable(err))
	case text == "" || !find("admin-token").set(&r.options, text):
		return usagef("admin-token-file: bad value %s from %s: the file must hold a token of %s",
			quote(file.text), file.source, find("admin-token").allowed)
	}
	*tok = given{text, file.source}
	return nil
}

// check finds the faults that no single setting has.
func (r *resolved) check() error {
	cert, key := r.given("tls-cert"), r.given("tls-key")
	if cert.text != "" && key.text == "" {
		return usagef("tls-cert: %s from %s without tls-key: set both or neither", quote(cert.text), cert.source)
	}
	if cert.text == "" && key.text != "" {
		return usagef("tls-key: %s from %s without tls-cert: set both or neither", quote(key.text), key.source)
	}
	if kind := r.given("transport"); cert.text != "" && r.gateway.Transport == wsconn.KindLoop {
		return usagef("transport: %s from %s cannot serve TLS (tls-cert from %s): set auto or goroutine", quote(kind.text), kind.source, cert.source)
	}
	if admin := r.given("admin-listen"); r.adminToken == "" && !isLoopback(admin.text) {
		return usagef("admin-listen: %s from %s is not a loopback address: set admin-token-file or admin-token, or listen on 127.0.0.1",
			quote(admin.text), admin.source)
	}
	if err := r.gateway.Validate(); err != nil {
		return usagef("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}
