package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestLoopbackSources(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	f := func(urls string, connections, want int) {
		t.Helper()
		got := loopbackSources(strings.Fields(urls), connections)
		if len(got) != want {
			t.Errorf("%d connections to %s: from %v, want %d", connections, urls, got, want)
		}
		for i, a := range got {
			if !a.IsLoopback() || i > 0 && a == got[i-1] {
				t.Errorf("%v", got)
			}
		}
	}
	f("ws://127.0.0.1:80/", 9_999, 0)
	f("ws://127.0.0.1:80/", 19_000, 2)
	f("ws://127.0.0.1:80/ ws://127.0.0.1:81/", 30_000, 3)
	f("ws://127.0.0.1:80/ ws://127.0.0.1:81/ ws://127.0.0.1:82/", 90_000, 4)
	f("ws://127.0.0.1:80/ ws://192.0.2.1:81/", 90_000, 0)
	f("ws://[::1]:80/", 90_000, 0)
	f("ws://127.0.0.1:80/", 10_000_000, 250)
}
