package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestNodeCompresses: Node's ws negotiates compression and is sent less than it
// receives.
func TestNodeCompresses(t *testing.T) {
	for _, transport := range []string{"auto", "goroutine"} {
		t.Run(transport, func(t *testing.T) {
			p, _ := startProcess(t, "--echo", "--compression", "--transport="+transport, "--drain-window=0s")
			cmd := nodeCommand(t, "deflate.mjs", "ws://"+p.addr+"/echo")
			out, err := cmd.Output()
			var extension string
			var read int
			if _, err2 := fmt.Sscan(string(out), &extension, &read); err != nil || err2 != nil {
				t.Fatalf("%q, %v, %v", out, err, err2)
			}
			if extension != "permessage-deflate" || read > 1000 {
				t.Errorf("negotiated %q, and 12,005 characters came as %d bytes", extension, read)
			}
		})
	}
}

// deflatePage echoes a long text from a page.
const deflatePage = `<!doctype html><title>wheelgate</title><script>
let result = '';
const text = 'gate 7 open '.repeat(1000), ws = new WebSocket(%q);
ws.onopen = () => ws.send(text);
ws.onmessage = (e) => { result = ws.extensions + (e.data === text ? ' echoed' : ' garbled'); };
ws.onclose = (e) => { result ||= 'closed with ' + e.code; };
</script>`

func TestBrowserCompresses(t *testing.T) {
	needs(t, "chromium")
	var p *program
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, deflatePage, "ws://"+p.addr+"/echo")
	}))
	defer pages.Close()
	p, _ = startProcess(t, "--echo", "--compression", "--drain-window=0s", "--allow-origin="+pages.URL)
	ctx := browse(t, pages.URL)
	var got string
	eventually(t, "the page's echo", p.log.String, func() bool {
		var err error
		if got, err = chromedp.Run(ctx, chromedp.Evaluate[string]("result")); err != nil {
			t.Fatal(err)
		}
		return got != ""
	})
	if !strings.HasPrefix(got, "permessage-deflate") || !strings.HasSuffix(got, " echoed") {
		t.Errorf("the page says %q", got)
	}
	if err := chromedp.Cancel(ctx); err != nil {
		t.Error(err)
	}
}
