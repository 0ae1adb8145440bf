//go:build unix

// Package docs_test holds the pages of this folder to what they say: their Go code compiles and runs, their commands run and print what stands below them, their links
// lead somewhere, and the settings that they name exist.
//
// The first word behind a fence is the language, the others say what the test does with the block:
//
//	go                 a complete program
//	go callback NAME   statements in a callback, with ctx, r and out
//	go body NAME       statements in a function, with ctx, spider and settings
//	go decls           declarations
//	go NAME       a file that is written into the session's folder
//	diff NAME     changes of such a file: lines with + are added to what stands around them
//	yaml          a settings file, or a part of one
//	yaml append NAME   is added to a file of the session
//	sh            commands. Those of a page are a session: one shell, in a folder that is empty at first
//	sh background commands that run until the end of the session; sh kill: until they have made a few items. They are killed then
//	sh s3         commands that need a server for S3
//	sh install, sh network   commands that are not run; sh fails: commands that end with an error
//	go colly      is compiled in testdata/bench, where that library is
//	text          what the commands above it print: … stands for anything, on a line of its own for any lines
//
// What runs the Go code of a page is its frame, testdata/frames/PAGE.go: see fragments_test.go.
package docs_test

import (
	"bytes"
	"context"
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	_ "github.com/tulle-go/tulle/cmd" // what the sessions run: a change to it is a reason to test again
	"github.com/tulle-go/tulle/crawl"
	_ "github.com/tulle-go/tulle/engine/crawltest"
	_ "github.com/tulle-go/tulle/spiders/bundled"
	_ "github.com/tulle-go/tulle/spiders/loader"
)

var update = flag.Bool("update", false, "format the code of all pages, and write the table of settings into coming-from-scrapy.md")

// A block is what stands between two fences.
type block struct {
	page string
	line int // of its first fence
	lang string
	info []string // the words behind lang
	text string
}

func (b block) has(word string) bool { return slices.Contains(b.info, word) }

func (b block) String() string { return b.page + ":" + strconv.Itoa(b.line) }

// first is how notRun calls a block: by its page and first line.
func (b block) first() string {
	line, _, _ := strings.Cut(b.text, "\n")
	return b.page + ": " + line
}

// notRun are the blocks that are not run here, all of them, and why.
var notRun = map[string]string{
	"tutorial.md: git clone https://github.com/tulle-go/tulle":                 "it needs a network; what follows runs in a folder that has the tree at hand",
	"selectors.md: tulle shell https://quotes.toscrape.com/":                   "it needs a network, and somebody who types",
	"browser.md: tulle fetch --render --wait-for article https://example.com/": "it needs a network, and a browser: the frame renders a page, where there is one",
	"deploying.md: CGO_ENABLED=0 go build -o mycrawler .":                      "without cgo everything is built anew, for minutes",
	"deploying.md: [Unit]": "a file of systemd's",
	"deploying.md: 15 2 * * * cd /srv/mycrawler && /usr/local/bin/mycrawler crawl books --job jobs/$(date +\\%F) -O export/$(date +\\%F).jsonl --log-file crawl.log": "a file of cron's",
	"deploying.md: FROM golang:1.26 AS build": "a file of Docker's",
	"coming-from-colly.md: package main":      "testdata/bench runs it, beside Colly's",
	"coming-from-colly.md: c := colly.NewCollector(colly.AllowedDomains(\"books.toscrape.com\"), colly.Async(true))": "testdata/bench runs it, beside ours",
}

// TestNotRun holds the table of what is not run against the pages.
func TestNotRun(t *testing.T) {
	t.Parallel()
	_, blocks := pages(t)
	found := map[string]string{}
	for _, page := range blocks {
		for _, b := range page {
			switch {
			case b.lang == "sh" && (b.has("install") || b.has("network")), b.lang == "go" && (len(b.info) == 0 || b.has("colly")):
			case slices.Contains([]string{"go", "sh", "yaml", "diff", "text", "python"}, b.lang):
				continue
			}
			found[b.first()] = notRun[b.first()]
		}
	}
	require.Equal(t, notRun, found)
}

