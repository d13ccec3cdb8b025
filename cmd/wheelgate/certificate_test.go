package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
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

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// certify writes a new self-signed pair for 127.0.0.1 over the files, with this
// serial number, and returns the certificate. Files get their time from the serial
// number, so that two writes in one tick of the file system's clock differ.
func certify(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	return certifyFor(t, certFile, keyFile, serial, -time.Hour, 365*day)
}

// certifyFor is certify for a certificate that is valid from and until then, from now.
func certifyFor(t *testing.T, certFile, keyFile string, serial int64, from, until time.Duration) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "wheelgate test"},
		NotBefore:    time.Now().Add(from),
		NotAfter:     time.Now().Add(until),
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

// someCertificate is a pair with its files and log.
func someCertificate(t *testing.T) (c *certificate, certFile, keyFile string, log *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, certFile, keyFile, 1)
	log = &bytes.Buffer{}
	return newCertificate(readPair(t, certFile, keyFile), certFile, keyFile, "public", zerolog.New(log)), certFile, keyFile, log
}

func readPair(t *testing.T, certFile, keyFile string) *tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// serial is the number of the certificate that a handshake gets after a look.
func serial(t *testing.T, c *certificate) int64 {
	t.Helper()
	c.look(t.Context())
	pair, err := c.config().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.Int64()
}

func TestRenewedCertificateIsPickedUp(t *testing.T) {
	c, certFile, keyFile, log := someCertificate(t)
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
	c, certFile, keyFile, log := someCertificate(t)
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
	c, certFile, keyFile, log := someCertificate(t)
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
	c, certFile, keyFile, _ := someCertificate(t)
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

func TestFirstCertificateHasToBeGood(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for _, prefix := range []string{"", "admin-"} {
		f := func(line string) {
			t.Helper()
			o := try(t, nil, "config", "--"+prefix+"tls-cert", certFile, "--"+prefix+"tls-key", keyFile)
			o.wantFault(t, exitUsage, line)
		}
		missing := func(name, file string) string {
			return prefix + name + `: bad value "` + file + `" from flag --` + prefix + name + `: must be a readable file: no such file or directory`
		}
		_, _ = os.Remove(certFile), os.Remove(keyFile)
		f(missing("tls-cert", certFile))
		write(t, certFile, "no certificate")
		f(missing("tls-key", keyFile))
		certify(t, certFile, keyFile, 1)
		write(t, keyFile, "no key")
		f(prefix + `tls-cert: bad value "` + certFile + `" from flag --` + prefix + `tls-cert with ` + prefix + `tls-key "` + keyFile +
			`" from flag --` + prefix + `tls-key: tls: failed to find any PEM data in key input`)
	}
}

func TestCertificateOutOfItsTimeReplacesNoGoodOne(t *testing.T) {
	c, certFile, keyFile, log := someCertificate(t)
	certifyFor(t, certFile, keyFile, 2, -2*time.Hour, -time.Hour)
	for range 3 {
		if got := serial(t, c); got != 1 {
			t.Errorf("serial %d instead of a valid one", got)
		}
	}
	certifyFor(t, certFile, keyFile, 3, time.Hour, 2*time.Hour)
	for range 3 {
		if got := serial(t, c); got != 1 {
			t.Errorf("serial %d instead of a valid one", got)
		}
	}
	for _, want := range []string{"the certificate expired at", "the certificate is not valid before"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("not logged once: %s: %s", want, log)
		}
	}
	certify(t, certFile, keyFile, 4)
	if got := serial(t, c); got != 4 {
		t.Errorf("serial %d after all", got)
	}
}

func TestCertificateBecomesValidWithoutAChangeOfItsFiles(t *testing.T) {
	c, certFile, keyFile, _ := someCertificate(t)
	certifyFor(t, certFile, keyFile, 2, 2*time.Second, time.Hour)
	if got := serial(t, c); got != 1 {
		t.Errorf("serial %d too early", got)
	}
	eventually(t, "the certificate's time", func() string { return "" }, func() bool { return serial(t, c) == 2 })
}

func TestCertificateTimeIsWarnedOfOnceADay(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	f := func(from, until time.Duration, want string) {
		t.Helper()
		certifyFor(t, certFile, keyFile, 1, from, until)
		var log bytes.Buffer
		c := newCertificate(readPair(t, certFile, keyFile), certFile, keyFile, "admin", zerolog.New(&log))
		lines := func(want int) {
			t.Helper()
			if got := strings.Count(log.String(), "\n"); got != want {
				t.Errorf("%d lines, want %d: %s", got, want, log.String())
			}
		}
		if want == "" {
			lines(0)
			return
		}
		if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), `"listener":"admin"`) {
			t.Errorf("no %q in %s", want, log.String())
		}
		c.checkTime(time.Now().Add(23 * time.Hour))
		lines(1)
		c.checkTime(time.Now().Add(25 * time.Hour))
		lines(2)
	}
	f(-90*day, 8*day, "")
	f(-90*day, 6*day, "The certificate expires in 6.0 days")
	f(-5*day, 2*day, "") // a seventh of its life is a day
	f(-6*day, 23*time.Hour, "The certificate expires in 1.0 days")
	f(-6*day, -day, "the certificate expired at")
	f(day/24, day, "the certificate is not valid before")
}

// A change between the first reading and the first look is not missed, and files that
// were only touched are no renewal.
func TestFirstLookReadsTheFilesAgain(t *testing.T) {
	c, certFile, keyFile, log := someCertificate(t)
	for seconds := range int64(3) {
		age(t, certFile, 100+seconds)
		if got := serial(t, c); got != 1 || log.Len() != 0 {
			t.Errorf("serial %d, log: %s", got, log)
		}
	}
	certify(t, certFile, keyFile, 2) // after the pair below was read
	c.replace(c.value.Load(), certFile, keyFile)
	if got := serial(t, c); got != 2 {
		t.Errorf("serial %d", got)
	}
}

func TestCertificateExpiryIsAMetric(t *testing.T) {
	c, certFile, keyFile, _ := someCertificate(t)
	renewed := certifyFor(t, certFile, keyFile, 2, -time.Hour, 2*day)
	c.look(t.Context())
	if got := testutil.ToFloat64(c.metric()); got != float64(renewed.NotAfter.Unix()) {
		t.Errorf("%v, want %v", got, renewed.NotAfter.Unix())
	}
	if problems, err := testutil.CollectAndLint(c.metric()); err != nil || problems != nil {
		t.Error(problems, err)
	}
}

// TestFirstWarningsHeedTheLogLevel: certificates are looked at before anything is served.
func TestFirstWarningsHeedTheLogLevel(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certifyFor(t, cert, key, 1, -2*day, -day)
	for level, want := range map[string]bool{"error": true, "disabled": false} {
		o := try(t, nil, "--listen", taken.Addr().String(), "--tls-cert", cert, "--tls-key", key, "--log-level", level)
		if got := strings.Contains(o.stderr, "Clients will not accept the certificate"); o.code != exitFailure || got != want {
			t.Errorf("level %s, exit %d: %s", level, o.code, o.stderr)
		}
	}
}
