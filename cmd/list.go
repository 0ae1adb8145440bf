package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the spiders",
		Long:  "list prints the names of this program's spiders, one a line.",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range a.spiderNames() {
				fmt.Fprintln(a.stdout, name)
			}
			return nil
		},
	}
}
