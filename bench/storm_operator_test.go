//go:build linux && !race

package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// operator uses the API. Each call has to be answered with a status that it may have.
type operator struct {
	*tempest
	rng    *rand.Rand
	client *http.Client
	cursor string
	known  []known // the last page
}

type known struct {
	ID     string `json:"id"`
	Remote string `json:"remote_address"`
}

func (s *tempest) newOperator(rng *rand.Rand) *operator {
	return &operator{tempest: s, rng: rng, client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}}
}

// call reports whether an answer came; that none does is harm until SIGTERM.
func (o *operator) call(ctx context.Context, method, path, body string, may ...int) (answer []byte, ok bool) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+o.admin+path, strings.NewReader(body))
	if err != nil {
		o.harm("%s %s: %v", method, path, err)
		return nil, false
	}
	request.Header.Set("Content-Type", []string{"text/plain", "application/octet-stream"}[o.rng.IntN(2)])
	response, err := o.client.Do(request)
	if err == nil {
		answer, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err != nil {
		if o.excuse(ctx, err) == err {
			o.harm("%s %s: %v", method, path, err)
		}
		pause(ctx, 10*time.Millisecond)
		return nil, false
	}
	if !slices.Contains(may, response.StatusCode) {
		o.harm("%s %s: %s %.300s", method, path, response.Status, answer)
	}
	return answer, true
}

// broadcast sends numbered news, small and large, until one is not answered.
func (s *tempest) broadcast(ctx context.Context, rng *rand.Rand, stream int) {
	o := s.newOperator(rng)
	defer o.client.CloseIdleConnections()
	for n := 1; ctx.Err() == nil && !s.gone(); n++ {
		size := rng.IntN(300)
		if rng.IntN(10) == 0 {
			size = rng.IntN(20_000)
		}
		// The wave's end must not leave open whether everybody got it.
		_, ok := o.call(context.WithoutCancel(ctx), http.MethodPost, "/v1/broadcast",
			fmt.Sprintf("news %d %d %s", stream, n, strings.Repeat("n", size)), 200)
		if !ok {
			return
		}
		pause(ctx, time.Duration(5+rng.IntN(60))*time.Millisecond)
	}
}

// administer looks around, writes to some and kicks some.
func (s *tempest) administer(ctx context.Context, rng *rand.Rand) {
	o := s.newOperator(rng)
	defer o.client.CloseIdleConnections()
	for ctx.Err() == nil && !s.gone() {
		switch n := rng.IntN(20); {
		case n < 5 || len(o.known) == 0:
			o.list(ctx)
		case n < 6:
			o.call(ctx, http.MethodGet, "/v1/stats", "", 200)
		case n < 7:
			o.call(ctx, http.MethodGet, "/metrics", "", 200)
			if o.rng.IntN(4) == 0 {
				_ = s.Process.Signal(syscall.SIGHUP) // which finds nothing changed
			}
		case n < 8:
			o.call(ctx, http.MethodGet, "/v1/sessions?limit=0", "", 422)
			o.call(ctx, http.MethodDelete, "/v1/sessions/nobody", "", 404)
		case n < 10:
			o.kick(ctx, o.known[rng.IntN(len(o.known))])
		case n < 12:
			o.call(ctx, http.MethodGet, "/v1/sessions/"+o.known[rng.IntN(len(o.known))].ID, "", 200, 404)
		default:
			to := o.known[rng.IntN(len(o.known))]
			o.call(ctx, http.MethodPost, "/v1/sessions/"+to.ID+"/messages",
				"note "+to.Remote+" "+strings.Repeat("n", rng.IntN(5000)), 200, 404, 409)
		}
		pause(ctx, time.Duration(rng.IntN(15))*time.Millisecond)
	}
}

func (o *operator) list(ctx context.Context) {
	answer, ok := o.call(ctx, http.MethodGet, fmt.Sprintf("/v1/sessions?limit=%d&cursor=%s", 1+o.rng.IntN(50), o.cursor), "", 200)
	if !ok {
		return
	}
	var page struct {
		Sessions []known
		Next     string `json:"next_cursor"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		o.harm("a page of sessions: %v: %.200s", err, answer)
	}
	o.known, o.cursor = page.Sessions, page.Next
}

// kick closes a session, and lets its client know what to expect before.
func (o *operator) kick(ctx context.Context, who known) {
	code, reason, query := 4503, "kicked", ""
	if o.rfc {
		code = 1008
	}
	if o.rng.IntN(2) == 0 {
		code, reason = 4000+o.rng.IntN(1000), fmt.Sprint("rain ", o.rng.IntN(1000))
		query = fmt.Sprintf("?code=%d&reason=%s", code, url.QueryEscape(reason))
	}
	o.kicked.Store(fmt.Sprint(who.Remote, code, reason), true)
	o.call(ctx, http.MethodDelete, "/v1/sessions/"+who.ID+query, "", 204, 404, 409)
}

// halt stops the program for a moment now and then, as a busy machine does.
func (s *tempest) halt(ctx context.Context, rng *rand.Rand) {
	for pause(ctx, time.Duration(300+rng.IntN(3000))*time.Millisecond) && !s.gone() {
		_ = s.Process.Signal(syscall.SIGSTOP)
		pause(context.WithoutCancel(ctx), time.Duration(rng.IntN(900))*time.Millisecond)
		_ = s.Process.Signal(syscall.SIGCONT)
	}
}
