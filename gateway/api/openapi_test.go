package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// description is the part of an OpenAPI document that answers are held against.
type description struct {
	Paths map[string]map[string]struct { // by path and method
		Parameters  []struct{ Name string }
		RequestBody struct{ Content map[string]any }
		Responses   map[string]struct{ Content map[string]any } // by status
	}
}

var inBraces = regexp.MustCompile(`\{[^}]+\}`)

// wantDeclared fails if the document describes the call and not this answer to it.
func (d *description) wantDeclared(t *testing.T, method, path string, a answer) {
	t.Helper()
	for template, operations := range d.Paths {
		matches := regexp.MustCompile("^" + inBraces.ReplaceAllString(template, "[^/]+") + "$").MatchString(path)
		operation, ok := operations[strings.ToLower(method)]
		if !matches || !ok {
			continue
		}
		response, ok := operation.Responses[strconv.Itoa(a.StatusCode)]
		if !ok {
			t.Errorf("%s %s: openapi.json does not declare %d", method, template, a.StatusCode)
			continue
		}
		kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
		if _, ok := response.Content[kind]; !ok && kind != "" {
			t.Errorf("%s %s: openapi.json does not declare %d with %s", method, template, a.StatusCode, kind)
		}
	}
}

// describe has all answers from now on held against the service's own document.
func (s *service) describe() {
	s.t.Helper()
	d := &description{}
	if err := json.Unmarshal([]byte(s.do("GET", "/openapi.json", "", "").body), d); err != nil {
		s.t.Fatal(err)
	}
	s.description = d
}

func TestMessagesAreDescribedAsTextAndBinary(t *testing.T) {
	s := start(t, "")
	for _, path := range []string{"/v1/broadcast", "/v1/sessions/{id}/messages"} {
		post := s.description.Paths[path]["post"]
		for _, kind := range []string{"text/plain", "application/octet-stream"} {
			if post.RequestBody.Content[kind] == nil {
				t.Errorf("%s: %s is not declared: %v", path, kind, post.RequestBody)
			}
		}
		for _, parameter := range post.Parameters {
			if parameter.Name == "Content-Type" { // OpenAPI has it ignored
				t.Errorf("%s: Content-Type is a parameter", path)
			}
		}
	}
}

func TestDisconnectTwice(t *testing.T) {
	s := start(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.public.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // and no close frame before, so the session lasts
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != 101 {
		t.Fatal(answer, err)
	}
	list := s.do("GET", "/v1/sessions", "", "").json(t)["sessions"].([]any)
	path := "/v1/sessions/" + list[0].(map[string]any)["id"].(string)
	for _, want := range []int{204, 409} {
		if r := s.do("DELETE", path, "", ""); r.StatusCode != want {
			t.Errorf("%d %s; want %d", r.StatusCode, r.body, want)
		}
	}
}
