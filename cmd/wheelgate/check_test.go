package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestAdminToken(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "token"), " s3cret \n")
	r, err := resolve(map[string]string{"admin-token-file": file, "admin-listen": ":0"}, nil)
	if err != nil || r.adminToken != "s3cret" {
		t.Errorf("from a file: %q, %v", r.adminToken, err)
	}
	for _, o := range []outcome{
		try(t, nil, "config", "--admin-token-file", file),
		try(t, []string{"WHEELGATE_ADMIN_TOKEN=s3cret"}, "config"),
	} {
		if got := o.row(t, "admin-token"); !strings.HasPrefix(got, "(set) ") || strings.Contains(o.stdout, "s3cret") {
			t.Errorf("config prints\n%s", o.stdout)
		}
	}
}

func TestAdminTokenFaults(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "token"), "s3cret")
	empty := write(t, filepath.Join(dir, "empty"), " \n")
	two := write(t, filepath.Join(dir, "two"), "s3cret\nother\n")
	missing := filepath.Join(dir, "missing")
	f := func(line string, environ []string, args ...string) {
		t.Helper()
		try(t, environ, args...).wantFault(t, exitUsage, line)
	}
	f(`admin-token-file: "`+file+`" from flag --admin-token-file and admin-token from variable WHEELGATE_ADMIN_TOKEN are both set: set one of them`,
		[]string{"WHEELGATE_ADMIN_TOKEN=s3cret"}, "--admin-token-file", file)
	f(`admin-token-file: bad value "`+missing+`" from variable WHEELGATE_ADMIN_TOKEN_FILE: must be a readable file: no such file or directory`,
		[]string{"WHEELGATE_ADMIN_TOKEN_FILE=" + missing})
	for _, bad := range []string{empty, two} {
		f(`admin-token-file: bad value "`+bad+`" from flag --admin-token-file: the file must hold a token of printable ASCII without spaces`,
			nil, "--admin-token-file="+bad)
	}
	f(`admin-token: bad value (secret) from flag --admin-token: must be printable ASCII without spaces`, nil, "--admin-token=s3 cret")
}

func TestAdminOffLoopbackNeedsAToken(t *testing.T) {
	for _, addr := range []string{":8081", "0.0.0.0:8081", "[::]:0", "192.168.0.1:0", "example.com:1"} {
		line := `admin-listen: "` + addr + `" from flag --admin-listen is not a loopback address: set admin-token-file or admin-token, or listen on 127.0.0.1`
		try(t, nil, "--admin-listen", addr).wantFault(t, exitUsage, line)
		try(t, nil, "config", "--admin-listen", addr, "--admin-token=x").row(t, "admin-listen")
	}
	for _, addr := range []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"} {
		try(t, nil, "config", "--admin-listen", addr).row(t, "admin-listen")
	}
}

func TestCertificateAndKeyGoTogether(t *testing.T) {
	try(t, nil, "--tls-cert=c.pem").wantFault(t, exitUsage, `tls-cert: "c.pem" from flag --tls-cert without tls-key: set both or neither`)
	try(t, []string{"WHEELGATE_TLS_KEY=k.pem"}).wantFault(t, exitUsage,
		`tls-key: "k.pem" from variable WHEELGATE_TLS_KEY without tls-cert: set both or neither`)
}

func TestLoopCannotServeTLS(t *testing.T) {
	o := try(t, []string{"WHEELGATE_TRANSPORT=loop"}, "--tls-cert=c.pem", "--tls-key=k.pem")
	o.wantFault(t, exitUsage, `transport: "loop" from variable WHEELGATE_TRANSPORT cannot serve TLS (tls-cert from flag --tls-cert): set auto or goroutine`)
}