// pages are all pages, by name, and their blocks.
func pages(t *testing.T) (texts map[string]string, blocks map[string][]block) {
	t.Helper()
	names, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	texts, blocks = map[string]string{}, map[string][]block{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[name] = string(text)
		var in *block
		for i, line := range strings.Split(string(text), "\n") {
			info, fence := strings.CutPrefix(line, "```")
			switch {
			case !fence && in != nil:
				in.text += line + "\n"
			case fence && in == nil:
				words := strings.Fields(info)
				require.NotEmpty(t, words, "%s:%d: a block without a language", name, i+1)
				in = &block{page: name, line: i + 1, lang: words[0], info: words[1:]}
			case fence:
				blocks[name] = append(blocks[name], *in)
				in = nil
			}
		}
		require.Nil(t, in, "%s: a block without an end", name)
	}
	return texts, blocks
}

// build makes the program.
func build(t *testing.T) (program, checkout string) {
	t.Helper()
	checkout, err := filepath.Abs("..")
	require.NoError(t, err)
	program = filepath.Join(t.TempDir(), "tulle")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-w", "-o", program, "../cmd/tulle").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program, checkout
}

// packages are those that fragments may use without saying so.
var packages = func() map[string]string {
	all := map[string]string{}
	for _, path := range []string{
		"context", "encoding/json", "errors", "fmt", "io", "log", "net/http", "net/http/httptest", "net/url", "os", "slices", "strconv", "strings", "testing",
		"sync", "sync/atomic", "testing/synctest", "time", "github.com/stretchr/testify/require", "github.com/tidwall/gjson", "go.uber.org/zap",
	} {
		all[filepath.Base(path)] = path
	}
	for _, path := range []string{
		"cmd", "crawl", "downloader/browser", "engine", "engine/crawltest", "middleware", "pipeline", "pipeline/feed", "pipeline/feed/parquet", "pipeline/sink",
		"pipeline/store/ftp", "pipeline/store/gcs", "pipeline/store/s3", "scheduler/jobdir", "spiders", "spiders/links", "spiders/loader",
	} {
		all[filepath.Base(path)] = "github.com/tulle-go/tulle/" + path
	}
	return all
}()

// TestPages runs the Go code of all pages, and the commands of each, and holds what they print against the page.
func TestPages(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds programs")
	}
	program, checkout := build(t)
	_, blocks := pages(t)
	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		fragments(t, program, checkout, blocks)
	})
	for name, page := range blocks {
		if !slices.ContainsFunc(page, func(b block) bool { return slices.Contains([]string{"sh", "yaml", "python"}, b.lang) }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, program, checkout)
			for i, b := range page {
				var printed string
				if i+1 < len(page) && page[i+1].lang == "text" {
					printed = page[i+1].text
				}
				s.do(t, b, printed)
			}
		})
	}
}

// TestFormat holds the Go code of all pages against gofmt. -update formats it.
func TestFormat(t *testing.T) {
	t.Parallel()
	texts, blocks := pages(t)
	for name, page := range blocks {
		text := texts[name]
		for _, b := range page {
			if b.lang != "go" {
				continue
			}
			formatted, err := format.Source([]byte(b.text))
			require.NoError(t, err, "%v", b)
			if !*update {
				require.Equal(t, string(formatted), b.text, "%v: gofmt would change it", b)
			}
			text = strings.Replace(text, "\n"+b.text+"```", "\n"+string(formatted)+"```", 1)
		}
		if *update && text != texts[name] {
			require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
}

// run runs a command that must succeed, without a network for the go command.
func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(args, " "), out)
}

