package main

import (
	"crypto/sha1"
	"encoding/base64"
)

// accept is Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
