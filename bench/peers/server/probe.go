package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
)

// init adds POST /gc and GET /goroutines to http.DefaultServeMux and serves that
// on $PEERS_PROBE, if set. This file is also laid over cmd/wheelgate when measure
// builds it, so that all servers are collected and counted in the same way; so it
// declares nothing else.
func init() {
	http.HandleFunc("POST /gc", func(http.ResponseWriter, *http.Request) {
		runtime.GC() // a sync.Pool is empty only after two
		debug.FreeOSMemory()
	})
	http.HandleFunc("GET /goroutines", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strconv.Itoa(runtime.NumGoroutine())))
	})
	addr := os.Getenv("PEERS_PROBE")
	if addr == "" {
		return
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatalf("probe: %v", err)
	}
	go func() { log.Fatalf("probe: %v", http.Serve(ln, http.DefaultServeMux)) }()
}
