package cmd

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

// listedSpider is a spider in the JSON of list.
type listedSpider struct {
	Name           string   `json:"name"`
	StartURLs      []string `json:"start_urls,omitempty"`
	AllowedDomains []string `json:"allowed_domains,omitempty"`
	Routes         []string `json:"routes,omitempty"`
	Checks         int      `json:"checks"`
	Error          string   `json:"error,omitempty"` // of its constructor, without arguments
}

func (a *app) listCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "list",
		Short: "List the spiders",
		Long: `list prints the names of this program's spiders, one a line. With --json it says
of each where it starts, which domains and routes it has, and how many checks.`,
		Example: "  " + a.program.Name + " list\n  " + a.program.Name + " list --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if p := foreign(); p != nil {
				a.warn(fmt.Sprintf("these are %s's own spiders; those of the project %s are in its own program: %s", a.program.Name, p.name, p.line(a.args...)))
			}
			if !asJSON {
				for _, name := range a.spiderNames() {
					fmt.Fprintln(a.stdout, name)
				}
				return nil
			}
			list := []listedSpider{}
			for _, name := range a.spiderNames() {
				list = append(list, a.listed(name))
			}
			enc := json.NewEncoder(a.stdout)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(list)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) listed(name string) listedSpider {
	s, err := a.spider(name, map[string]string{})
	if err != nil {
		return listedSpider{Name: name, Error: err.Error()}
	}
	return listedSpider{
		Name: name, StartURLs: s.StartURLs, AllowedDomains: s.AllowedDomains, Routes: slices.Sorted(maps.Keys(s.Routes)), Checks: len(s.Checks),
	}
}
