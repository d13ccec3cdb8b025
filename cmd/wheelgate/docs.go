package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// readmeTable is README's table of settings, in Markdown.
func readmeTable() string {
	var b strings.Builder
	b.WriteString("| flag | variable | default | meaning |\n|---|---|---|---|\n")
	for i := range settings {
		s := &settings[i]
		flag, variable, value := "`--"+s.name+"`", "`"+s.variable()+"`", ""
		if s.value != "" {
			value = "`" + s.value + "`"
		}
		if s.alias != nil {
			variable += " or `" + s.alias.variable + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", flag, variable, value, s.meaning)
	}
	return b.String()
}

// envExample is .env.example: every setting with its default, commented out.
func envExample() string {
	var b strings.Builder
	b.WriteString("# Settings of wheelgate. Copy this file to .env and uncomment what you change.\n" +
		"# Flags and real variables win over this file. Text with # or $ needs single quotes.\n")
	for i := range settings {
		s := &settings[i]
		if s.noFile {
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n# Must be %s%s.\n# %s=%s\n", plainText(capital(s.meaning))+".", s.allowed, orEmpty(s), s.variable(), s.value)
		if s.alias != nil {
			fmt.Fprintf(&b, "# Or, as %s:\n# %s=%s\n", s.alias.allowed, s.alias.variable, s.alias.value)
		}
	}
	return b.String()
}

func orEmpty(s *setting) string {
	if s.optional {
		return ", or empty"
	}
	return ""
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// plainText is a meaning without Markdown.
func plainText(meaning string) string { return strings.ReplaceAll(meaning, "`", "") }

// writeConfig prints the effective settings and their sources as a table.
func (r *resolved) writeConfig(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tab, "SETTING\tVALUE\tSOURCE")
	for i := range settings {
		s, v := &settings[i], r.values[i]
		text := v.text
		switch {
		case text == "":
			text = "(none)"
		case s.secret:
			text = "(set)"
		case s.show != nil:
			text = s.show(&r.options)
		case strings.ContainsAny(text, "\t\n\r\v\f"):
			text = quote(text)
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\n", s.name, text, v.source)
	}
	return tab.Flush()
}

func showTick(o *options) string {
	text := short(o.gateway.EffectiveTick())
	if o.gateway.Tick == 0 {
		text += " (automatic)"
	}
	return text
}

func showMaxSessions(o *options) string {
	asked := o.gateway.MaxSessions
	switch n, bound := newCapacity(o, o.files(), systemMemory().limit).sessions(asked); {
	case asked == 0:
		return fmt.Sprintf("%d (by %s)", n, bound)
	case asked > n:
		return fmt.Sprintf("%d (asked: %d; by %s)", n, asked, bound)
	}
	return fmt.Sprint(asked)
}

func showEnvFile(o *options) string {
	if o.envFile == "" {
		return defaultEnvFile + " (not there)" // any other would be an error
	}
	return o.envFile
}
