package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// certify writes a new self-signed pair for 127.0.0.1 over the files, with this
// serial number, and returns the certificate. Files get their time from the serial
// number, so that two writes in one tick of the file system's clock differ.
func certify(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "wheelgate test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		write(t, name, string(pem.EncodeToMemory(block)))
		age(t, name, serial)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func age(t *testing.T, name string, seconds int64) {
	t.Helper()
	when := time.Unix(1_700_000_000+seconds, 0)
	if err := os.Chtimes(name, when, when); err != nil {
		t.Fatal(err)
	}
}

// newCertificate is a pair looked at in every handshake, with its files and log.
func newCertificate(t *testing.T) (c *certificate, certFile, keyFile string, log *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, certFile, keyFile, 1)
	log = &bytes.Buffer{}
	c, err := loadCertificate(certFile, keyFile, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	c.every = 0
	return c, certFile, keyFile, log
}

// serial is the number of the certificate that a handshake gets now.
func serial(t *testing.T, c *certificate) int64 {
	t.Helper()
	pair, err := c.config().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.Int64()
}

func TestRenewedCertificateIsPickedUp(t *testing.T) {
	c, certFile, keyFile, log := newCertificate(t)
	if got := serial(t, c); got != 1 {
		t.Fatalf("serial %d", got)
	}
	certify(t, certFile, keyFile, 2)
	if got := serial(t, c); got != 2 {
		t.Errorf("serial %d after the renewal", got)
	}
	if !strings.Contains(log.String(), "Certificate renewed") {
		t.Errorf("log: %s", log)
	}
}

func TestBadRenewalKeepsTheOldCertificate(t *testing.T) {
	c, certFile, keyFile, log := newCertificate(t)
	errorsLogged := func() int { return strings.Count(log.String(), `"level":"error"`) }

	write(t, certFile, "no certificate")
	for range 3 {
		if got := serial(t, c); got != 1 {
			t.Errorf("serial %d with a bad file", got)
		}
	}
	if errorsLogged() != 1 {
		t.Errorf("logged %d times: %s", errorsLogged(), log)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := serial(t, c); got != 1 {
			t.Errorf("serial %d without a file", got)
		}
	}
	if errorsLogged() != 2 {
		t.Errorf("logged %d times: %s", errorsLogged(), log)
	}
	certify(t, certFile, keyFile, 3)
	if got := serial(t, c); got != 3 {
		t.Errorf("serial %d with a good pair again", got)
	}
}

// A load may fail for a cause that leaves the files as they are. Here it is their
// content, changed with their size and time kept: root may read anything.
func TestFailedRenewalIsTriedAgain(t *testing.T) {
	c, certFile, keyFile, log := newCertificate(t)
	certify(t, certFile, keyFile, 2)
	good, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	f := func(content string, wantSerial int64, wantLogged int) {
		t.Helper()
		write(t, certFile, content+strings.Repeat("\n", len(good)-len(content)))
		age(t, certFile, 2)
		for range 3 {
			if got := serial(t, c); got != wantSerial {
				t.Errorf("serial %d; want %d", got, wantSerial)
			}
		}
		if got := strings.Count(log.String(), `"level":"error"`); got != wantLogged {
			t.Errorf("logged %d times; want %d: %s", got, wantLogged, log)
		}
	}
	f("", 1, 1)
	f("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1, 2)
	f(string(good), 2, 2)
}

func TestHalfARenewalKeepsTheOldCertificate(t *testing.T) {
	c, certFile, keyFile, _ := newCertificate(t)
	dir := t.TempDir()
	nextCert, nextKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, nextCert, nextKey, 2)
	for i, move := range [][2]string{{nextCert, certFile}, {nextKey, keyFile}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
		if got := serial(t, c); got != int64(i+1) {
			t.Errorf("serial %d after renewing %d of 2 files", got, i+1)
		}
	}
}

func TestFilesAreLookedAtOnceASecond(t *testing.T) {
	c, certFile, keyFile, _ := newCertificate(t)
	c.every = time.Hour
	certify(t, certFile, keyFile, 2)
	if got := serial(t, c); got != 1 {
		t.Errorf("serial %d", got)
	}
}

func TestFirstCertificateHasToBeGood(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	f := func(want string) {
		t.Helper()
		o := try(t, nil, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile)
		o.wantFault(t, exitFailure, `load tls-cert "`+certFile+`" and tls-key "`+keyFile+`": `+want)
	}
	f("open " + certFile + ": no such file or directory")
	certify(t, certFile, keyFile, 1)
	write(t, keyFile, "no key")
	f("tls: failed to find any PEM data in key input")
}
