package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/joho/godotenv"
)

// readFile finds and reads the .env file. The process's environment stays as it is.
func (in *inputs) readFile(ctx context.Context) error {
	v := in.plain(find(envFile))
	if v.text == "" {
		return nil
	}
	content, err := readFile(ctx, v.text)
	if v.source == fromDefault && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return usagef("%s: bad value %s from %s: must be a readable file: %v", envFile, quote(v.text), v.source, unreadable(err))
	}
	text, ok := plainUTF8(content)
	if !ok {
		return usagef("%s: file %s is not text in UTF-8", envFile, v.text)
	}
	if in.file, err = parseEnv(text, v.text); err == nil {
		in.path = v.text
	}
	return err
}

// parseEnv reads the lines of a .env file. godotenv replaces $NAME outside of single
// quotes and cannot be told not to. A value that this would change is refused: taken as
// it stands, it would mean one thing here and another to a shell or to Compose.
func parseEnv(text, path string) (map[string]string, error) {
	const dollar = "\x00" // stands for $ in what godotenv is not to expand
	vars, err := unmarshalEnv(strings.ReplaceAll(text, "$", dollar))
	if err != nil {
		return nil, usagef("%s: line %d of file %s is not NAME=value", envFile, badLine(text, err), path)
	}
	expanded, _ := unmarshalEnv(text)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		vars[name] = strings.ReplaceAll(vars[name], dollar, "$")
		if vars[name] != expanded[name] {
			return nil, usagef("%s: %s in file %s has a $ that would begin a variable's name: put the value in single quotes",
				envFile, name, path)
		}
	}
	return vars, nil
}

// errNameless is a last line that is a name without "=".
var errNameless = errors.New("nameless")

// unmarshalEnv is godotenv's, which returns a nameless line as the value of "". Its
// errors quote the rest of the file, secrets included.
func unmarshalEnv(text string) (map[string]string, error) {
	vars, err := godotenv.Unmarshal(text)
	if _, nameless := vars[""]; err == nil && nameless {
		err = errNameless
	}
	return vars, err
}

// badLine is the line at which the statement begins that made godotenv say err. Its
// messages are all it tells us.
func badLine(text string, err error) int {
	const open = "unterminated quoted value "
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if quoted, ok := strings.CutPrefix(err.Error(), open); ok { // from the quote to the line's end
		quoted = strings.ReplaceAll(quoted, "\x00", "$")
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.HasSuffix(lines[i], quoted) {
				return i + 1
			}
		}
	}
	// The first n lines are bad if they have the bad statement. They are not if they
	// end inside a good one that goes on.
	n := sort.Search(len(lines), func(n int) bool {
		_, err := unmarshalEnv(strings.Join(lines[:n], "\n"))
		return err != nil && !strings.HasPrefix(err.Error(), open)
	})
	return min(n, len(lines))
}
