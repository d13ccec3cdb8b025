package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"
)

// usageError is a fault of whoever started the program: exit code 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error {
	return usageError(fmt.Sprintf(format, args...))
}

// given is the text of a setting and where it came from.
type given struct {
	text   string
	source string // "default", "flag --x", "variable X", "X in file .env"
}

const fromDefault = "default"

// inputs are the places settings come from, the strongest first.
type inputs struct {
	flags map[string]string // by the setting's name
	env   map[string]string // by the variable's name
	file  map[string]string // likewise
	path  string            // of file
}

// resolved are the options and, in the order of the table, what they were read from.
type resolved struct {
	options
	values []given
}

// resolve reads every setting from flags (by name) and environ (as os.Environ),
// and the files those lead to. Every error is a usageError of one line, unless ctx ended.
func resolve(ctx context.Context, flags map[string]string, environ []string) (*resolved, error) {
	in := &inputs{flags: flags, env: map[string]string{}}
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			in.env[name] = value
		}
	}
	if err := in.readFile(ctx); err != nil {
		return nil, err
	}
	if err := in.checkNames(); err != nil {
		return nil, err
	}
	r := &resolved{values: make([]given, len(settings))}
	for i := range settings {
		v, err := in.lookup(&settings[i])
		if err == nil {
			err = v.apply(&settings[i], &r.options)
		}
		if err != nil {
			return nil, err
		}
		r.values[i] = v
	}
	r.envFile = in.path
	if err := r.readTokens(ctx); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, r.readPairs(ctx)
}

// plain looks a setting up, without its alias.
func (in *inputs) plain(s *setting) given {
	if text, ok := in.flags[s.name]; ok {
		return given{text, "flag --" + s.name}
	}
	if v, ok := in.variable(s.variable()); ok {
		return v
	}
	return given{s.value, fromDefault}
}

func (in *inputs) variable(name string) (given, bool) {
	if text, ok := in.env[name]; ok {
		return given{text, "variable " + name}, true
	}
	text, ok := in.file[name]
	return given{text, name + " in file " + in.path}, ok
}

// lookup returns a setting's text; that of an alias in the setting's own form.
func (in *inputs) lookup(s *setting) (given, error) {
	v := in.plain(s)
	if s.alias == nil {
		return v, nil
	}
	other, ok := in.variable(s.alias.variable)
	if !ok {
		return v, nil
	}
	text, ok := s.alias.convert(other.text)
	if !ok {
		return v, usagef("%s: bad value %s from %s: must be %s", s.name, quote(other.text), other.source, s.alias.allowed)
	}
	if v.source == fromDefault {
		return given{text, other.source}, nil
	}
	var a, b options
	if s.set(&b, v.text) && s.set(&a, text) && a.gateway.SessionTimeout != b.gateway.SessionTimeout {
		return v, usagef("%s: %s from %s contradicts %s from %s: set one of them, or both alike",
			s.name, quote(v.text), v.source, quote(other.text), other.source)
	}
	return v, nil
}

// apply reads v into o.
func (v given) apply(s *setting, o *options) error {
	if v.text == "" && s.optional || v.text != "" && s.set(o, v.text) {
		return nil
	}
	text := quote(v.text)
	if s.secret {
		text = "(secret)"
	}
	return usagef("%s: bad value %s from %s: must be %s", s.name, text, v.source, s.allowed)
}

// quote is text on one line of bearable length.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strconv.Quote(text)
}

// checkNames refuses variables that start like ours and are not, which are
// misspelt more often than not.
func (in *inputs) checkNames() error {
	known := map[string]bool{}
	for i := range settings {
		known[settings[i].variable()] = true
	}
	for _, place := range []struct {
		vars  map[string]string
		where string
	}{{in.env, ""}, {in.file, " in file " + in.path}} {
		for _, name := range slices.Sorted(maps.Keys(place.vars)) {
			if strings.HasPrefix(name, variablePrefix) && !known[name] && !serviceLink.MatchString(name+"="+place.vars[name]) {
				return usagef("unknown variable %s%s: did you mean %s?", name, place.where, nearestVariable(name))
			}
		}
	}
	if _, ok := in.file[variableOf(envFile)]; ok {
		return usagef("%s: %s in file %s has no effect: use the flag or the environment", envFile, variableOf(envFile), in.path)
	}
	return nil
}

// serviceLink matches what Kubernetes sets in every pod beside a service named
// wheelgate or wheelgate-<anything>, as name=value. <service>_PORT is a URL there;
// a number is a user who means one of our listeners.
var serviceLink = regexp.MustCompile(`^` + variablePrefix + `([A-Z0-9_]+_)?(` +
	`SERVICE_HOST=.*|` +
	`SERVICE_PORT(_[A-Z0-9_]+)?=[0-9]+|` +
	`PORT(_[0-9]+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*|` +
	`PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)$`)

func nearestVariable(name string) string {
	name = strings.TrimPrefix(name, variablePrefix)
	if whose, ok := strings.CutSuffix(name, "PORT"); ok {
		name = whose + "LISTEN"
	}
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return variableOf(strings.TrimPrefix(nearestFlag(name), "--"))
}

// nearestFlag is the flag most like name, with its dashes.
func nearestFlag(name string) string {
	if near := cli.SuggestFlag(newFlags(), name, true); near != "" {
		return near
	}
	return "--listen"
}
