package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/client"
)

// explain is why a server cannot be tested, with what a user can do about it.
func (o *options) explain(err error) string {
	var connect *loadtest.ConnectError
	if !errors.As(err, &connect) {
		return oneLine(err)
	}
	return fmt.Sprintf("cannot connect to %s: %s", connect.URL, o.because(connect))
}

func (o *options) because(connect *loadtest.ConnectError) string {
	plain := strings.HasPrefix(connect.URL, "ws:")
	cause := ""
	if connect.Err.Err != nil {
		cause = oneLine(connect.Err.Err)
	}
	switch kind := connect.Err.Kind; kind {
	case client.KindTLS:
		return becauseOfTLS(connect.Err.Err)
	case client.KindConnectionRefused:
		return "connection refused: nobody listens there"
	case client.KindTimeout:
		wait := o.handshake
		if wait == 0 {
			wait = loadtest.DefaultHandshakeTimeout
		}
		return fmt.Sprintf("no answer within %v (--handshake-timeout)", wait)
	case client.KindHungUp, client.KindReset:
		text := "the server closed the connection without an answer"
		if plain {
			text += ": perhaps it wants wss://"
		}
		return text
	case client.KindBadHandshake:
		return "the answer is no WebSocket handshake: " + cause
	case client.KindWrongAccept:
		return "the answer's Sec-WebSocket-Accept does not fit: no WebSocket server, or a proxy that changes headers"
	default:
		if status := connect.Err.Status; status != 0 {
			return becauseOfStatus(status)
		}
		return oneLine(connect.Err)
	}
}

func becauseOfTLS(err error) string {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		return fmt.Sprintf("its certificate is not trusted: %s (--insecure takes any)", oneLine(certificate.Err))
	case errors.As(err, &record):
		return "the server does not speak TLS there: perhaps it wants ws://"
	case err == nil:
		return "the TLS handshake failed"
	}
	return "the TLS handshake failed: " + oneLine(err)
}

// becauseOfStatus is an answer that is no upgrade.
func becauseOfStatus(status int) string {
	hint := "is the path right?"
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		hint = "does it ask for a token, a cookie or an origin (--header)?"
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		hint = "is it full, or does it limit connects?"
	case status >= 300 && status < 400:
		hint = "redirects are not followed"
	case status >= 500:
		hint = "what does its log say?"
	}
	text := fmt.Sprint("the server answers ", status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	return text + ", not 101 Switching Protocols: " + hint
}
