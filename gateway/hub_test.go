package gateway_test

import (
	"strings"
	"testing"
)

// TestListing pages through sessions while others come and go: those that stay
// are listed once each.
func TestListing(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		var churn []*client
		for range 200 {
			f.dial("/ws")
		}
		staying := map[string]int{}
		all, _ := f.Sessions(0, 1000)
		for _, s := range all {
			staying[s.ID()] = 0
		}
		for cursor, page := uint32(0), 0; ; page++ {
			sessions, next := f.Sessions(cursor, 7)
			if len(sessions) > 7 {
				t.Fatalf("a page of %d", len(sessions))
			}
			for _, s := range sessions {
				if _, ok := staying[s.ID()]; ok {
					staying[s.ID()]++
				}
			}
			if page%2 == 0 {
				churn = append(churn, f.dial("/ws"))
			} else {
				_ = churn[len(churn)-1].WriteClose(1000, nil)
			}
			if cursor = next; next == 0 {
				break
			}
		}
		if len(staying) != 200 {
			t.Fatalf("%d sessions listed at first; want 200", len(staying))
		}
		for id, n := range staying {
			if n != 1 {
				t.Errorf("%s was listed %d times", id, n)
			}
		}
	})
}

func TestSessionIDs(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		f := start(t, nil)
		f.dial("/ws")
		id := f.one().ID()
		if f.Session(id) == nil {
			t.Fatal("not found by its id")
		}
		flipped := "A"
		if id[31] == 'A' {
			flipped = "B"
		}
		for _, wrong := range []string{"", "x", strings.ToLower(id), id + "A", id[:31], id[:31] + flipped, strings.Repeat("7", 32), strings.Repeat("A", 32)} {
			if f.Session(wrong) != nil {
				t.Errorf("%q found a session", wrong)
			}
		}
	})
}
