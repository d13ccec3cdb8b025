package main

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	on := " go1.26.8 " + runtime.GOOS + "/" + runtime.GOARCH
	f := func(module, override, want string, settings ...debug.BuildSetting) {
		t.Helper()
		info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: module}, Settings: settings}
		if got := describe(info, override); got != want+on {
			t.Errorf("got %q, want %q", got, want+on)
		}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	clean := debug.BuildSetting{Key: "vcs.modified", Value: "false"}
	f("", "", "(devel)")
	f("v1.2.3", "", "v1.2.3")
	f("v1.2.3", "v9", "v9 (revision 0123456789ab)", revision, clean)
	f("(devel)", "", "(devel) (revision 0123456789ab, modified)", modified, revision)
}

func TestVersionFlag(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		o := try(t, nil, flag)
		if o.code != 0 || o.stderr != "" || o.stdout != "wheelgate version "+buildVersion()+"\n" || !strings.Contains(o.stdout, runtime.Version()) {
			t.Errorf("%s: %+v", flag, o)
		}
	}
}
