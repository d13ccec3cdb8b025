package wheel

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// TestEngineStaysOnOneLevel, also when nothing was armed for long: its clock is that of
// what fired last, and a timer too far from that makes an overflow wheel, where it deadlocks.
func TestEngineStaysOnOneLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step = 500 * time.Millisecond
		e := newEngine(step)
		defer e.stop()
		for range 3 {
			time.Sleep(3*engineMargin + time.Second)
			fired := make(chan struct{})
			if !e.arm(slots*step, func() { close(fired) }) {
				t.Fatal("not armed")
			}
			<-fired
		}
		if overflow := reflect.ValueOf(e.wheel).Elem().FieldByName("overflowWheel"); !overflow.IsNil() {
			t.Error("there is an overflow wheel")
		}
	})
}
