package cmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) settingsCommand() *cobra.Command {
	var (
		f       settingsFlags
		asJSON  bool
		changed bool
	)
	c := &cobra.Command{
		Use:   "settings [SPIDER] [NAME...]",
		Short: "Show settings, their values and where each comes from",
		Long: `settings prints every setting with its value and where that comes from: the
default, this program, the spider, the settings file with its line, a variable
of the environment, or the command line. With a spider its own settings count
too. Names print those settings alone, or all below them. Passwords and keys are
hidden, but not from --json.

Later ones win: program, spider, settings file, environment, command line.

The settings file is tulle.yaml in the working directory, or in the nearest
folder above it, up to the home folder. --config FILE takes another one, as does
TULLE_CONFIG; --no-config takes none.

  images:
    store: pictures            # images.store: pictures is the same
    thumbs: {small: 50x50}
  feeds:
    - {uri: items.csv, overwrite: true}
  spiders:
    books: {download_delay: 2s}     # for that spider alone

In the environment images.store is TULLE_IMAGES_STORE. That is the place for
passwords and keys. A variable that is no setting's is warned of, and an empty
one counts as none.

On the command line it is -s images.store=pictures. Scrapy's names are
understood in all three: -s DOWNLOAD_DELAY=0.5`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " settings",
			"  " + a.program.Name + " settings shop images",
			"  " + a.program.Name + " settings -s CONCURRENT_REQUESTS=32 concurrent_requests",
		}, "\n"),
		ValidArgsFunction: a.completeSettingName,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.explain(&f, &args)
			if err != nil {
				return err
			}
			all, err = chosen(all, args, changed)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			return a.printSettings(all)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&changed, "changed", false, "print only what has been set")
	return c
}

// explain takes the spider's name off the arguments, if the first is one.
func (a *app) explain(f *settingsFlags, args *[]string) ([]crawl.Explained, error) {
	given, err := pairs("-a", f.args)
	if err != nil {
		return nil, err
	}
	var spider *crawl.Spider
	name := ""
	if len(*args) > 0 && a.program.Spiders[(*args)[0]] != nil {
		name = (*args)[0]
		if spider, err = a.spider(name, given); err != nil {
			return nil, err
		}
		*args = (*args)[1:]
	}
	settings, err := a.settings(f, name)
	if err != nil {
		return nil, err
	}
	return settings.Explain(spider)
}

// chosen keeps the settings that are named, or stand below a name.
func chosen(all []crawl.Explained, names []string, changed bool) ([]crawl.Explained, error) {
	found := make([]bool, len(names))
	kept := []crawl.Explained{}
	for _, s := range all {
		ok := len(names) == 0
		for i, n := range names {
			if to, entry, err := crawl.SettingName(n); err == nil && entry == "" {
				n = to // it was Scrapy's
			}
			n = strings.ToLower(n)
			if s.Name == n || strings.HasPrefix(s.Name, n+".") {
				ok, found[i] = true, true
			}
		}
		if ok && (!changed || s.Source != "default") {
			kept = append(kept, s)
		}
	}
	for i, ok := range found {
		if !ok {
			hint := ""
			if _, _, err := crawl.SettingName(names[i]); err != nil && strings.Contains(err.Error(), "did you mean") {
				_, hint, _ = strings.Cut(err.Error(), ":")
				hint = ":" + hint
			}
			if group := nearGroup(all, names[i]); group != "" && !strings.Contains(names[i], ".") {
				hint = ": did you mean " + group + "?"
			}
			return nil, fmt.Errorf("%q is neither a spider nor a setting%s", names[i], hint)
		}
	}
	return kept, nil
}

// nearGroup is the group of settings whose name differs in hardly a letter; "" if there is none.
func nearGroup(all []crawl.Explained, name string) string {
	best, least := "", len(name)/5+1
	for _, s := range all {
		i := strings.LastIndexByte(s.Name, '.')
		if i < 0 {
			continue
		}
		if d := distance(strings.ToLower(name), s.Name[:i]); d < least || d == least && best == "" {
			best, least = s.Name[:i], d
		}
	}
	return best
}

// printSettings prints a table, without passwords: it is pasted into reports. --json has them, for programs. A value that is longer than wide pushes its source aside, and no other's.
func (a *app) printSettings(all []crawl.Explained) error {
	const wide = 24
	names, values := 0, 0
	text := func(s crawl.Explained) string {
		if s.Value == "" {
			return `""`
		}
		return s.Shown()
	}
	for _, s := range all {
		names = max(names, len(s.Name))
		if n := utf8.RuneCountInString(text(s)); n <= wide {
			values = max(values, n)
		}
	}
	w := bufio.NewWriter(a.stdout)
	for _, s := range all {
		fmt.Fprintf(w, "%-*s  %-*s  %s\n", names, s.Name, values, text(s), s.Source)
	}
	return w.Flush()
}
