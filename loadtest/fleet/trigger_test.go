package fleet

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

func TestBroadcastsArePostedBySchedule(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 2, "connections: 10", "hold: 1s", "broadcasts: {rate: 4, bytes: 64}")
	c.Trigger = &Trigger{URLs: []string{s.post}, Token: "s3cret"}
	runIt(t, t.Context(), c)
	r.check(t, 2)
	byID := map[int]int{}
	for _, line := range r.lines {
		if b := line.Broadcast; b != nil {
			byID[b.ID] += b.Receipts
			if b.First < 0 {
				t.Errorf("received before it was due: %+v", b)
			}
		}
	}
	if len(byID) != 4 || byID[0] != 10 || byID[3] != 10 || r.count(record.Expected) != 40 {
		t.Errorf("%v, expected %d", byID, r.count(record.Expected))
	}
}

// TestLateTriggerIsJudged has a limit that no program keeps to.
func TestLateTriggerIsJudged(t *testing.T) {
	s := newServer(t)
	c, r := config(t, s, 1, "connections: 1", "hold: 1s", "broadcasts: {rate: 150, bytes: 64}")
	c.Trigger = &Trigger{URLs: []string{s.post}, Token: "s3cret"}
	c.Job.Limits.Lag = time.Nanosecond
	end := runIt(t, t.Context(), c)
	if len(end.Saturated) != 1 || !strings.HasPrefix(end.Saturated[0], "coordinator: 1 in 100 pieces of work began ") {
		t.Errorf("%q", end.Saturated)
	}
	lags := int64(0)
	for _, line := range r.lines {
		if line.Sample == nil || line.Sample.Worker != record.Coordinator {
			continue
		}
		if encoded := line.Sample.Histograms[record.Lag]; encoded != nil {
			h, err := hdrhistogram.Decode(encoded)
			if err != nil {
				t.Fatal(err)
			}
			lags += h.TotalCount()
		}
	}
	if lags != 150 {
		t.Errorf("lag of %d broadcasts of 150", lags)
	}
}

func TestRefusedBroadcastsAreCounted(t *testing.T) {
	s := newServer(t)
	s.status.Store(http.StatusServiceUnavailable)
	c, r := config(t, s, 1, "connections: 1", "hold: 400ms", "broadcasts: {rate: 5, bytes: 64}")
	c.Trigger = &Trigger{URLs: []string{s.post}}
	runIt(t, t.Context(), c)
	refused := int64(0)
	for _, line := range r.lines {
		if line.Sample != nil {
			refused += line.Sample.Errors["broadcast refused 503"]
		}
	}
	if refused != 2 {
		t.Errorf("%d were refused", refused)
	}
}