// A session is a shell whose commands are those of a page.
type session struct {
	dir   string
	state string            // a folder: where the shell is, and its variables
	addrs map[string]string // of the page, and where they are in this run
	s3    bool
	tulle string
}

func newSession(t *testing.T, program, checkout string) *session {
	t.Helper()
	s := &session{dir: t.TempDir(), state: t.TempDir(), addrs: map[string]string{}, tulle: program}
	for _, addr := range []string{"127.0.0.1:8000", "127.0.0.1:7070"} {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		s.addrs[addr] = ln.Addr().String()
		require.NoError(t, ln.Close())
	}
	bin := filepath.Join(s.state, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	// The checkout has its own path, not that of a link in this session's folder: the go command would build all of it anew.
	script := "#!/bin/sh\nif [ \"$*\" = site ]; then set -- site --addr " + s.addrs["127.0.0.1:8000"] + "; fi\n" +
		"if [ \"$1 $3 $4\" = \"startproject --replace tulle\" ]; then set -- \"$1\" \"$2\" --replace '" + checkout + "'; fi\nexec " + program + " \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "tulle"), []byte(script), 0o755)) //nolint:gosec // it is a program
	if server := os.Getenv("TULLE_TEST_S3"); server != "" {
		s.s3 = true
		require.NoError(t, os.Symlink(server, filepath.Join(bin, "versitygw")))
	}
	// On a terminal the log has warnings only.
	environ := "export PATH=" + bin + ":$PATH TULLE_LOG_LEVEL=warn GOPROXY=off GOFLAGS='-mod=readonly -ldflags=-w' GOWORK=off LC_ALL=C TERM=dumb\n" +
		"unset AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3\n"
	require.NoError(t, os.WriteFile(filepath.Join(s.state, "env"), []byte(environ), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(s.state, "cwd"), []byte(s.dir), 0o644))
	return s
}

// here turns what the page says into what is so in this run; there turns it back.
func (s *session) here(text string) string {
	for page, run := range s.addrs {
		text = strings.ReplaceAll(text, page, run)
	}
	return text
}

func (s *session) there(text string) string {
	for page, run := range s.addrs {
		text = strings.ReplaceAll(text, run, page)
	}
	return text
}

func (s *session) cwd(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.state, "cwd"))
	require.NoError(t, err)
	return strings.TrimSpace(string(b))
}

// do does what a block says.
func (s *session) do(t *testing.T, b block, printed string) {
	t.Helper()
	switch {
	case b.lang == "go" && len(b.info) == 1 && strings.Contains(b.info[0], "."):
		name := filepath.Join(s.cwd(t), b.info[0])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(s.here(b.text)), 0o644))
	case b.lang == "diff":
		s.patch(t, b)
	case b.lang == "yaml" && b.has("append"):
		f, err := os.OpenFile(filepath.Join(s.cwd(t), b.info[1]), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(b.text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	case b.lang == "yaml":
		name := filepath.Join(s.state, "settings.yaml")
		require.NoError(t, os.WriteFile(name, []byte(b.text), 0o644))
		c := exec.CommandContext(t.Context(), s.tulle, "settings", "--config", name)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%v\n%s", b, out)
	case b.lang == "python":
		python(t, b)
	case b.lang != "sh", b.has("install"), b.has("network"), b.has("s3") && !s.s3:
	case b.has("background"):
		s.start(t, b, printed)
	case b.has("kill"):
		s.kill(t, b)
	default:
		out, err := s.shell(t.Context(), b.text).CombinedOutput()
		if !b.has("fails") {
			require.NoError(t, err, "%v\n%s\n%s", b, b.text, out)
		}
		if printed != "" {
			require.Regexp(t, expected(printed), strings.TrimSpace(s.there(string(out))), "%v", b)
		}
	}
}

