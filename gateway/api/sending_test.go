package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBroadcast(t *testing.T) {
	s := start(t, "")
	a, b := s.dial(), s.dial()
	for _, c := range []struct{ contentType, want string }{
		{form, "text gate 7 open"},
		{"text/plain; charset=utf-8", "text gate 7 open"},
		{"application/json", "text gate 7 open"},
		{"application/octet-stream", "binary gate 7 open"},
		{"application/octet-stream; charset", "binary gate 7 open"},
	} {
		r := s.do("POST", "/v1/broadcast", c.contentType, "gate 7 open")
		if r.StatusCode != 200 || r.json(t)["sessions"] != 2.0 {
			t.Errorf("%s: %d %s", c.contentType, r.StatusCode, r.body)
		}
		for _, cl := range []*client{a, b} {
			if m := <-cl.messages; m != c.want {
				t.Errorf("%s: received %q; want %q", c.contentType, m, c.want)
			}
		}
	}
}

// TestMessageLengths: from none, as RFC 6455 allows, to the longest.
func TestMessageLengths(t *testing.T) {
	s := start(t, "")
	c := s.dial()
	paths := []string{"/v1/broadcast", "/v1/sessions/" + s.ids("")[0] + "/messages"}
	for _, path := range paths {
		for _, text := range []string{"", strings.Repeat("x", 1<<10)} {
			if r := s.do("POST", path, form, text); r.StatusCode != 200 || r.json(t)["sessions"] != 1.0 {
				t.Errorf("%s: %d bytes: %d %s", path, len(text), r.StatusCode, r.body)
			}
			if m := <-c.messages; m != "text "+text {
				t.Errorf("%s: received %q", path, m)
			}
		}
		for name, body := range map[string]io.Reader{
			"announced":     strings.NewReader(strings.Repeat("x", 1<<10+1)),
			"not announced": io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<10+1))),
		} {
			r := s.send("POST", path, form, body)
			if r.StatusCode != 413 || r.json(t)["detail"] != "the message is longer than max-message, 1024 bytes" {
				t.Errorf("%s: %s: %d %s", path, name, r.StatusCode, r.body)
			}
		}
	}
}

// TestTooLongIsRefusedBeforeItArrives: its length is enough. net/http waits for what is
// shorter than 256 KiB.
func TestTooLongIsRefusedBeforeItArrives(t *testing.T) {
	s := start(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.admin.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n")
	if r, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || r.StatusCode != 413 {
		t.Errorf("%v, %v; want 413", r, err)
	}
}

// TestUnsupportedBodies: what is no message by itself must not reach clients as one.
func TestUnsupportedBodies(t *testing.T) {
	s := start(t, "")
	c := s.dial()
	for _, path := range []string{"/v1/broadcast", "/v1/sessions/" + s.ids("")[0] + "/messages"} {
		for _, refused := range []struct{ contentType, coding, detail string }{
			{form, "gzip", `Content-Encoding is "gzip"`},
			{"application/octet-stream", "identity, br", `Content-Encoding is "identity, br"`},
			{"multipart/form-data; boundary=x", "", `Content-Type is "multipart/form-data"`},
			{"Multipart/Mixed", "", `Content-Type is "multipart/mixed"`},
		} {
			r := s.do("POST", path, refused.contentType, "x", "Content-Encoding", refused.coding)
			if r.StatusCode != 415 || !strings.HasPrefix(r.json(t)["detail"].(string), refused.detail) {
				t.Errorf("%s: %v: %d %s", path, refused, r.StatusCode, r.body)
			}
			if (r.Header.Get("Accept-Encoding") == "identity") != (refused.coding != "") {
				t.Errorf("%s: %v: header %v", path, refused, r.Header)
			}
		}
		if r := s.do("POST", path, form, "as it is", "Content-Encoding", "identity"); r.StatusCode != 200 {
			t.Errorf("%s: identity: %d %s", path, r.StatusCode, r.body)
		}
		if m := <-c.messages; m != "text as it is" {
			t.Errorf("%s: received %q", path, m)
		}
	}
}

func TestSlowBody(t *testing.T) {
	s := start(t, "")
	s.impatient.Store(true)
	body, never := io.Pipe()
	defer func() { _ = never.Close() }()
	r := s.send("POST", "/v1/broadcast", form, body)
	if r.StatusCode != http.StatusRequestTimeout || r.json(t)["status"] != 408.0 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}
