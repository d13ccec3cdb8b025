package gateway_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports keeps the arrows of the architecture pointing one way.
func TestImports(t *testing.T) {
	const module = "github.com/wheelgate/wheelgate/"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	only := map[string][]string{ // import: the packages that may
		"github.com/lxzan/gws":                           {"gateway/wsconn"},
		"github.com/klauspost/compress/flate":            {"gateway/wsconn"},
		"github.com/RussellLuo/timingwheel":              {"wheel"},
		"github.com/danielgtaylor/huma/v2":               {"gateway/api"},
		"github.com/urfave/cli/v3":                       {"cmd/wheelgate", "cmd/loadtest"},
		"github.com/joho/godotenv":                       {"cmd/wheelgate"},
		"github.com/KimMachineGun/automemlimit/memlimit": {"cmd/wheelgate"},
		"github.com/vbauerster/mpb/v8":                   {"cmd/loadtest"},
		"go.yaml.in/yaml/v4":                             {"loadtest/scenario"},
		"github.com/prometheus/procfs":                   {"loadtest/probe"},
		"github.com/prometheus/common/expfmt":            {"loadtest/probe"},
		"net/http/pprof":                                 {}, // it serves without a guard: gateway/api/profiles.go
	}
	may := map[string][]string{ // package: what it may import of ours
		"wheel":          {},
		"gateway/wsconn": {},
		"gateway":        {"wheel", "gateway/wsconn"},
		"gateway/api":    {"gateway", "gateway/wsconn"},
		"cmd/wheelgate":  {"gateway", "gateway/api", "gateway/wsconn", "wheel"},
		"bench":          {"wheel", "gateway", "gateway/wsconn"},

		"loadtest/scenario": {},
		"loadtest/record":   {"loadtest/scenario"},
		"loadtest/client":   {},
		"loadtest/probe":    {"loadtest/record"},
		"loadtest":          {"loadtest/client", "loadtest/probe", "loadtest/record", "loadtest/scenario"},
		"loadtest/fleet":    {"loadtest", "loadtest/client", "loadtest/probe", "loadtest/record", "loadtest/scenario"},
		"loadtest/report":   {"loadtest/record", "loadtest/scenario"},
		"loadtest/capacity": {"loadtest/record", "loadtest/scenario", "loadtest/report"},
		"cmd/loadtest": {
			"loadtest", "loadtest/client", "loadtest/fleet", "loadtest/probe", "loadtest/record", "loadtest/scenario",
			"loadtest/report", "loadtest/capacity",
		},
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		allowed, known := may[pkg]
		if !known {
			t.Errorf("%s is in no place of the architecture: add it here", pkg)
			continue
		}
		for _, imported := range fields[1:] {
			if owners, ok := only[imported]; ok && !slices.Contains(owners, pkg) {
				t.Errorf("%s imports %s, which is for %q only", pkg, imported, owners)
			}
			if ours, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", pkg, ours)
			}
		}
	}
}
