package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// oneLine is an error's text without line breaks.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n") // of errors that were joined
	return strings.Join(strings.Fields(strings.Join(lines, "; ")), " ")
}

// version overrides the module's version: -ldflags "-X main.version=v1.2.3".
var version string

// buildVersion describes this build in one line.
func buildVersion() string {
	name, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && s.Value != "" {
				revision = " (revision " + s.Value[:min(12, len(s.Value))] + ")"
			}
		}
	}
	if version != "" {
		name = version
	}
	return fmt.Sprintf("%s%s %s %s/%s", name, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
