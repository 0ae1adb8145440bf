package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "version prints the version of tulle, of Go, and what the binary is built for.",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.stdout, "%s %s (%s %s/%s)\n", a.program.Name, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// version is that of the module this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	const ours = "github.com/tulle-go/tulle"
	if info.Main.Path == ours {
		return strings.Trim(info.Main.Version, "()")
	}
	for _, d := range info.Deps {
		if d.Path == ours {
			return d.Version
		}
	}
	return "unknown"
}
