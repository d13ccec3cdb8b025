package api_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/api"
)

func TestProfiles(t *testing.T) {
	s := start(t, "s3cret")
	for _, path := range []string{"/debug/pprof", "/debug/pprof/"} {
		if r := s.do("GET", path, "", ""); r.StatusCode != 200 || !strings.Contains(r.body, "/debug/pprof/heap\n") {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
	for _, path := range []string{"heap?gc=1", "allocs", "goroutine", "mutex", "block", "threadcreate", "profile?seconds=1"} {
		r := s.do("GET", "/debug/pprof/"+path, "", "")
		unzipped, err := gzip.NewReader(strings.NewReader(r.body)) // as go tool pprof expects it
		if err != nil || r.StatusCode != 200 {
			t.Errorf("%s: %d, %v", path, r.StatusCode, err)
		} else if _, err := io.Copy(io.Discard, unzipped); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if r := s.do("GET", "/debug/pprof/trace?seconds=1", "", ""); !strings.HasPrefix(r.body, "go 1.") {
		t.Errorf("trace: %d %.20q", r.StatusCode, r.body)
	}
	if r := s.do("GET", "/debug/pprof/goroutine?debug=2", "", ""); !strings.Contains(r.body, "gateway.(*Gateway).Run(") {
		t.Errorf("goroutine dump: %d %s", r.StatusCode, r.body)
	}
}

func TestProfileProblems(t *testing.T) {
	s := start(t, "")
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"GET", "/debug/pprof/nothing", "", 404, `there is no profile "nothing"`},
		{"GET", "/debug/pprof/cmdline", "", 404, `there is no profile "cmdline"`},
		{"GET", "/debug/pprof//heap", "", 404, ""},
		{"POST", "/debug/pprof/heap", "", 405, ""},
		{"GET", "/debug/pprof/heap", "x", 400, "a profile takes no body"},
		{"GET", "/debug/pprof/heap?seconds=1", "", 400, "seconds: only of profile and trace"},
		{"GET", "/debug/pprof/heap?debug=3", "", 400, `debug is "3": must be a whole number from 0 to 2`},
		{"GET", "/debug/pprof/profile?seconds=601", "", 400, `seconds is "601": must be a whole number from 1 to 600`},
		{"GET", "/debug/pprof/trace?seconds=0.5", "", 400, `seconds is "0.5": must be a whole number from 1 to 60`},
	} {
		r := s.do(c.method, c.path, "", c.body)
		if r.StatusCode != c.status || !strings.HasPrefix(r.json(t)["detail"].(string), c.detail) {
			t.Errorf("%s: %d %s; want %d %s", c.path, r.StatusCode, r.body, c.status, c.detail)
		}
	}
}

// TestProfilesAreGuarded: as the rest of the API, and more against web pages, which
// may ask the rest for what they cannot read.
func TestProfilesAreGuarded(t *testing.T) {
	open, closed := start(t, ""), start(t, "s3cret")
	for _, c := range []struct {
		s             *service
		header, value string
		status        int
	}{
		{closed, "Authorization", "", 401},
		{closed, "Authorization", "Bearer s3cret", 200},
		{open, "Host", "evil.test", 403},
		{open, "Sec-Fetch-Site", "cross-site", 403},
		{open, "Sec-Fetch-Site", "same-site", 403},
		{open, "Origin", "https://evil.test", 403},
		{open, "Sec-Fetch-Site", "none", 200},
	} {
		for _, path := range []string{"", "/heap"} {
			r := c.s.do("GET", "/debug/pprof"+path, "", "", c.header, c.value)
			if r.StatusCode != c.status || c.status != 200 && r.json(t)["status"] != float64(c.status) {
				t.Errorf("%q with %s: %s: %d; want %d", path, c.header, c.value, r.StatusCode, c.status)
			}
		}
	}
}

// TestProfileOutlivesTheServersDeadlines: both end before it does.
func TestProfileOutlivesTheServersDeadlines(t *testing.T) {
	g, err := gateway.New(gateway.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(api.New(api.Options{Gateway: g}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	defer server.Close()
	begun := time.Now()
	r, err := server.Client().Get(server.URL + "/debug/pprof/trace?seconds=1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 {
		t.Errorf("%d, %v", r.StatusCode, err)
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("a trace of %v; want 1s", took)
	}
}

// TestOneRecordingAtATime: the second is refused, and one whose client has left ends.
func TestOneRecordingAtATime(t *testing.T) {
	s := start(t, "")
	for _, name := range []string{"profile", "trace"} {
		ctx, leave := context.WithCancel(t.Context())
		first, err := http.NewRequestWithContext(ctx, "GET", s.admin.URL+"/debug/pprof/"+name+"?seconds=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			for ctx.Err() == nil { // the other may have been there before
				if r, err := s.admin.Client().Do(first); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_ = r.Body.Close()
				}
			}
		}()
		second := func() answer { return s.do("GET", "/debug/pprof/"+name+"?seconds=1", "", "") }
		waitFor(t, func() bool {
			r := second()
			return r.StatusCode == http.StatusConflict && r.json(t)["status"] == 409.0 && r.Header.Get("Content-Disposition") == ""
		})
		leave()
		<-left
		waitFor(t, func() bool { return second().StatusCode == 200 })
	}
}