// shell runs commands where the last ones ended.
func (s *session) shell(ctx context.Context, commands string) *exec.Cmd {
	state := func(name string) string { return filepath.Join(s.state, name) }
	c := exec.CommandContext(ctx, "bash", "-c", ". "+state("env")+"; cd \"$(cat "+state("cwd")+")\"; trap 'pwd >"+state("cwd")+"; export -p >"+state("env")+"' EXIT\nset -e\n"+
		s.here(commands))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c
}

// start runs commands in the background until the end of the test, and waits until they answer at the address that they, or what they print, name.
func (s *session) start(t *testing.T, b block, printed string) {
	t.Helper()
	var out bytes.Buffer
	c := s.shell(context.WithoutCancel(t.Context()), "(sleep 900; kill -KILL 0) &\n"+b.text) // so that nothing stays behind if the test is killed
	c.Stdout, c.Stderr = &out, &out
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%v\n%s", b, out.String())
		}
	})
	for page, addr := range s.addrs {
		if !strings.Contains(b.text+printed, page) {
			continue
		}
		require.Eventually(t, func() bool {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		}, time.Minute, 20*time.Millisecond, "%v: nobody answers at %s", b, page)
	}
}

// outputOf finds the feed of a command line.
var outputOf = regexp.MustCompile(`-O (\S+)`)

// kill runs commands until the job has written a few items, and kills them.
func (s *session) kill(t *testing.T, b block) {
	t.Helper()
	at, m := s.cwd(t), outputOf.FindStringSubmatch(b.text)
	require.NotNil(t, m, "%v: no -O FILE to look at", b)
	require.NoError(t, os.Remove(filepath.Join(at, m[1]))) // what an earlier crawl has left
	lines := strings.Split(strings.TrimSpace(b.text), "\n")
	lines[len(lines)-1] = "exec " + lines[len(lines)-1] // so that it is what is killed and waited for
	c := s.shell(t.Context(), strings.Join(lines, "\n"))
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(at, m[1]))
		return bytes.Count(text, []byte("\n")) > 3
	}, 2*time.Minute, 20*time.Millisecond, "%v", b)
	require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGKILL))
	require.Error(t, c.Wait())
}

// patch adds lines to a file, and takes lines away.
func (s *session) patch(t *testing.T, b block) {
	t.Helper()
	name := filepath.Join(s.cwd(t), b.info[0])
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	var before, after strings.Builder
	for line := range strings.Lines(b.text) {
		if line[0] != '+' {
			before.WriteString(line[1:])
		}
		if line[0] != '-' {
			after.WriteString(line[1:])
		}
	}
	was := s.here(before.String())
	require.Equal(t, 1, strings.Count(string(text), was), "%v: what is to be changed must be there once:\n%s", b, was)
	require.NoError(t, os.WriteFile(name, []byte(strings.Replace(string(text), was, s.here(after.String()), 1)), 0o644))
}

// expected is the pattern of what stands on a page.
func expected(text string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(strings.TrimSpace(text))
	pattern = regexp.MustCompile(`\n…$`).ReplaceAllString(pattern, `(?s:(\n.*)?)`)
	pattern = regexp.MustCompile(`(?m)^…$\n?`).ReplaceAllString(pattern, "(?s:.*)")
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	return regexp.MustCompile("^" + pattern + "$")
}

