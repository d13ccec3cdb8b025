package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestLinesStayWhole writes from many goroutines: each line can be read back.
func TestLinesStayWhole(t *testing.T) {
	var file bytes.Buffer
	w := record.NewWriter(&file)
	var writing sync.WaitGroup
	for worker := range 8 {
		writing.Go(func() {
			for n := range 50 {
				w.Write(record.Line{Sample: &record.Sample{
					Worker: worker, At: time.Duration(n) * time.Second,
					Counts: map[record.Count]int64{record.Opened: int64(n)},
				}})
			}
		})
	}
	writing.Wait()
	next := map[int]time.Duration{}
	for text := range strings.Lines(file.String()) {
		var line record.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if s := line.Sample; s.At != next[s.Worker] || s.Counts[record.Opened] != int64(s.At/time.Second) {
			t.Errorf("worker %d: %+v, want the sample of %v", s.Worker, s, next[s.Worker])
		}
		next[line.Sample.Worker] += time.Second
	}
	if w.Err() != nil || len(next) != 8 || next[7] != 50*time.Second {
		t.Errorf("%v, %v", w.Err(), next)
	}
}

type full struct{ writes int }

var errFull = errors.New("disk full")

func (f *full) Write([]byte) (int, error) {
	f.writes++
	return 0, errFull
}

func TestFirstErrorStays(t *testing.T) {
	var disk full
	w := record.NewWriter(&disk)
	for range 3 {
		w.Write(record.Line{End: &record.End{}})
	}
	if !errors.Is(w.Err(), errFull) || disk.writes != 1 {
		t.Errorf("%v after %d writes", w.Err(), disk.writes)
	}
}
