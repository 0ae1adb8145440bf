package cmd

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// versions are what version says in JSON.
type versions struct {
	Program  string            `json:"program"`
	Tulle    string            `json:"tulle"`
	Go       string            `json:"go"`
	System   string            `json:"system"`
	Revision string            `json:"revision,omitempty"` // of version control, with + if something had been changed
	Parts    map[string]string `json:"parts"`              // what is linked beside the core, in words
	Modules  map[string]string `json:"modules"`
}

func (a *app) versionCommand() *cobra.Command {
	var verbose, asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `version prints the version of tulle, of Go, and what the binary is built for.
With -v it also says which parts and modules the binary is made of: put that
into a report of a fault.`,
		Example: "  " + a.program.Name + " version -v",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := a.versions()
			if asJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(v)
			}
			fmt.Fprintln(a.stdout, a.versionLine())
			if !verbose {
				return nil
			}
			if v.Revision != "" {
				fmt.Fprintf(a.stdout, "\nrevision  %s\n", v.Revision)
			}
			for _, m := range []map[string]string{v.Parts, v.Modules} {
				fmt.Fprintln(a.stdout)
				width := 0
				for name := range m {
					width = max(width, len(name))
				}
				for _, name := range slices.Sorted(maps.Keys(m)) {
					fmt.Fprintf(a.stdout, "%-*s  %s\n", width, name, m[name])
				}
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print parts and modules too")
	c.Flags().BoolVar(&asJSON, "json", false, "print all of it as JSON")
	return c
}

// versionLine is the version in a line.
func (a *app) versionLine() string {
	return fmt.Sprintf("%s %s (%s %s/%s)", a.program.Name, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (a *app) versions() versions {
	v := versions{Program: a.program.Name, Tulle: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Modules: make(map[string]string)}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
			v.Modules[m.Path] = m.Version
			if m.Replace != nil {
				v.Modules[m.Path] += " => " + strings.TrimSpace(m.Replace.Path+" "+m.Replace.Version)
			}
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				v.Revision = s.Value + v.Revision
			case s.Key == "vcs.modified" && s.Value == "true":
				v.Revision += "+"
			}
		}
	}
	delete(v.Modules, "") // of a test
	p := a.program.Settings.Parts
	v.Parts = map[string]string{
		"stores":        linked(p.Stores, "directory", "file", "memory"),
		"handlers":      linked(p.Handlers, "http", "https", "file", "data"),
		"formats":       linked(p.Formats, feedFormats...),
		"http cache":    linked(p.CacheStorages, "files"),
		"jobs":          yesNo(p.Job != nil),
		"job inspector": yesNo(p.InspectJob != nil),
		"browser":       yesNo(p.Renderer != nil),
	}
	return v
}

// linked are the names of parts, with those that are built in.
func linked[V any](parts map[string]V, builtIn ...string) string {
	return strings.Join(append(slices.Clone(builtIn), slices.DeleteFunc(slices.Sorted(maps.Keys(parts)), func(name string) bool {
		return slices.Contains(builtIn, name)
	})...), ", ")
}

func yesNo(linked bool) string {
	if linked {
		return "linked"
	}
	return "not linked"
}

// version is that of the module this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == tulleModule {
		return strings.Trim(info.Main.Version, "()")
	}
	for _, d := range info.Deps {
		if d.Path == tulleModule {
			if d.Replace != nil {
				return "devel"
			}
			return d.Version
		}
	}
	return "unknown"
}
