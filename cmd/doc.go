// Package cmd is the command line as a library: a program with spiders of its own has a main of one line,
//
//	func main() {
//		cmd.Main(cmd.Program{
//			Name:    "mycrawler",
//			Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"books": newBooks},
//		})
//	}
//
// and answers to the same subcommands as tulle itself.
//
//	cmd.go       Program, Main, Run; exit codes
//	crawl.go     crawl: runs a spider; reports_*.go answers signals
//	live.go      the line that shows on a terminal how it goes
//	summary.go   the table at the end
//	session.go   fetches pages for somebody who looks at them, by a real engine
//	fetch.go     fetch: a page, or what was sent for it; view.go shows it in a browser
//	parse.go     parse: a page through a spider's callback
//	shell.go     shell: a conversation about pages; shell_commands.go has its words, shell_select.go selections, shell_tree.go the outline,
//	             shell_line.go the line that is typed, shell_complete.go what Tab knows
//	paint.go     colours, and text that cannot steer a terminal
//	save.go      writes a file whole, or leaves the old one
//	job.go       job: looks after crawls that can be resumed; job_stat.go and job_list.go print
//	config.go    the settings file, tulle.yaml, if its owner can be trusted (config_owner_*.go)
//	foreign.go   what to do in the folder of a project whose program is another
//	environ.go   settings in the environment
//	settings.go  settings: shows them, and where each comes from
//	startproject.go, genspider.go   write what is in the folder scaffold
//	check.go     check: holds spiders against their checks
//	bench*.go    bench: how fast this machine crawls
//	complete.go  what Tab offers
//	list.go, site.go, version.go
package cmd
