package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/report"
)

// TestReports makes all reports of one run, right after it and anew from its records.
func TestReports(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	out, summary, page := filepath.Join(dir, "run.jsonl"), filepath.Join(dir, "run.json"), filepath.Join(dir, "run.html")
	args := []string{"run", "echo", "--url", g.echo, "--connections=5", "--rate=50", "--hold=1s", "--quiet", "--allow-saturated", "--out", out}
	o := try(t, append(args, "--json", summary, "--html", page, "--fail-if=p99(echo)>1m, errors>0, dropped>0")...)
	if o.code != exitDone || o.stderr != "" || !strings.Contains(o.stdout, "echo") {
		t.Fatalf("%+v", o)
	}
	var s report.Summary
	text, err := os.ReadFile(summary)
	if err != nil || json.Unmarshal(text, &s) != nil || s.Counts[record.Received] != 50 || s.Latencies["echo"].Count != 50 {
		t.Errorf("%v: %s", err, text)
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "<html") {
		t.Errorf("%v: %d bytes of page", err, len(html))
	}

	again := try(t, "report", out, "--json=-", "--allow-saturated")
	if again.code != exitDone || again.stdout != string(text) {
		t.Errorf("anew: %+v\nwant %s", again, text)
	}
	if both := try(t, "compare", summary, out); both.code != exitDone || !strings.Contains(both.stdout, "echo") {
		t.Errorf("%+v", both)
	}
	for _, broken := range []string{"p50(echo)>1us", "max(expiry)>1ms"} { // one is so, one was not measured
		o := try(t, "report", out, "--json=-", "--allow-saturated", "--fail-if="+broken)
		if o.code != exitFailure || !strings.HasPrefix(o.stderr, "loadtest: --fail-if: ") || strings.Count(o.stderr, "\n") != 1 || o.stdout != string(text) {
			t.Errorf("%s: exit %d, %q", broken, o.code, o.stderr)
		}
	}
}

func TestBadReportCommandLines(t *testing.T) {
	dir := t.TempDir()
	none, noRecord := filepath.Join(dir, "none"), filepath.Join(dir, "text")
	if err := os.WriteFile(noRecord, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(code int, begin string, args ...string) {
		t.Helper()
		o := try(t, args...)
		if o.code != code || !strings.HasPrefix(o.stderr, "loadtest: "+begin) || strings.Count(o.stderr, "\n") != 1 || o.stdout != "" {
			t.Errorf("%v: %+v", args, o)
		}
	}
	f(exitUsage, "report: needs one file of raw records, and not 0", "report")
	f(exitUsage, "report: open "+none, "report", none)
	f(exitUsage, "report: "+noRecord+" is no file of raw records (--out), or is damaged: line 1: invalid character 'h'", "report", noRecord)
	f(exitUsage, "report: "+dir+" is no file of raw records (--out), or is damaged: line 1: read "+dir+": is a directory", "report", dir)
	for _, flag := range []string{"json", "html"} { // before anything is run: nobody listens there
		lost, folder := filepath.Join(none, "x"), "--"+flag+"="+dir
		f(exitUsage, "--"+flag+`: bad value "`+lost+`": must be`, "run", "idle", "--url=ws://127.0.0.1:1/", "--"+flag+"="+lost)
		f(exitUsage, "--"+flag+`: bad value "`+dir+`": must be a file, and is a folder`, "run", "idle", "--url=ws://127.0.0.1:1/", folder)
		f(exitUsage, "--"+flag+`: bad value "`+lost+`": must be`, "report", noRecord, "--"+flag+"="+lost)
	}
	for _, flag := range []string{"json", "html"} { // one would overwrite the other
		own := filepath.Join(dir, "own")
		const records = `": must not be the file of the raw records`
		f(exitUsage, "--"+flag+`: bad value "`+noRecord+records, "report", noRecord, "--"+flag+"="+noRecord)
		f(exitUsage, "--"+flag+`: bad value "`+dir+"/./own"+records, "run", "idle", "--url=ws://127.0.0.1:1/", "--out="+own, "--"+flag+"="+dir+"/./own")
	}
	f(exitUsage, `--html: bad value "`+noRecord+`": must not be where --json goes`, "report", none, "--json="+noRecord, "--html="+noRecord)
	f(exitUsage, `--html: bad value "-": must not be where --json goes`, "report", none, "--json=-", "--html=-")
	if text, err := os.ReadFile(noRecord); err != nil || string(text) != "hello\n" {
		t.Errorf("%q, %v", text, err)
	}
	f(exitUsage, "--fail-if: ", "report", noRecord, "--fail-if=p99(echo)")
	f(exitUsage, "compare: needs two files, and not 1", "compare", none)
	f(exitUsage, "compare: "+none+": ", "compare", none, none)
	f(exitUsage, "compare: "+noRecord+": is neither a summary (--json) nor raw records (--out): ", "compare", noRecord, noRecord)
}

func TestVerdicts(t *testing.T) {
	f := func(want string, end *record.End, allow bool) {
		t.Helper()
		err := verdict(end, allow)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", end, err, want)
		}
	}
	f("", &record.End{}, false)
	f("cut off", nil, false)
	f("the run failed: worker 1 ended midway", &record.End{Error: "worker 1 ended midway", Interrupted: true}, true)
	f("the run failed: all connections were lost", &record.End{Lost: "all connections were lost"}, true)
	f("interrupted after 1.5s", &record.End{At: 1500 * time.Millisecond, Interrupted: true}, true)
	f("the tool was the bottleneck (--allow-saturated lets it pass): worker 0: late", &record.End{Saturated: []string{"worker 0: late"}}, false)
	f("", &record.End{Saturated: []string{"worker 0: late"}}, true)
}
