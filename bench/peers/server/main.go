// Command server is one WebSocket server per library that wheelgate is compared
// with, written as a user of that library would who wants it lean: /ws receives
// broadcasts, /echo receives them too and is sent back what it sends.
//
// The admin listener serves POST /v1/broadcast, which sends the body to all, and
// what probe.go adds: POST /gc and GET /goroutines.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// maxBroadcast bounds the body of a broadcast, in bytes.
const maxBroadcast = 64<<10 - 1

// peer is a running server.
type peer interface {
	// broadcast sends a binary message to all and returns how many they are. It
	// keeps nothing of payload when the library does not.
	broadcast(payload []byte) int
}

// impls start each library's server on an address.
var impls = map[string]func(addr string) (peer, error){
	"gws":     func(addr string) (peer, error) { return startGWS(addr, 0) },
	"gws1k":   func(addr string) (peer, error) { return startGWS(addr, 1024) },
	"gorilla": startGorilla,
	"nbio":    startNBIO,
}

func main() {
	impl := flag.String("impl", "gws", "gws, gws1k, gorilla or nbio")
	listen := flag.String("listen", "127.0.0.1:8080", "address of /ws and /echo")
	admin := flag.String("admin", "127.0.0.1:8081", "address of the administration")
	flag.Parse()
	start, ok := impls[*impl]
	if !ok {
		log.Fatalf("no implementation %q", *impl)
	}
	p, err := start(*listen)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *admin)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /v1/broadcast", func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBroadcast))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "{\"sessions\":%d}\n", p.broadcast(payload))
	})
	go func() { log.Fatal(http.Serve(ln, nil)) }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}

// serveHTTP serves h on addr, in the background.
func serveHTTP(addr string, h http.Handler) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() { log.Fatal(http.Serve(ln, h)) }()
	return nil
}
