package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// The end-to-end tests drive the program with clients that are not ours. What
// they need may be missing on a developer's machine, but not in CI.
const (
	e2eTimeout = 5 * time.Second
	e2eTick    = e2eTimeout / 20
	// e2eSlack is what a browser on a busy machine may take to report a close.
	e2eSlack = 2 * time.Second
)

func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed: %v", program, err)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

// event is what a foreign client reports.
type event struct {
	Client, Event string
	Data          json.RawMessage
	At            int64 // Unix milliseconds
}

func (e event) String() string { return fmt.Sprintf("%s %s %s", e.Client, e.Event, e.Data) }

// watch checks the story both kinds of client live through: they connect, get a
// broadcast, the idle one is closed on time and the talker stays.
func watch(t *testing.T, p *program, next func() event) {
	t.Helper()
	expect := func(want ...string) (last event) {
		t.Helper()
		missing := map[string]bool{}
		for _, w := range want {
			missing[w] = true
		}
		for len(missing) > 0 {
			last = next()
			if last.Event == "open" {
				last.Data = nil
			}
			got := strings.TrimSpace(last.String())
			if !missing[got] {
				t.Fatalf("event %q; want one of %v", got, missing)
			}
			delete(missing, got)
		}
		return last
	}
	expect("idle open", "talker open")
	before := time.Now()
	broadcast(t, p, "gate 7 open", 2)
	after := time.Now()
	const message = `message {"text":"gate 7 open","binary":false}`
	expect("idle "+message, "talker "+message)
	closed := expect(`idle close {"code":4202,"reason":"idle_timeout;idle=5"}`)

	at := time.UnixMilli(closed.At)
	if early := before.Truncate(time.Millisecond).Add(e2eTimeout).Sub(at); early > 0 {
		t.Errorf("closed %v early", early)
	}
	late := at.Sub(after.Add(e2eTimeout))
	t.Logf("the idle client was told %v after its deadline; two ticks are %v", late, 2*e2eTick)
	if late > 2*e2eTick+e2eSlack {
		t.Errorf("closed %v late", late)
	}
	broadcast(t, p, "still there?", 1)
	expect(`talker message {"text":"still there?","binary":false}`)
}

func broadcast(t *testing.T, p *program, text string, want int) {
	t.Helper()
	resp, err := http.Post("http://"+p.admin+"/v1/broadcast", "application/x-www-form-urlencoded", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if got := strings.TrimSpace(string(body)); resp.StatusCode != 200 || !strings.Contains(got, fmt.Sprintf(`"sessions":%d`, want)) {
		t.Errorf("broadcast: %s %s; want %d sessions", resp.Status, got, want)
	}
	http.DefaultClient.CloseIdleConnections()
}

// nodeCommand runs a script of testdata/node beside Node's ws, installed from npm.
func nodeCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	node, npm := needs(t, "node"), needs(t, "npm")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "node"))); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	cmd := exec.Command(node, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	return cmd
}

// TestNode drives the program with Node's ws.
func TestNode(t *testing.T) {
	p, _ := startProcess(t, "--session-timeout="+e2eTimeout.String(), "--drain-window=0s")
	cmd := nodeCommand(t, "client.mjs", "ws://"+p.addr+"/ws")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	watch(t, p, func() (e event) {
		if !lines.Scan() {
			t.Fatalf("node ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return e
	})
}

// page has the same two clients as testdata/node/client.mjs.
const page = `<!doctype html><title>wheelgate</title><script>
const events = [];
function client(name, talk) {
  const say = (event, data) => events.push({client: name, event, data, at: Date.now()});
  const ws = new WebSocket(%q);
  ws.onopen = () => { say('open'); if (talk) setInterval(() => ws.send('here'), 500); };
  ws.onmessage = (e) => say('message', {text: e.data, binary: typeof e.data !== 'string'});
  ws.onclose = (e) => say('close', {code: e.code, reason: e.reason});
}
client('idle', false);
client('talker', true);
</script>`

// TestBrowser drives the program with a page in Chromium.
func TestBrowser(t *testing.T) {
	var p *program
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, page, "ws://"+p.addr+"/ws")
	}))
	defer pages.Close()
	p, _ = startProcess(t, "--session-timeout="+e2eTimeout.String(), "--drain-window=0s", "--allow-origin="+pages.URL)

	ctx := browse(t, pages.URL)
	seen := 0
	watch(t, p, func() (e event) {
		eventually(t, "the page's next event", p.log.String, func() bool {
			events, err := chromedp.Run(ctx, chromedp.Evaluate[[]event]("events"))
			if err != nil {
				t.Fatal(err)
			}
			if len(events) > seen {
				e = events[seen]
				return true
			}
			return false
		})
		seen++
		return e
	})
	if err := chromedp.Cancel(ctx); err != nil {
		t.Error(err)
	}
}

// browse opens url in Chromium, which is ended with the test.
func browse(t *testing.T, url string) context.Context {
	t.Helper()
	chromium := needs(t, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true))
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(closeBrowser)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if _, err := chromedp.Run(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return ctx
}
