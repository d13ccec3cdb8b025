package scenario

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed ready/*.yaml
var ready embed.FS

// names are the ready-made scenarios, from the simplest.
var names = []string{"idle", "echo", "broadcast", "expiry", "churn", "storm", "slow-readers", "half-open", "mixed", "drain"}

// Names returns the names of the ready-made scenarios.
func Names() []string { return slices.Clone(names) }

// Ready returns the text of the ready-made scenario of this name; ok tells
// whether there is one.
func Ready(name string) (text []byte, ok bool) {
	if !slices.Contains(names, name) {
		return nil, false
	}
	text, err := ready.ReadFile("ready/" + name + ".yaml")
	return text, err == nil
}

// Parse reads one scenario from YAML, of which JSON is a part, and checks it. Its
// error is one line that names the field, what it was and what is allowed.
func Parse(text []byte) (Scenario, error) {
	s, err := Decode(text)
	if err != nil {
		return Scenario{}, err
	}
	return s, s.Validate()
}

// Decode is Parse without the check, for who changes fields before it.
func Decode(text []byte) (Scenario, error) {
	var s Scenario
	if err := yaml.Load(text, &s, yaml.WithKnownFields()); err != nil {
		return Scenario{}, readFault(err)
	}
	return s, nil
}

// errNoDuration is told with the line by the YAML reader.
func errNoDuration(text []byte) error {
	return fmt.Errorf("%q is no duration such as 30s or 1m30s", text)
}

var (
	unknownField = regexp.MustCompile(`^field (\S+) not found in type scenario\.(\w+)$`)
	wrongType    = regexp.MustCompile("^cannot construct !!\\w+(?: `(.*)`)? into ([\\w.*]+)")
)

// readFault is the YAML reader's error as one line in the words of scenarios.
func readFault(err error) error {
	var all *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &all):
	case errors.As(err, &one):
		all = &yaml.LoadErrors{Errors: []*yaml.LoadError{one}}
	default:
		return errors.New(oneLine(err.Error()))
	}
	var lines []string
	for _, fault := range all.Errors {
		text := oneLine(fault.Message)
		if m := unknownField.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("unknown field %q in %s: must be one of %s", m[1], place(m[2]), strings.Join(fields(m[2]), ", "))
		} else if m := wrongType.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("%q is not allowed here: must be %s", m[1], kind(m[2]))
		}
		if fault.Mark.Line > 0 {
			text = fmt.Sprintf("line %d: %s", fault.Mark.Line, text)
		}
		lines = append(lines, text)
	}
	return errors.New(strings.Join(lines, "; "))
}

// kind is a Go type in a reader's words.
func kind(goType string) string {
	switch goType {
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "string":
		return "text"
	case "scenario.Duration":
		return "a duration such as 30s or 1m30s"
	}
	return "a group of fields"
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "yaml: ")), " ")
}
