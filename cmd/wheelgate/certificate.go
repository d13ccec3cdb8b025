package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// certificate is a pair of PEM files that may be renewed while we run. Handshakes
// look at the files, at most once a second: no goroutine, and nothing to stop.
type certificate struct {
	// Static after loadCertificate.
	certFile, keyFile string
	log               zerolog.Logger
	every             time.Duration

	mu      sync.Mutex
	pair    *tls.Certificate
	files   [2]os.FileInfo // as of the last attempt to load; nil: not there
	fault   string         // of that attempt; "": it loaded
	checked time.Time
}

// loadCertificate reads the pair for the first time, when it has to be good.
func loadCertificate(certFile, keyFile string, log zerolog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, every: time.Second}
	c.files = c.stat()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load tls-cert %q and tls-key %q: %w", certFile, keyFile, err)
	}
	c.pair, c.checked = &pair, time.Now()
	return c, nil
}

// config is for HTTP/1.1 servers, the only kind that speaks WebSocket here.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

// current returns the pair, read anew if the files have changed or did not load
// the last time: the cause may have been a permission or a lack of descriptors,
// which files do not show. A pair that cannot be read leaves the old one in place:
// while two files are replaced one after the other, they may not belong together.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < c.every {
		return c.pair
	}
	c.checked = time.Now()
	files := c.stat() // before reading, so that no later change is missed
	changed := !unchanged(files[0], c.files[0]) || !unchanged(files[1], c.files[1])
	if changed || c.fault != "" {
		c.files = files
		c.load(changed)
	}
	return c.pair
}

// load reads the pair, and logs a fault if it is another than the last time or
// the files have changed.
func (c *certificate) load(changed bool) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if text := err.Error(); changed || text != c.fault {
			c.fault = text
			c.log.Error().Err(err).Str("tls_cert", c.certFile).Str("tls_key", c.keyFile).
				Msg("Changed certificate not loaded, the old one stays")
		}
		return
	}
	c.pair, c.fault = &pair, ""
	c.log.Info().Str("tls_cert", c.certFile).Time("not_after", pair.Leaf.NotAfter).Msg("Certificate renewed")
}

func (c *certificate) stat() (files [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		files[i], _ = os.Stat(name) // nil on error
	}
	return files
}

func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}
