package main

import (
	"errors"
	"fmt"
	"strings"
)

// adminHeaderBytes is the longest header of a request to the admin listener, less the
// 4 KiB that net/http adds.
const adminHeaderBytes = 12 << 10

// isToken reports whether text can stand in an Authorization header that the admin
// listener takes.
func isToken(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(text) <= adminHeaderBytes
}

// parseTokens reads a token file: a token a line, any of which is good. Space around
// it, blank lines and lines that begin with # do not count.
func parseTokens(contents [][]byte) (*[]string, error) {
	text, ok := plainUTF8(contents[0])
	if !ok {
		return nil, errors.New("the file is not text in UTF-8")
	}
	var tokens []string
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case !isToken(line):
			return nil, fmt.Errorf("line %d must be a token of %s", number, find("admin-token").allowed)
		default:
			tokens = append(tokens, line)
		}
	}
	if tokens == nil {
		return nil, errors.New("the file must hold a token")
	}
	return &tokens, nil
}
