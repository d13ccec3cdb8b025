package api

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// recording is a profile over time, of which there can be one at a time.
type recording struct {
	name        string
	usual, most int // seconds
	start       func(io.Writer) error
	stop        func()
}

// A trace is bounded more: what its reader does not take yet waits in memory.
var recordings = []recording{
	{"profile", 30, 600, pprof.StartCPUProfile, pprof.StopCPUProfile},
	{"trace", 1, 60, trace.Start, trace.Stop},
}

// registerProfiles serves what net/http/pprof does, where `go tool pprof` looks for it.
// That package is not used: it is on http.DefaultServeMux once it is imported, shows
// the command line, which may hold the token, and lets the server's deadline for
// reading cut what takes longer.
//
// Web pages of other origins cannot read what they ask for here, but a profile costs
// time: so they may not ask, although a GET changes nothing.
func registerProfiles(mux *http.ServeMux, crossOrigin *http.CrossOriginProtection) {
	register := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("GET /debug/pprof"+path, func(w http.ResponseWriter, r *http.Request) {
			asPost := r.WithContext(r.Context())
			asPost.Method = http.MethodPost
			switch {
			case crossOrigin.Check(asPost) != nil:
				denyCrossOrigin(w, r)
			case r.ContentLength != 0: // it would have to be waited for
				writeProblem(w, http.StatusBadRequest, "a profile takes no body")
			default:
				h(w, r)
			}
		})
	}
	register("", listProfiles)
	register("/{$}", listProfiles)
	register("/{name}", serveProfile)
	for _, rec := range recordings {
		register("/"+rec.name, rec.serve)
	}
}

func listProfiles(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, rec := range recordings {
		_, _ = fmt.Fprintf(w, "/debug/pprof/%s?seconds=%d\n", rec.name, rec.usual)
	}
	for _, p := range pprof.Profiles() {
		_, _ = fmt.Fprintf(w, "/debug/pprof/%s\n", p.Name())
	}
}

// serveProfile answers with a profile as it stands: for `go tool pprof`, or with debug=1
// or 2 as text. gc=1 collects garbage before.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		writeProblem(w, http.StatusNotFound, fmt.Sprintf("there is no profile %q; /debug/pprof lists them", r.PathValue("name")))
		return
	}
	if r.URL.Query().Has("seconds") {
		writeProblem(w, http.StatusBadRequest, "seconds: only of profile and trace; compare two others with go tool pprof -diff_base")
		return
	}
	debug, ok := number(w, r, "debug", 0, 0, 2)
	if !ok {
		return
	}
	gc, ok := number(w, r, "gc", 0, 0, 1)
	if !ok {
		return
	}
	if gc == 1 {
		runtime.GC()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if debug == 0 {
		asFile(w, p.Name())
	}
	_ = p.WriteTo(w, debug) // an error is the connection's
}

// serve records for some seconds, or until the client hangs up. The server's deadlines
// must not end it: the one for reading would look like a client that hung up.
func (rec recording) serve(w http.ResponseWriter, r *http.Request) {
	seconds, ok := number(w, r, "seconds", rec.usual, 1, rec.most)
	if !ok {
		return
	}
	duration := time.Duration(seconds) * time.Second
	deadlines := http.NewResponseController(w)
	end := time.Now().Add(duration + time.Minute)
	_, _ = deadlines.SetReadDeadline(end), deadlines.SetWriteDeadline(end)
	asFile(w, rec.name)
	if err := rec.start(w); err != nil {
		w.Header().Del("Content-Disposition")
		writeProblem(w, http.StatusConflict, "another one is being recorded: "+err.Error())
		return
	}
	defer rec.stop()
	select {
	case <-time.After(duration):
	case <-r.Context().Done():
	}
}

// number reads a whole number from the query. If it is not allowed, number answers so
// and returns false.
func number(w http.ResponseWriter, r *http.Request, name string, absent, low, high int) (n int, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return absent, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		writeProblem(w, http.StatusBadRequest, fmt.Sprintf("%s is %q: must be a whole number from %d to %d", name, text, low, high))
		return 0, false
	}
	return n, true
}

func asFile(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
