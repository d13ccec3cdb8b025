package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestHTML opens the report as a file, wide and light, and on a dark phone: it asks
// for nothing else, complains of nothing, fits, and every plot has ink.
func TestHTML(t *testing.T) {
	run, err := Read(strings.NewReader(file(t, story(t)...)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(HTML(f, run), f.Close()); err != nil {
		t.Fatal(err)
	}
	want := len(run.plots())
	ctx, trouble := browser(t, "file://"+path)
	for _, v := range []struct {
		width  int64
		scheme string
	}{{1280, "light"}, {390, "dark"}} {
		scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, scheme); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(v.width, 800), chromedp.Navigate("file://"+path)); err != nil {
			t.Fatal(err)
		}
		for what, is := range map[string]struct {
			script string
			want   int
		}{
			"plots drawn":      {`[...document.querySelectorAll("canvas")].filter(c => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v)).length`, want},
			"pixels too wide":  {"document.documentElement.scrollWidth - innerWidth", 0},
			"tables":           {`document.querySelectorAll("table:not(.u-legend)").length`, 2 + len(sections(Summarize(run)))},
			"is dark":          {`+(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 128)`, map[string]int{"dark": 1}[v.scheme]},
			"resources loaded": {`performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length`, 0},
		} {
			if got, err := chromedp.Run(ctx, chromedp.Evaluate[int](is.script)); err != nil || got != is.want {
				t.Errorf("%d wide, %s: %s: %d, want %d; %v", v.width, v.scheme, what, got, is.want, err)
			}
		}
	}
	if err := chromedp.Cancel(ctx); err != nil {
		t.Error(err)
	}
	if all := trouble(); len(all) > 0 {
		t.Errorf("trouble: %v", all)
	}
}

// browser starts chromium; trouble is what the console said and what was asked for
// besides the page.
func browser(t *testing.T, page string) (ctx context.Context, trouble func() []string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("proxy-server", "http://127.0.0.1:9")) // nobody is there: the network is off
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	var mu sync.Mutex
	var all []string
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // starts it
		t.Fatal(err)
	}
	err = chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			all = append(all, fmt.Sprintf("%+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			all = append(all, fmt.Sprintf("console: %+v", e.Args))
		case *log.EventEntryAdded:
			all = append(all, e.Entry.Text)
		case *network.EventRequestWillBeSent:
			if e.Request.URL != page && e.Request.URL != "data:," {
				all = append(all, e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}
