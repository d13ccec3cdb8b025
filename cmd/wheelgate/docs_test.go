package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

var update = flag.Bool("update", false, "rewrite the documents that are made from the program")

// The documents made from the table, and where README.md's begins and ends.
const (
	readmeFile  = "../../README.md"
	exampleFile = "../../.env.example"
	tableBegin  = "<!-- settings -->\n"
	tableEnd    = "<!-- /settings -->"
)

func TestSettingsDocs(t *testing.T) {
	readme, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Error(err)
	} else if before, rest, ok := strings.Cut(string(readme), tableBegin); !ok {
		t.Errorf("%s has no line %q", readmeFile, tableBegin)
	} else if _, after, ok := strings.Cut(rest, tableEnd); !ok {
		t.Errorf("%s has no %q", readmeFile, tableEnd)
	} else {
		same(t, readmeFile, string(readme), before+tableBegin+"\n"+readmeTable()+"\n"+tableEnd+after)
	}
	example, err := os.ReadFile(exampleFile)
	if err != nil && !*update {
		t.Error(err)
	}
	same(t, exampleFile, string(example), envExample())
}

// same fails if a file differs from what it should be, or makes it so.
func same(t *testing.T, file, got, want string) {
	t.Helper()
	switch {
	case got == want:
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("%s is not what the program says: make generate", file)
	}
}

// Every line of .env.example, uncommented, is what holds without it.
func TestEnvExampleHoldsTheDefaults(t *testing.T) {
	text := strings.NewReplacer("# "+variablePrefix, variablePrefix, "# "+sessionTimeoutMinutes.variable, sessionTimeoutMinutes.variable)
	vars, err := godotenv.Unmarshal(text.Replace(envExample()))
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for name, value := range vars {
		environ = append(environ, name+"="+value)
	}
	if len(environ) != len(settings) { // one alias more, env-file less
		t.Errorf("%d variables for %d settings", len(environ), len(settings))
	}
	for i := range settings {
		if _, ok := vars[settings[i].variable()]; ok == settings[i].noFile {
			t.Errorf("%s: in the file: %v", settings[i].name, ok)
		}
	}
	got, err := resolve(t.Context(), nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := resolve(t.Context(), nil, nil)
	for i := range settings {
		if got.values[i].text != want.values[i].text {
			t.Errorf("%s: %q, want %q", settings[i].name, got.values[i].text, want.values[i].text)
		}
	}
}

func TestConfigNamesEverySetting(t *testing.T) {
	o := try(t, nil, "config")
	for i := range settings {
		if got := o.row(t, settings[i].name); !strings.HasSuffix(got, " default") {
			t.Errorf("%s: %q", settings[i].name, got)
		}
	}
	if n := strings.Count(o.stdout, "\n"); n != len(settings)+1 {
		t.Errorf("%d lines for %d settings", n, len(settings))
	}
}

func TestConfigShowsWhatTheOpenFileLimitAllows(t *testing.T) {
	if got := try(t, nil, "config").row(t, "max-sessions"); !strings.Contains(got, "(by the open-file limit ") && !strings.Contains(got, "(by the memory of ") {
		t.Error(got)
	}
	if got := try(t, nil, "config", "--max-sessions=268435456").row(t, "max-sessions"); !strings.Contains(got, "(asked: 268435456; ") {
		t.Error(got)
	}
	if got := try(t, nil, "config", "--max-sessions=5").row(t, "max-sessions"); got != "5 flag --max-sessions" {
		t.Error(got)
	}
}
