package wsconn

import (
	"strings"
	"testing"
)

// BenchmarkNewFrame is what a message costs before anything is sent.
func BenchmarkNewFrame(b *testing.B) {
	payload := []byte(strings.Repeat("a message", 14))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewFrame(Text, payload); err != nil {
			b.Fatal(err)
		}
	}
}
