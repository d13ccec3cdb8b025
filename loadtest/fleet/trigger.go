package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Trigger asks the server for broadcasts by HTTP: it posts the payload to each URL.
type Trigger struct {
	URLs  []string
	Token string // "": no Authorization header
}

// maxTriggers is how many requests for broadcasts may be under way; those due
// beyond it are dropped.
const maxTriggers = 64

// triggered is what the trigger has done since the last sample, and how late, which is
// kept for the run.
type triggered struct {
	mu     sync.Mutex
	counts map[record.Count]int64
	errors map[string]int64
	lag    loadtest.Lag
}

func newTriggered() *triggered {
	return &triggered{counts: map[record.Count]int64{}, errors: map[string]int64{}}
}

func (t *triggered) count(name record.Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name]++
}

// begun notes a broadcast that is asked for so long after it was due.
func (t *triggered) begun(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[record.Due]++
	if late > time.Millisecond {
		t.counts[record.Late]++
	}
	t.lag.Begun(late)
}

// reason is why the trigger may have been the bottleneck, or "".
func (t *triggered) reason(limits loadtest.Limits) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lag.Reason(limits)
}

func (t *triggered) fail(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors[kind]++
}

// sample returns what was counted since the last call.
func (t *triggered) sample() *record.Sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &record.Sample{Counts: t.counts, Errors: t.errors, Histograms: t.lag.Take()}
	t.counts, t.errors = map[record.Count]int64{}, map[string]int64{}
	return s
}

// trigger posts each broadcast when it is due after begin, in the open model: it
// does not wait for the answer of the one before. It returns when all have ended.
func (c *coordinator) trigger(ctx context.Context, begin time.Time) {
	series := c.Job.Scenario.Plan().Broadcasts
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: maxTriggers}}
	defer client.CloseIdleConnections()
	done := c.triggered
	var posting sync.WaitGroup
	slots := make(chan struct{}, maxTriggers)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for k := 0; k < series.Total; {
		dueAt := begin.Add(series.DueIndex(k))
		next.Reset(time.Until(dueAt))
		select {
		case <-ctx.Done():
			k = series.Total
		case <-second.C:
			c.self(done.sample())
		case <-next.C:
			c.post(ctx, client, done, &posting, slots, k, dueAt)
			k++
		}
	}
	posting.Wait()
	c.self(done.sample())
}

// judgeTrigger says whether the broadcasts were asked for too late, which deliveries are
// charged with.
func (c *coordinator) judgeTrigger() {
	if c.triggered == nil {
		return
	}
	if reason := c.triggered.reason(c.Job.Limits); reason != "" {
		c.saturated = append(c.saturated, "coordinator: "+reason)
	}
}

// post asks for broadcast k at all URLs.
func (c *coordinator) post(ctx context.Context, client *http.Client, done *triggered, posting *sync.WaitGroup, slots chan struct{}, k int, dueAt time.Time) {
	payload := loadtest.BroadcastPayload(c.Job.Run, k, c.Job.Scenario.Broadcasts.Bytes)
	for _, url := range c.Trigger.URLs {
		done.begun(time.Since(dueAt))
		select {
		case slots <- struct{}{}:
		default:
			done.count(record.Dropped)
			continue
		}
		posting.Go(func() {
			defer func() { <-slots }()
			if kind := c.Trigger.post(ctx, client, url, payload); kind != "" && ctx.Err() == nil {
				done.fail(kind)
			}
		})
	}
}

// post returns the kind of error, "" for none.
func (t *Trigger) post(ctx context.Context, client *http.Client, url string, payload []byte) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return "broadcast not posted"
	}
	request.Header.Set("Content-Type", "text/plain")
	if t.Token != "" {
		request.Header.Set("Authorization", "Bearer "+t.Token)
	}
	response, err := client.Do(request)
	if err != nil {
		return "broadcast not posted"
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode >= 300 {
		return fmt.Sprintf("broadcast refused %d", response.StatusCode)
	}
	return ""
}
