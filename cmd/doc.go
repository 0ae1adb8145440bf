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
//	crawl.go     crawl: runs a spider
//	live.go      the line that shows on a terminal how it goes
//	summary.go   the table at the end
//	job.go       job: looks after crawls that can be resumed; job_stat.go and job_list.go print
//	list.go, settings.go, site.go, version.go
package cmd
