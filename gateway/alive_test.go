package gateway_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/api"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestAliveFindsALoopThatHangs in a callback, and forgives when it goes on.
func TestAliveFindsALoopThatHangs(t *testing.T) {
	if _, err := wsconn.New(wsconn.KindLoop, wsconn.Config{}); err != nil {
		t.Skip(err)
	}
	transport = wsconn.KindLoop
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		f := start(t, func(cfg *gateway.Config) {
			cfg.Hooks.Message = func(*gateway.Session, wsconn.Opcode, []byte) { <-goOn }
		})
		f.dial("/ws")
		time.Sleep(time.Hour) // idle, but for our pings
		if err := f.Alive(); err != nil {
			t.Errorf("while nothing happens: %v", err)
		}
		c := f.dial("/ws")
		if err := c.WriteMessage(gws.OpcodeText, []byte("hang")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		if err := f.Alive(); err != nil {
			t.Errorf("too early: %v", err)
		}
		time.Sleep(3 * time.Second)
		if err := f.Alive(); err == nil || !strings.Contains(err.Error(), "event loop") {
			t.Errorf("after 32 s in one turn: %v", err)
		}
		live := httptest.NewRecorder()
		api.New(api.Options{Gateway: f.Gateway}).ServeHTTP(live, httptest.NewRequest("GET", "/livez", nil))
		if live.Code != 503 || !strings.Contains(live.Body.String(), "event loop") {
			t.Errorf("/livez says %d, %s", live.Code, live.Body)
		}
		close(goOn)
		time.Sleep(2 * time.Second)
		if err := f.Alive(); err != nil {
			t.Errorf("it goes on: %v", err)
		}
	})
}