var (
	linkTo  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks looks whether what pages link to is there, and whether each page is in the table of contents.
func TestLinks(t *testing.T) {
	t.Parallel()
	texts, _ := pages(t)
	for name, text := range texts {
		if name != "README.md" {
			require.Contains(t, texts["README.md"], "]("+name+")", "%s is not in the table of contents", name)
		}
		for _, m := range linkTo.FindAllStringSubmatch(code.ReplaceAllString(text, "code"), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			if to == "" {
				to = name
			}
			_, err := os.Stat(to)
			require.NoError(t, err, "%s links to %s", name, m[1])
			if anchor != "" {
				require.Contains(t, anchors(texts[to]), anchor, "%s links to %s", name, m[1])
			}
		}
	}
}

// anchors are what GitHub makes of a page's headings.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// inline is code within a sentence or a table.
var inline = regexp.MustCompile("`[^`\n]+`")

// theirs is the column of a table that has what another framework calls it.
var theirs = regexp.MustCompile(`(?m)^\| .*? \|`)

// prefixes are what stands before a dot on a page, and the package, or the type of package crawl, whose name stands behind it.
var prefixes = map[string]string{
	"out": "Out", "r": "Response", "env": "Env", "Settings": "Settings", "Spider": "Spider", "Request": "Request", "Knobs": "Knobs", "Trace": "Trace", "Parts": "Parts",
	"Robots": "RobotsSettings", "Depth": "DepthSettings",
}

// TestNames looks whether there is what pages name within their sentences: crawl.Get, Spider.Errback, out.Follow, --job.
func TestNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{} // package.Name, and Type.Name of package crawl
	for name, path := range packages {
		if rest, ok := strings.CutPrefix(path, "github.com/tulle-go/tulle/"); ok {
			exported(t, name, "../"+rest, names)
		}
	}
	flags := ""
	files, err := filepath.Glob("../cmd/*.go")
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			flags += read(t, file)
		}
	}
	texts, _ := pages(t)
	name, flag := regexp.MustCompile(`\b(\w+)\.([A-Z]\w*)`), regexp.MustCompile(`(?:^|[ `+"`"+`])--([a-z][a-z-]+)`)
	n := 0
	for page, text := range texts {
		if strings.HasPrefix(page, "coming-from-") {
			text = theirs.ReplaceAllString(text, "|")
		}
		for _, code := range inline.FindAllString(text, -1) {
			for _, m := range name.FindAllStringSubmatch(code, -1) {
				prefix := m[1]
				if of, ok := prefixes[prefix]; ok {
					prefix = of
				} else if !strings.HasPrefix(packages[prefix], "github.com/tulle-go/") {
					continue
				}
				require.True(t, names[prefix+"."+m[2]], "%s: %s: there is no %s in %s", page, code, m[2], prefix)
				n++
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if strings.Contains(line, "scrapy ") || strings.Contains(line, "versitygw") || strings.HasPrefix(line, "COPY ") {
				continue // another program's
			}
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				require.True(t, strings.Contains(flags, "\""+m[1]+"\""), "%s: no command has a flag --%s", page, m[1])
				n++
			}
		}
	}
	require.Greater(t, n, 100)
}

// exported adds what a package exports; of package crawl also what its types have.
func exported(t *testing.T, name, dir string, names map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files, dir)
	member := func(of string, id *ast.Ident) {
		if name == "crawl" {
			names[of+"."+id.Name] = true
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[name+"."+d.Name.Name] = true
					continue
				}
				of := d.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				if id, ok := of.(*ast.Ident); ok {
					member(id.Name, d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, id := range spec.Names {
							names[name+"."+id.Name] = true
						}
					case *ast.TypeSpec:
						names[name+"."+spec.Name.Name] = true
						if of, ok := spec.Type.(*ast.StructType); ok {
							for _, field := range of.Fields.List {
								for _, id := range field.Names {
									member(spec.Name.Name, id)
								}
							}
						}
					}
				}
			}
		}
	}
}

var dotted = regexp.MustCompile("`([a-z_0-9]+(?:\\.[a-z_0-9]+)+)(?:=[^`]*)?`")

