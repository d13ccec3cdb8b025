package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAdminToken(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "token"), "\ufeff# since May\n s3cret \r\n\n#old\nnext")
	r, err := resolve(t.Context(), map[string]string{"admin-token-file": file, "admin-listen": ":0"}, nil)
	if err != nil || !slices.Equal(r.tokens, []string{"s3cret", "next"}) {
		t.Errorf("from a file: %q, %v", r.tokens, err)
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
	bad := write(t, filepath.Join(dir, "bad"), "# two\ns3cret other\n")
	binary := write(t, filepath.Join(dir, "binary"), "\xff\xfes\x00")
	long := strings.Repeat("x", 12<<10+1)
	tooLong := write(t, filepath.Join(dir, "long"), long)
	missing := filepath.Join(dir, "missing")
	f := func(line string, environ []string, args ...string) {
		t.Helper()
		try(t, environ, args...).wantFault(t, exitUsage, line)
	}
	f(`admin-token-file: "`+file+`" from flag --admin-token-file and admin-token from variable WHEELGATE_ADMIN_TOKEN are both set: set one of them`,
		[]string{"WHEELGATE_ADMIN_TOKEN=s3cret"}, "--admin-token-file", file)
	f(`admin-token-file: bad value "`+missing+`" from variable WHEELGATE_ADMIN_TOKEN_FILE: must be a readable file: no such file or directory`,
		[]string{"WHEELGATE_ADMIN_TOKEN_FILE=" + missing})
	const allowed = "printable ASCII without spaces, of at most 12288 bytes"
	for name, fault := range map[string]string{
		empty: "the file must hold a token", bad: "line 2 must be a token of " + allowed,
		tooLong: "line 1 must be a token of " + allowed, binary: "the file is not text in UTF-8",
	} {
		f(`admin-token-file: bad value "`+name+`" from flag --admin-token-file: `+fault, nil, "--admin-token-file="+name)
	}
	for _, bad := range []string{"s3 cret", long} {
		f(`admin-token: bad value (secret) from flag --admin-token: must be `+allowed, nil, "--admin-token="+bad)
	}
}

func TestAdminOffLoopbackNeedsAToken(t *testing.T) {
	for _, addr := range []string{":8081", "0.0.0.0:8081", "[::]:0", "192.168.0.1:0", "example.com:1"} {
		line := `admin-listen: "` + addr + `" from flag --admin-listen is not a loopback address: set admin-token-file or admin-token, or listen on 127.0.0.1`
		try(t, nil, "--admin-listen", addr).wantFault(t, exitUsage, line)
		try(t, nil, "--admin-listen", addr, "--admin-tls-cert=c.pem", "--admin-tls-key=k.pem").wantFault(t, exitUsage, line)
		try(t, nil, "config", "--admin-listen", addr, "--admin-token=x").row(t, "admin-listen")
	}
	for _, addr := range []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"} {
		try(t, nil, "config", "--admin-listen", addr).row(t, "admin-listen")
	}
}

func TestCertificateAndKeyGoTogether(t *testing.T) {
	try(t, nil, "--tls-cert=c.pem").wantFault(t, exitUsage, `tls-cert: "c.pem" from flag --tls-cert without tls-key: set both or neither`)
	try(t, nil, "--admin-tls-cert=c.pem").wantFault(t, exitUsage,
		`admin-tls-cert: "c.pem" from flag --admin-tls-cert without admin-tls-key: set both or neither`)
	try(t, []string{"WHEELGATE_TLS_KEY=k.pem"}).wantFault(t, exitUsage,
		`tls-key: "k.pem" from variable WHEELGATE_TLS_KEY without tls-cert: set both or neither`)
}

func TestLoopCannotServeTLS(t *testing.T) {
	o := try(t, []string{"WHEELGATE_TRANSPORT=loop"}, "--tls-cert=c.pem", "--tls-key=k.pem")
	o.wantFault(t, exitUsage, `transport: "loop" from variable WHEELGATE_TRANSPORT cannot serve TLS (tls-cert from flag --tls-cert): set auto or goroutine`)
}
