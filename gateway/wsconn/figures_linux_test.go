package wsconn_test

import (
	"fmt"
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestFigures: every byte counts once, on whatever way it went.
func TestFigures(t *testing.T) {
	for _, l := range []link{links[0], links[1], links[3]} {
		for name, tr := range map[string]transport{"goroutine": wsconn.NewGoroutine(testConfig), "loop": newLoop(t)(testConfig)} {
			t.Run(name+" "+l.name, func(t *testing.T) { testFigures(t, tr, l, name == "loop" && l.name != "tls") })
		}
	}
}

func testFigures(t *testing.T, tr transport, l link, onLoop bool) {
	t.Cleanup(func() { // after that of newServer
		if n := tr.(wsconn.Transport).Figures(); n.OnLoops != 0 || n.OnGoroutines != 0 {
			t.Errorf("when all are gone: %+v", n)
		}
	})
	srv := newServer(t, tr, l, echoing)
	conns := make([]wsconn.Conn, 3)
	for i := range conns {
		c, s := srv.connect(clientFrame(fin|opText, "early"))
		c.expect(fin|opText, "early") // 11 and 7 bytes
		c.send(clientFrame(fin|opBinary, chunk))
		c.expect(fin|opBinary, chunk) // 50,008 and 50,004
		conns[i] = s.conn
		t.Cleanup(func() { c.expect(fin|opText, "all") }) // 5
	}
	f, err := wsconn.NewFrame(wsconn.Text, []byte("all"))
	if err != nil {
		t.Fatal(err)
	}
	tr.SendAll(f, conns, make([]error, len(conns)))
	want := wsconn.Figures{Received: 3 * (11 + 50_008), Sent: 3 * (7 + 50_004 + 5)}
	if onLoop {
		want.OnLoops = 3
	} else {
		want.OnGoroutines = 3
	}
	var got wsconn.Figures
	eventually(t, fmt.Sprintf("%+v", want), func() bool {
		got = tr.(wsconn.Transport).Figures()
		fell := got.Fallbacks[wsconn.FallbackTLS]
		_, goroutines := tr.(*wsconn.Goroutine)
		if wantFell := l.name == "tls" && !goroutines; wantFell != (fell == 3) {
			t.Fatalf("%d fell back for TLS", fell)
		}
		got.Fallbacks, got.IOUring = want.Fallbacks, false
		return got == want
	})
}
