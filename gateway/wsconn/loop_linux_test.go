package wsconn_test

import (
	"testing"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func TestLoop(t *testing.T) {
	newTransport := func(cfg wsconn.Config) transport {
		tr, err := wsconn.New(wsconn.KindLoop, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) { testContract(t, l, newTransport) })
	}
}
