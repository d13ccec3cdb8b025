package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"
)

// settingFlag is a setting's flag. To cli it is a string, so that every value is
// judged by the setting's own rule; cli is told of the variable for the help only.
type settingFlag struct {
	cli.StringFlag
	setting *setting
	text    string
	given   bool
}

// newFlags returns the flags of the table, unset, in its order.
func newFlags() []cli.Flag {
	flags := make([]cli.Flag, len(settings))
	for i := range settings {
		s := &settings[i]
		flags[i] = &settingFlag{
			setting: s,
			StringFlag: cli.StringFlag{
				Name:        s.name,
				Category:    s.group,
				Usage:       plainText(s.meaning),
				DefaultText: s.value,
			},
		}
	}
	return flags
}

// flagTexts returns what was given on the command line, by the setting's name.
func flagTexts(flags []cli.Flag) map[string]string {
	texts := map[string]string{}
	for _, f := range flags {
		if f, ok := f.(*settingFlag); ok && f.given {
			texts[f.setting.name] = f.text
		}
	}
	return texts
}

// Set takes a value from the command line: the last one counts, but for lists,
// which add up.
func (f *settingFlag) Set(_, text string) error {
	if f.given && f.setting.list {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

// IsSet reports whether the command line had the flag.
func (f *settingFlag) IsSet() bool { return f.given }

// Get returns the text; cli takes it for the flag's value.
func (f *settingFlag) Get() any { return f.text }

// IsBoolFlag reports whether the flag alone, without a value, means "true".
func (f *settingFlag) IsBoolFlag() bool { return f.setting.toggle }

// TakesValue, TypeName, GetEnvVars and String are for the help.
func (f *settingFlag) TakesValue() bool { return !f.setting.toggle }

// TypeName is the placeholder after the flag's name.
func (f *settingFlag) TypeName() string { return f.setting.kind }

// GetEnvVars names the variables.
func (f *settingFlag) GetEnvVars() []string {
	if f.setting.alias != nil {
		return []string{f.setting.variable(), f.setting.alias.variable}
	}
	return []string{f.setting.variable()}
}

func (f *settingFlag) String() string { return cli.FlagStringer(f) }

// onUsageError keeps cli from printing its message and the help.
func onUsageError(_ context.Context, _ *cli.Command, err error, _ bool) error { return flagFault(err) }

// flagFault turns cli's message about the command line into ours. Its messages
// are the only thing it tells us.
func flagFault(err error) error {
	const unknown, noValue = "flag provided but not defined: -", "flag needs an argument: "
	text := err.Error()
	if name, ok := strings.CutPrefix(text, unknown); ok {
		return usagef("unknown flag %s: did you mean %s?", quote("--"+name), nearestFlag(name))
	}
	if flag, ok := strings.CutPrefix(text, noValue); ok {
		name := strings.TrimLeft(flag, "-")
		for i := range settings {
			if s := &settings[i]; s.name == name {
				return usagef("%s: flag --%s needs a value: must be %s", name, name, s.allowed)
			}
		}
	}
	return usagef("%s", strings.ReplaceAll(text, "\n", " "))
}
