package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

func scenariosCommand(s streams) *cli.Command {
	list := func(_ context.Context, cmd *cli.Command) error {
		if cmd.Args().Present() {
			return usagef("scenarios: unexpected argument %q: must be list, or show and a name", cmd.Args().First())
		}
		tab := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
		for _, name := range scenario.Names() {
			text, _ := scenario.Ready(name)
			ready, err := scenario.Parse(text)
			if err != nil {
				return err
			}
			fmt.Fprintf(tab, "%s\t%s\n", name, ready.Description)
		}
		return tab.Flush()
	}
	return &cli.Command{
		Name: "scenarios", Usage: "the ready-made scenarios", Action: list,
		Commands: []*cli.Command{
			{Name: "list", Usage: "their names", Action: list},
			{
				Name: "show", Usage: "one as a file to start from", ArgsUsage: "NAME",
				Action: func(_ context.Context, cmd *cli.Command) error {
					name := cmd.Args().First()
					text, ok := scenario.Ready(name)
					if !ok || cmd.Args().Len() != 1 {
						return usagef("scenario: %q is no ready-made one: see loadtest scenarios", name)
					}
					_, err := s.out.Write(text)
					return err
				},
			},
		},
	}
}
