package cmd

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

// What the shell offers when Tab is pressed: the command that prints scripts for shells, and the functions that these ask, through cobra's __complete.

func (a *app) completionCommand() *cobra.Command {
	name := a.program.Name
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes command lines",
		Long: strings.ReplaceAll(`completion prints a script for bash, zsh, fish or powershell. With it Tab
completes commands, flags, the names of spiders, of settings and of formats.

For this session:

  bash        source <(NAME completion bash)
  zsh         source <(NAME completion zsh)
  fish        NAME completion fish | source
  powershell  NAME completion powershell | Out-String | Invoke-Expression

For every session, once:

  bash   NAME completion bash \
           > ~/.local/share/bash-completion/completions/NAME
  zsh    NAME completion zsh > "${fpath[1]}/_NAME"
  fish   NAME completion fish > ~/.config/fish/completions/NAME.fish

and for powershell the line above in the file that $PROFILE names. bash needs
the package bash-completion, zsh 'autoload -U compinit; compinit' in ~/.zshrc.`, "NAME", name),
		Example:   "  " + name + " completion bash | less",
		ValidArgs: names,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return fmt.Errorf("for which shell? (%s %s)", c.CommandPath(), strings.Join(names, "|"))
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, args []string) error { return shells[args[0]](c.Root(), a.stdout) },
	}
}

// completeSetting offers the names of settings, and the values of those that are true or false.
func completeSetting(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	name, _, valued := strings.Cut(typed, "=")
	if !valued {
		return offeredSettings(typed, "="), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	all, err := crawl.Settings{}.Explain(nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, s := range all {
		if s.Name == name && s.Kind == "bool" {
			return []string{name + "=true", name + "=false"}, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveDefault // it may be a file
}

// completeSettingName offers the program's spiders for the first argument, and the names of settings for all.
func (a *app) completeSettingName(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	if len(args) == 0 {
		offers = a.offeredSpiders(typed)
	}
	return append(offers, offeredSettings(typed, "")...), cobra.ShellCompDirectiveNoFileComp
}

// offeredSettings are the names that begin as typed, each with what stands behind it, and the first sentence of its documentation.
func offeredSettings(typed, behind string) []string {
	all, _ := crawl.Settings{}.Explain(nil) // the defaults are valid
	var offers []string
	for _, s := range all {
		if strings.HasPrefix(s.Name, strings.ToLower(typed)) {
			doc, _, _ := strings.Cut(s.Doc, ". ")
			offers = append(offers, cobra.CompletionWithDesc(s.Name+behind, doc))
		}
	}
	return offers
}

// completeSpider offers the program's spiders for the first argument.
func (a *app) completeSpider(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.offeredSpiders(typed), cobra.ShellCompDirectiveNoFileComp
}

// offeredSpiders are the program's that begin as typed.
func (a *app) offeredSpiders(typed string) []string {
	return slices.DeleteFunc(a.spiderNames(), func(name string) bool { return !strings.HasPrefix(name, typed) })
}

// feedFormats are those that are built in.
var feedFormats = []string{"csv", "json", "jsonl", "xml"}

// completeFeed offers formats behind a colon, and files before.
func (a *app) completeFeed(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	i := strings.LastIndexByte(typed, ':')
	if i < 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var offers []string
	for _, format := range slices.Concat(feedFormats, slices.Sorted(maps.Keys(a.program.Settings.Parts.Formats))) {
		offers = append(offers, typed[:i+1]+format)
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
