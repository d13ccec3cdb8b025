package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version overrides the module's version: -ldflags "-X main.version=v1.2.3".
var version string

// buildVersion describes this build: version, revision, compiler and system.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return describe(info, version)
}

// describe is one line such as "v1.2.3 (revision 0123456789ab, modified) go1.26.8
// linux/amd64". override, if any, replaces the module's version.
func describe(info *debug.BuildInfo, override string) string {
	name := shortVersion(info, override)
	var revision []string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			revision = append([]string{"revision " + s.Value[:min(12, len(s.Value))]}, revision...)
		case s.Key == "vcs.modified" && s.Value == "true":
			revision = append(revision, "modified")
		}
	}
	if revision != nil {
		name += " (" + strings.Join(revision, ", ") + ")"
	}
	return fmt.Sprintf("%s %s %s/%s", name, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}

// shortVersion is the version alone, "(devel)" if the build has none.
func shortVersion(info *debug.BuildInfo, override string) string {
	switch {
	case override != "":
		return override
	case info != nil && info.Main.Version != "":
		return info.Main.Version
	}
	return "(devel)"
}

// metricsVersion is what the API and the metrics call this build.
func metricsVersion() string {
	info, _ := debug.ReadBuildInfo()
	return shortVersion(info, version)
}