// TestSettingNames holds the settings that pages name against those that there are. A name with a dot counts if its first part is that of a setting.
func TestSettingNames(t *testing.T) {
	t.Parallel()
	all, err := crawl.Settings{}.Explain(nil)
	require.NoError(t, err)
	groups := map[string]bool{}
	for _, s := range all {
		if group, _, ok := strings.Cut(s.Name, "."); ok {
			groups[group] = true
		}
	}
	texts, _ := pages(t)
	n := 0
	for name, text := range texts {
		for _, m := range dotted.FindAllStringSubmatch(text, -1) {
			group, rest, _ := strings.Cut(m[1], ".")
			if !groups[group] || slices.Contains([]string{"go", "md", "yaml"}, rest) {
				continue
			}
			_, _, err := crawl.SettingName(m[1])
			require.NoError(t, err, "%s names %s", name, m[1])
			n++
		}
	}
	require.Positive(t, n)
}

// TestScrapySettings holds the table of settings on the page for people who come from Scrapy against the names that package crawl knows. -update writes it.
func TestScrapySettings(t *testing.T) {
	t.Parallel()
	const page, begin, end = "coming-from-scrapy.md", "<!-- settings -->\n", "<!-- end of settings -->\n"
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), begin)
	require.True(t, ok)
	was, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	table := settingsTable(t)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+table+end+after), 0o644))
		return
	}
	require.Equal(t, table, was, "go test ./docs -run TestScrapySettings -update writes the table")
}

// settingsTable reads the maps of aliases.go: they are not exported.
func settingsTable(t *testing.T) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../crawl/aliases.go", nil, 0)
	require.NoError(t, err)
	ours, theirs := map[string]string{}, map[string]string{}
	text := func(e ast.Expr) string {
		s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
		require.NoError(t, err)
		return s
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "scrapyNames" && spec.Names[0].Name != "scrapyOnly" {
			return true
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			kv := e.(*ast.KeyValueExpr)
			if to, ok := kv.Value.(*ast.CompositeLit); ok {
				note := ""
				if convert, ok := to.Elts[1].(*ast.Ident); ok && convert.Name == "not" {
					note = ", the other way round"
				} else if ok && convert.Name == "days" {
					note = ", from days"
				} else if ok && convert.Name == "megabytes" {
					note = ", from megabytes"
				}
				ours[text(kv.Key)] = "`" + text(to.Elts[0]) + "`" + note
			} else {
				theirs[text(kv.Key)] = text(kv.Value)
			}
		}
		return false
	})
	require.Greater(t, len(ours), 50)
	require.Greater(t, len(theirs), 50)
	for name := range ours {
		_, _, err := crawl.SettingName(name)
		require.NoError(t, err)
	}
	var out strings.Builder
	out.WriteString("\n| Scrapy | here |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		out.WriteString("| `" + name + "` | " + ours[name] + " |\n")
	}
	out.WriteString("\nWithout a setting of that kind, and what there is in its place:\n\n| Scrapy | here |\n|---|---|\n")
	var none []string
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if theirs[name] == "" {
			none = append(none, "`"+name+"`")
			continue
		}
		out.WriteString("| `" + name + "` | " + theirs[name] + " |\n")
	}
	out.WriteString("\nWithout anything in their place: " + strings.Join(none, ", ") + ".\n\n")
	return out.String()
}

// TestTroubleshooting holds what the page says that the program prints against the program's source: people look for these words.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		source.Write(b)
		return err
	}))
	words := strings.ReplaceAll(source.String(), `\"`, `"`)
	page, err := os.ReadFile("troubleshooting.md")
	require.NoError(t, err)
	between := regexp.MustCompile(`…|"[^"]*"|[0-9]+|[:;,()]`) // what differs from time to time, and what stands between texts that are put together
	n := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, said := range regexp.MustCompile("`[^`]*`").FindAllString(cells[1], -1) {
			for _, part := range between.Split(strings.Trim(said, "`"), -1) {
				if part = strings.TrimSpace(part); len(strings.Fields(part)) > 1 && !slices.Contains([]string{"did you mean images.store?", "unknown setting image.store"}, part) {
					require.True(t, strings.Contains(words, part), "nothing prints %s: %q is not in the source", said, part)
					n++
				}
			}
		}
	}
	require.Greater(t, n, 20)
}
