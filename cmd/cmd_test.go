package cmd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/bundled"
)

var update = flag.Bool("update", false, "rewrite golden files")

// asProgram in the environment makes the test binary the program.
const asProgram = "TULLE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		cmd.Main(program())
	}
	if site := os.Getenv(killSiteAddr); site != "" {
		cmd.Main(killProgram(site))
	}
	goleak.VerifyTestMain(m)
}

// program has the bundled spiders, and some that misbehave.
func program() cmd.Program {
	p := cmd.Program{Spiders: bundled.Spiders()}
	p.Spiders["tiny"] = tiny
	p.Spiders["broken"] = func(map[string]string) (*crawl.Spider, error) { return nil, errors.New("no catalogue") }
	p.Spiders["none"] = func(map[string]string) (*crawl.Spider, error) { return nil, nil }
	p.Spiders["nameless"] = func(map[string]string) (*crawl.Spider, error) { return &crawl.Spider{}, nil }
	p.Spiders["panics"] = func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{
			StartURLs: []string{"data:,1", "data:,2", "http://127.0.0.1:1/", "not a url"},
			Parse:     func(context.Context, *crawl.Response, *crawl.Out) error { panic("ouch") },
		}, nil
	}
	p.Spiders["chatty"] = func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{StartURLs: []string{"data:,1"}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error {
			log.Print("said by the standard logger")
			return nil
		}}, nil
	}
	p.Spiders["stuck"] = func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{StartURLs: []string{"data:,1"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"n": 1})
			select {}
		}}, nil
	}
	p.Spiders["endless"] = func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{StartURLs: []string{"data:,0"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			b, err := r.Bytes()
			n, _ := strconv.Atoi(string(b))
			out.Item(map[string]any{"n": n, "text": strings.Repeat("x", 1000)})
			out.Request(crawl.Get(fmt.Sprintf("data:,%d", n+1)))
			return err
		}}, nil
	}
	return p
}

// tiny makes an item of each of n pages that need no network.
func tiny(args map[string]string) (*crawl.Spider, error) {
	n := 3
	if s := args["n"]; s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			return nil, fmt.Errorf("-a n=%s: want a whole number", s)
		}
	}
	return &crawl.Spider{
		Name: "tiny",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range n {
				out.Request(crawl.Get(fmt.Sprintf("data:,%d", i)))
			}
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			b, err := r.Bytes()
			out.Item(map[string]any{"n": string(b)})
			return err
		},
		Configure: func(s *crawl.Settings) { s.ConcurrentRequests = 5 },
	}, nil
}

// runAny runs a command line.
func runAny(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cmd.Run(t.Context(), program(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// run runs a command line. What it prints has no control characters.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	code, stdout, stderr = runAny(t, args...)
	for _, text := range []string{stdout, stderr} {
		require.False(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }), "%q", text)
	}
	return code, stdout, stderr
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// entries are the paths below a folder, relative to it.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if name != dir {
			rel, _ := filepath.Rel(dir, name)
			list = append(list, rel)
		}
		return err
	}))
	return list
}

// TestMistakes are command lines that are wrong: one line says why, and nothing is left.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"crwal", `there is no command "crwal"; did you mean crawl?`},
		{"nope", `there is no command "nope"; 'tulle --help' lists them`},
		{"shop", `there is no command "shop"; to run the spider: tulle crawl shop`},
		{"--nope", "unknown flag: --nope (see 'tulle --help')"},
		{"crawl tiny --ouptut x.csv", "unknown flag: --ouptut: did you mean --output? (see 'tulle crawl --help')"},
		{"list x", "tulle list takes no arguments: x"},
		{"version x y", "tulle version takes no arguments: x y"},
		{"crawl", "which spider? (tulle crawl SPIDER; 'tulle list' shows them)"},
		{"crawl tiny shop", "one spider at a time: tiny shop"},
		{"crawl nope", `no spider is called "nope"; there are: books, broken, chatty, endless, nameless, none, panics, quotes, shop, shop-api, shop-sitemap, stuck, tiny`},
		{"crawl broken", "spider broken: no catalogue"},
		{"crawl none", "spider none: its constructor returned neither a spider nor an error"},
		{"crawl shop -a products", `-a "products": want -a name=value`},
		{"crawl shop -a =3", `-a "=3": want -a name=value`},
		{"crawl shop -a products=1 -a products=2", "-a products is given twice"},
		{"crawl shop -a products=many", "spider shop: -a products=many: want a whole number from 1 to 10000000"},
		{"crawl shop -a size=3", "spider shop: -a size: no such argument; it takes: products"},
		{"crawl shop -a", "flag needs an argument: 'a' in -a (see 'tulle crawl --help')"},
		{"crawl shop -s x", `-s "x": want -s name=value`},
		{"crawl shop -s concurent_requests=3", "-s concurent_requests=3: unknown setting concurent_requests: did you mean concurrent_requests?"},
		{"crawl shop -s concurrent_requests=x", `-s concurrent_requests=x: "x" is not a whole number`},
		{"crawl shop -s images.quality=500 -O DIR/x.csv", "-s images.quality=500: want 1 to 100"},
		{"crawl shop -s images.store=DIR/s -O DIR/f/x", `-O "DIR/f/x": the name has no extension to tell the format by: write -O DIR/f/x:jsonl`},
		{"crawl shop -s images.store=DIR/s -O DIR/x:", `-O "DIR/x:": no format behind the colon`},
		{"crawl shop -s images.store=DIR/s -O :csv", `-O ":csv": which file? - is standard output`},
		{"crawl shop -s images.store=DIR/s -O DIR/x:doc", `feed DIR/x: no format "doc"; there are "csv", "json", "jsonl", "xml"`},
		{"crawl shop -s images.store=DIR/s -o DIR/x.doc", `feed DIR/x.doc: no format "doc"; there are "csv", "json", "jsonl", "xml"`},
		{"crawl shop -s images.store=DIR/s -o x:doc", `feed x: no format "doc"; there are "csv", "json", "jsonl", "xml"`},
		{"crawl shop -s images.store=DIR/s -O ftp://h/x.csv", `feed ftp://h/x.csv: no feed target "ftp"; there are "-", "file"; for "ftp" import ` +
			`github.com/tulle-go/tulle/pipeline/store/ftp, and put its Open into Parts.Stores`},
		{"crawl shop -s images.store=DIR/s -O DIR/a/b.csv -o /dev/null/x.csv", `feed /dev/null/x.csv: mkdir /dev/null: not a directory`},
		{"crawl shop -s images.store=DIR/s -O DIR/a.csv -o DIR/a.csv", `feed DIR/a.csv: this file is another feed's already`},
		{"crawl shop -s images.store=/dev/null/s -O DIR/a/b.csv", `open item pipeline pipeline.ImagesPipeline: open store /dev/null/s: mkdir /dev/null: not a directory`},
		{"crawl shop -s images.store=s3:x", `open item pipeline pipeline.ImagesPipeline: open store s3:x: s3: is followed by //; a folder of that name is ./s3:x`},
		{"crawl shop -s images.store=DIR/s --log-file /dev/null/l", "--log-file: open /dev/null/l: not a directory"},
		{"crawl shop -s images.store=DIR/s --log-file DIR/log -O /dev/null/x.csv", "feed /dev/null/x.csv: mkdir /dev/null: not a directory"},
		{"crawl shop --log-level loud", "--log-level loud: want debug, info, warn or error"},
		{"crawl shop -s log.level=loud", "-s log.level=loud: want debug, info, warn or error"},
		{"settings -s nope=1", "-s nope=1: unknown setting nope; the settings command lists all of them"},
		{"settings shop nope", `"nope" is neither a spider nor a setting`},
		{"settings imges", `"imges" is neither a spider nor a setting: did you mean images?`},
		{"settings --config DIR/none.yaml", "settings file: open DIR/none.yaml: no such file or directory"},
		{"settings --config x --no-config", "--config and --no-config: one or the other"},
		{"check nope", `no spider is called "nope"; there are: books, broken, chatty, endless, nameless, none, panics, quotes, shop, shop-api, shop-sitemap, stuck, tiny`},
		{"check -a x=1", "-a is an argument of a spider: name the spider too"},
		{"bench --time 1ms", "--time 1ms: want 100ms to 1h"},
		{"bench -s x", `-s "x": want -s name=value`},
		{"bench -s download.timeot=1", "-s download.timeot=1: unknown setting download.timeot: did you mean download.timeout?"},
		{"completion", "for which shell? (tulle completion bash|zsh|fish|powershell)"},
		{"completion tcsh", "for which shell? (tulle completion bash|zsh|fish|powershell)"},
		{"startproject", "what is the project called? (tulle startproject NAME)"},
		{"startproject a b c", "a name and a folder, and no more: a b c"},
		{"startproject func", `"func" cannot be a project's name: it is a word of the language Go`},
		{"startproject 3d", `"3d" cannot be a project's name: want letters, digits, - and _, beginning with a letter`},
		{"startproject internal", `"internal" cannot be a project's name: the go command has a meaning of its own for it`},
		{"startproject net", `"net" cannot be a module's path: packages of Go's standard library are called so; try example.com/net`},
		{"startproject github.com/me/", `"github.com/me/" cannot be a module's path: there is nothing between two slashes, or at an end`},
		{"startproject x --module ../x", `"../x" cannot be a module's path: ".." begins or ends with a dot or a dash`},
		{"startproject x --module a!b/x", `"a!b/x" cannot be a module's path: "a!b": want letters, digits and - _ . ~`},
		{"startproject x --module github.com/tulle-go/tulle/x", `"github.com/tulle-go/tulle/x" cannot be a module's path: that is tulle's own`},
		{"startproject x DIR/x --replace DIR", "--replace DIR: there is no go.mod: want the folder of a checkout of tulle"},
		{"startproject x DIR/x --replace ~/src", "--replace: open HERE/~/src/go.mod: no such file or directory (the shell has not replaced ~: leave the quotes out, or write $HOME)"},
		{"startproject x DIR/x --replace ../testdata/bench", "--replace ../testdata/bench: this is not a checkout of github.com/tulle-go/tulle"},
		{"genspider news", "want a name and a domain or URL, as in: tulle genspider news example.com"},
		{"genspider -l news", "-l takes no arguments: news"},
		{"genspider -t nope news example.com", "-t nope: there is no such template; there are: basic, crawl, sitemap, xmlfeed, csvfeed, api"},
		{"genspider news ftp://example.com", "ftp://example.com: want a domain, or a URL with http or https"},
		{"genspider news_linux example.com", `"news_linux" cannot be a spider's name here: the go command has a meaning of its own for files that end in _linux.go`},
		{"genspider all example.com", `"all" cannot be a spider's name here: All is the list of the spiders`},
		{"genspider spiders example.com", `"spiders" cannot be a spider's name here: spiders.go is the list of the spiders`},
		{"genspider 3d example.com", `"3d" cannot be a spider's name here: want letters, digits, - and _, beginning with a letter`},
		{"settings -a x shop", `-a "x": want -a name=value`},
		{"site --products 0", "--products 0: want 1 to 10000000"},
		{"site --products x", `--products x: want a whole number (see 'tulle site --help')`},
		{"parse -d x URL", `-d x: want a whole number (see 'tulle parse --help')`},
		{"check --timeout x", `--timeout x: want a duration such as 90s or 1h30m (see 'tulle check --help')`},
		{"check --json=x", `--json x: want true or false (see 'tulle check --help')`},
		{"check --timeout 0", "--timeout 0s: want more than 0"},
		{"help crwal", `there is no command "crwal"; did you mean crawl?`},
		{"help job stta", `tulle job has no command "stta"; did you mean stat?`},
		{"site --addr nonsense", "--addr nonsense: want host:port, as in 127.0.0.1:8000 or :8000"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && strings.Contains(c.args, "/dev/") {
				t.Skip("no /dev")
			}
			dir := t.TempDir()
			args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
			code, stdout, stderr := run(t, args...)
			here, err := os.Getwd()
			require.NoError(t, err)
			require.Equal(t, "tulle: "+strings.NewReplacer("DIR", dir, "HERE", here).Replace(c.want)+"\n", stderr)
			require.Equal(t, 2, code)
			require.Empty(t, stdout)
			require.Empty(t, entries(t, dir))
			require.NoDirExists(t, "shop-images")
		})
	}
}

// TestMistakesAtOnce tells all that is wrong, each on a line.
func TestMistakesAtOnce(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, "crawl", "tiny", "-s", "concurrent_requests=x", "-s", "concurent_items=3")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: -s concurrent_requests=x: \"x\" is not a whole number\n"+
		"tulle: -s concurent_items=3: unknown setting concurent_items: did you mean concurrent_items?\n", stderr)
}

// TestEmptyArguments are variables of a script that are not set.
func TestEmptyArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"fetch", ""}, {"genspider", "x", " "}} {
		code, _, stderr := run(t, args...)
		require.Equal(t, 2, code)
		require.Equal(t, "tulle: the URL is empty\n", stderr)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, c := range []string{
		"", "bench", "check", "completion", "crawl", "fetch", "genspider", "job", "job compact", "job export-urls", "job list", "job requeue-failed", "job stat", "job unlock", "list", "parse", "settings", "shell", "site",
		"startproject", "version", "view",
	} {
		t.Run("help "+c, func(t *testing.T) {
			t.Parallel()
			p := cmd.Program{Spiders: bundled.Spiders()}
			help := func(args ...string) string {
				var stdout, stderr bytes.Buffer
				require.Zero(t, cmd.Run(t.Context(), p, args, &stdout, &stderr))
				require.Zero(t, stderr.Len())
				return stdout.String()
			}
			got := help(append(strings.Fields(c), "--help")...)
			if c == "" {
				require.Equal(t, got, help())
			}
			require.Equal(t, got, help(append([]string{"help"}, strings.Fields(c)...)...))
			for line := range strings.Lines(got) {
				require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, line)
			}
			golden := filepath.Join("testdata", strings.TrimSpace("help "+c)+".txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			require.Equal(t, read(t, golden), got)
		})
	}
}

// TestOwnProgram names itself, and offers what it has.
func TestOwnProgram(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	p := cmd.Program{Name: "mycrawler", Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"tiny": tiny}}
	require.Zero(t, cmd.Run(t.Context(), p, []string{"--help"}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "  mycrawler crawl tiny ")
	require.NotContains(t, stdout.String(), "tulle")

	require.Equal(t, 2, cmd.Run(t.Context(), cmd.Program{Name: "mycrawler"}, []string{"crawl", "x"}, &stdout, &stderr))
	require.Equal(t, "mycrawler: no spider is called \"x\"; this program has none\n", stderr.String())
}

func TestListAndVersion(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "list")
	require.Zero(t, code)
	require.Equal(t, "books\nbroken\nchatty\nendless\nnameless\nnone\npanics\nquotes\nshop\nshop-api\nshop-sitemap\nstuck\ntiny\n", stdout)
	require.Empty(t, stderr)

	code, stdout, stderr = run(t, "version")
	require.Zero(t, code)
	require.Regexp(t, `^tulle \S+ \(go1\.\S+ \w+/\w+\)\n$`, stdout)
	require.Empty(t, stderr)
	for _, flag := range []string{"-v", "--version"} {
		code, again, stderr := run(t, flag)
		require.Zero(t, code, stderr)
		require.Equal(t, stdout, again)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

var errFullDisk = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFullDisk }

// TestUnwritable is output that cannot be written: that is no success.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"list", "list --json", "version", "--version", "version --json", "settings", "settings --json", "completion bash", "--help", "crawl --help",
		"check shop", "check -l", "genspider -l", "genspider -d x example.com", "shell data:,x -c body", "fetch data:,x", "fetch --json data:,x", "view --print data:,x"} {
		var stderr bytes.Buffer
		require.Equal(t, 1, cmd.Run(t.Context(), program(), strings.Fields(args), fullDisk{}, &stderr), args)
		require.Contains(t, stderr.String(), "tulle: standard output: no space left\n", args)
	}
}

// TestErrorsSteerNoTerminal: what stands in an error may come from a page.
func TestErrorsSteerNoTerminal(t *testing.T) {
	t.Parallel()
	evil := "\x1b[31mred\u009b"
	spiders := map[string]func(map[string]string) (*crawl.Spider, error){
		"evil": func(map[string]string) (*crawl.Spider, error) { return nil, errors.New(evil) },
		"steer": func(map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{
				Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
					out.Item(map[string]string{"title": evil})
					return errors.New(evil)
				},
				Checks: []crawl.Check{{Name: evil, URL: "data:,x"}},
			}, nil
		},
	}
	for _, args := range []string{"crawl evil", "check evil", "check steer -v"} {
		code, stdout, stderr := runProgram(t, spiders, strings.Fields(args)...)
		require.NotZero(t, code)
		require.Contains(t, stdout+stderr, "\ufffd[31mred\ufffd", args)
		require.NotContains(t, stdout+stderr, "\x1b", args)
		require.NotContains(t, stdout+stderr, "\u009b", args)
	}
}

// TestShop is the README's command, in a small shop.
func TestShop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	code, stdout, stderr := run(t, "crawl", "shop", "-a", "products=13", "-s", "images.store="+in("media/{spider}"), "-s", "log.level=error",
		"-O", in("items.json"), "-o", in("deep/items.csv"), "-O", in("items:jsonl"))
	require.Zero(t, code, stderr)
	require.Empty(t, stdout)

	var items []bundled.ShopProduct
	require.NoError(t, json.Unmarshal([]byte(read(t, in("items.json"))), &items))
	require.Len(t, items, 13)
	stored := 0
	for _, item := range items {
		for _, image := range item.Images {
			require.FileExists(t, filepath.Join(dir, "media/shop", image.Path))
			stored++
		}
	}
	require.Greater(t, stored, 13)
	rows, err := csv.NewReader(strings.NewReader(read(t, in("deep/items.csv")))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 14)
	require.Equal(t, []string{"url", "title", "price", "stock", "breadcrumb", "description", "specs", "image_urls", "images"}, rows[0])
	require.Equal(t, 13, strings.Count(read(t, in("items")), "\n"))

	shown := regexp.MustCompile(`in \S+s\n`).ReplaceAllString(stderr, "in 1s\n")
	shown = regexp.MustCompile(`traffic   [\d.]+ [kM]B`).ReplaceAllString(shown, "traffic   1.0 MB")
	require.Equal(t, strings.ReplaceAll(`
Finished in 1s
  pages     33 (1 with an error status)
  skipped   452 seen before, 5 forbidden by robots.txt
  items     13
  media     28 (2 failed: 1 too-small, 1 undecodable)
  traffic   1.0 MB in 69 requests
  errors    0
  feed      DIR/deep/items.csv (13 items)
            DIR/items.json (13 items)
            DIR/items (13 items)
  pictures  DIR/media/shop
`, "DIR", dir), shown)
}

func TestStdout(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{
		"-":      "{\"n\":\"0\"}\n",
		"-:csv":  "n\n0\n",
		"-:json": "[\n{\"n\":\"0\"}\n]\n",
	} {
		code, stdout, stderr := run(t, "crawl", "tiny", "-a", "n=1", "-O", out)
		require.Zero(t, code, stderr)
		require.Equal(t, want, stdout)
		require.Contains(t, stderr, "\n  feed      standard output (")
	}
}

func TestAppendAndOverwrite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.json")
	for i, c := range []struct {
		flag string
		want int
	}{{"-o", 3}, {"-o", 6}, {"-O", 3}, {"--output", 6}, {"--overwrite-output", 3}} {
		code, _, stderr := run(t, "crawl", "tiny", c.flag, file)
		require.Zero(t, code, stderr)
		var got []any
		require.NoError(t, json.Unmarshal([]byte(read(t, file)), &got))
		require.Len(t, got, c.want, i)
	}
}

// TestWithoutFeed says how to keep items.
func TestWithoutFeed(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "crawl", "tiny")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "\n  feed      none: -O items.jsonl keeps the items\n")
}

func TestFailures(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, "crawl", "panics", "-s", "retry.times=-1", "-s", "robots.ignore=true", "-s", "log.level=error")
	require.Zero(t, code, "what failed is counted, and the crawl goes on")
	require.Contains(t, stderr, "\n  pages     2\n")
	require.Contains(t, stderr, "\n  items     0\n")
	require.Contains(t, stderr, "(1 failed: 1 refused; callbacks: 2 panic)\n")
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	good := filepath.Join(t.TempDir(), "good.jsonl")
	code, _, stderr := run(t, "crawl", "tiny", "-a", "n=10000", "-O", "/dev/full:csv", "-O", good)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "\nClosed (feed) after ")
	require.True(t, strings.HasSuffix(stderr, "\ntulle: close item pipeline feeds: feed /dev/full: write /dev/full: no space left on device\n"), stderr)
	n := strings.Count(read(t, good), "\n")
	require.Positive(t, n)
	require.Less(t, n, 10000)
}

// A store that takes nothing ends the crawl, and who started it is told so by the exit code too.
func TestStoreThatRefuses(t *testing.T) {
	t.Parallel()
	p := cmd.Program{Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"refused": func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{StartURLs: []string{"data:,1"}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return crawl.CloseSpider("store") }}, nil
	}}}
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, cmd.Run(t.Context(), p, []string{"crawl", "refused"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "\nStopped, because the store takes nothing, after ")
	require.True(t, strings.HasSuffix(stderr.String(), "\ntulle: the store refused file after file: the log says why\n"), stderr.String())
}

func TestLogs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("before\n"), 0o600))
	code, stdout, stderr := run(t, "crawl", "tiny", "--log-file", file, "--log-level", "debug", "-s", "log.level=error")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Empty(t, stderr)
	text := read(t, file)
	require.True(t, strings.HasPrefix(text, "before\n"))
	require.Regexp(t, `INFO spider closed \{"reason": "finished", "pages": 3, "items": 3, "media": 0, "errors": 0\}\n$`, text)

	code, _, stderr = run(t, "crawl", "tiny", "-s", "log.format=json")
	require.Zero(t, code)
	text, table, ok := strings.Cut(stderr, "\n\nFinished in ")
	require.True(t, ok, stderr)
	require.Contains(t, table, "  items     3\n")
	lines := strings.Split(text, "\n")
	require.GreaterOrEqual(t, len(lines), 2)
	for _, line := range lines {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		require.Contains(t, entry, "level")
	}

	_, _, stderr = run(t, "crawl", "tiny", "--log-level", "error")
	require.True(t, strings.HasPrefix(stderr, "\nFinished in "), stderr)
}

// TestOwnLogger is a program's that has one.
func TestOwnLogger(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	p := program()
	p.Settings.Logger = zap.New(core)
	var stdout, stderr bytes.Buffer
	require.Zero(t, cmd.Run(t.Context(), p, []string{"crawl", "tiny"}, &stdout, &stderr))
	require.Equal(t, 1, logs.FilterMessage("spider closed").Len())
	require.True(t, strings.HasPrefix(stderr.String(), "\nFinished in "), stderr.String())
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			own := filepath.Join(dir, fmt.Sprint(i))
			var stdout, stderr bytes.Buffer
			code := cmd.Run(t.Context(), program(), []string{"crawl", "shop", "-a", fmt.Sprintf("products=%d", 20+i),
				"-s", "images.store=", "-O", filepath.Join(own, "f.jsonl"), "--log-file", filepath.Join(dir, "log"+fmt.Sprint(i))}, &stdout, &stderr)
			if code != 0 || stderr.Len() > 0 {
				t.Errorf("%d: exit %d: %s", i, code, &stderr)
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		require.Equal(t, 20+i, strings.Count(read(t, filepath.Join(dir, fmt.Sprint(i), "f.jsonl")), "\n"))
		require.Contains(t, read(t, filepath.Join(dir, "log"+fmt.Sprint(i))), `"reason": "finished"`)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		file := filepath.Join(t.TempDir(), "f.json")
		r, w := io.Pipe()
		if before {
			cancel()
		}
		go func() {
			_, _ = bufio.NewReader(r).ReadString('\n')
			cancel()
			_, _ = io.Copy(io.Discard, r)
		}()
		var stderr bytes.Buffer
		code := cmd.Run(ctx, program(), []string{"crawl", "endless", "-O", file, "-O", "-"}, w, &stderr)
		cancel()
		w.Close()
		require.Zero(t, code, stderr.String())
		require.Contains(t, stderr.String(), "\nStopped after ")
		var items []any
		require.NoError(t, json.Unmarshal([]byte(read(t, file)), &items))
	}
}

// child is the program in a process of its own.
type child struct {
	*exec.Cmd
	t      *testing.T
	dir    string
	stderr bytes.Buffer
}

func start(t *testing.T, stdout io.Writer, args ...string) *child {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	c := &child{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...), t: t, dir: t.TempDir()}
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Dir, c.Stdout, c.Stderr = c.dir, stdout, &c.stderr
	require.NoError(t, c.Start())
	return c
}

// until waits for bytes in a file.
func (c *child) until(name string, bytes int64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		info, err := os.Stat(filepath.Join(c.dir, name))
		return err == nil && info.Size() >= bytes
	}, 20*time.Second, 5*time.Millisecond)
}

func (c *child) exit() int {
	err := c.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		require.NoError(c.t, err)
	}
	return c.ProcessState.ExitCode()
}

// TestInterrupt is Ctrl-C, once: what is in flight is finished.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		c := start(t, nil, "crawl", "endless", "-O", "f.json", "-O", "f.csv")
		c.until("f.csv", 20_000)
		require.NoError(t, c.Process.Signal(sig))
		require.Zero(t, c.exit(), c.stderr.String())
		require.Contains(t, c.stderr.String(), "\nStopping: finishing what is in flight. Ctrl-C once more stops at once.\n")
		require.Contains(t, c.stderr.String(), "\nStopped after ")
		var items []struct{ N int }
		require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(c.dir, "f.json"))), &items))
		seen := make(map[int]bool)
		for _, item := range items {
			seen[item.N] = true
		}
		require.Len(t, seen, len(items))
		rows, err := csv.NewReader(strings.NewReader(read(t, filepath.Join(c.dir, "f.csv")))).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, len(items)+1)
	}
}

// TestInterruptTwice ends a crawl whose callback does not.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	c := start(t, nil, "crawl", "stuck", "-O", "f.jsonl")
	c.until("f.jsonl", 1)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	time.Sleep(200 * time.Millisecond) // two signals in the same instant are one
	begin := time.Now()
	require.NoError(t, c.Process.Signal(os.Interrupt))
	require.Zero(t, c.exit(), c.stderr.String())
	require.Less(t, time.Since(begin), 10*time.Second)
	require.Equal(t, "{\"n\":1}\n", read(t, filepath.Join(c.dir, "f.jsonl")))
	require.Contains(t, c.stderr.String(), "\nStopped after ")
}

// TestStandardLogger finds its lines in the crawl's log, where only those who debug look.
func TestStandardLogger(t *testing.T) {
	t.Parallel()
	c := start(t, nil, "crawl", "chatty", "--log-level", "debug")
	require.Zero(t, c.exit(), c.stderr.String())
	require.Regexp(t, `(?m)^[\d:.]+ DEBUG said by the standard logger$`, c.stderr.String())

	c = start(t, nil, "crawl", "chatty")
	require.Zero(t, c.exit())
	require.NotContains(t, c.stderr.String(), "standard logger")
}

// TestReaderGone is `| head`.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c := start(t, w, "crawl", "endless", "-O", "-:csv", "-O", "f.json")
	require.NoError(t, w.Close())
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "n,text\n", line)
	require.NoError(t, r.Close())
	require.Zero(t, c.exit(), c.stderr.String())
	require.Contains(t, c.stderr.String(), "\nStopped, because nobody reads the output any more, after ")
	require.NotContains(t, c.stderr.String(), "ERROR")
	require.True(t, json.Valid([]byte(read(t, filepath.Join(c.dir, "f.json")))))
}

func TestSettings(t *testing.T) {
	t.Parallel()
	show := func(args ...string) string {
		code, stdout, stderr := run(t, append([]string{"settings"}, args...)...)
		require.Zero(t, code, stderr)
		require.Empty(t, stderr)
		return stdout
	}
	all := show()
	require.Greater(t, strings.Count(all, "\n"), 50)
	require.Regexp(t, `(?m)^concurrent_requests +16 +default$`, all)
	require.Regexp(t, `(?m)^images\.store +"" +default$`, all)

	require.Equal(t, "concurrent_requests  5  spider tiny\n", show("tiny", "concurrent_requests"))
	require.Equal(t, "concurrent_requests  7  -s\n", show("tiny", "-s", "CONCURRENT_REQUESTS=7", "Concurrent_Requests"))
	require.Equal(t, "concurrent_requests  7  -s\n", show("tiny", "-s", "concurrent_requests=7", "--changed"))
	require.Empty(t, show("--changed"))
	hidden := show("--changed", "-s", "http_auth.user=me", "-s", "http_auth.password=hush", "-s", "http_auth.domain=example.com", "-s", "aws.secret_access_key=hush",
		"-s", "proxy.urls=http://me:hush@a:1,socks5://b:2", "-s", "images.store=ftp://me:hush@c/x")
	require.NotContains(t, hidden, "hush")
	require.Contains(t, hidden, "http://me:***@a:1,socks5://b:2")
	require.Contains(t, hidden, "ftp://me:***@c/x")
	for line := range strings.Lines(show("shop", "images")) {
		require.True(t, strings.HasPrefix(line, "images."), line)
	}
	require.Contains(t, show("shop", "images"), "spider shop\n")

	var list []crawl.Explained
	require.NoError(t, json.Unmarshal([]byte(show("--json", "retry")), &list))
	require.NotEmpty(t, list)
	require.Equal(t, "retry.times", list[0].Name)
	require.Equal(t, "[]\n", show("--json", "--changed"))
}

func TestSite(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		done <- cmd.Run(ctx, program(), []string{"site", "--addr", "127.0.0.1:0", "--products", "5"}, w, &stderr)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	url := regexp.MustCompile(`^The shop is open at (http://127\.0\.0\.1:\d+/) \(Ctrl-C closes it\)\n$`).FindStringSubmatch(line)
	require.NotNil(t, url, line)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(url[1])
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, string(body), "</html>")

	code, _, taken := run(t, "site", "--addr", strings.TrimSuffix(strings.TrimPrefix(url[1], "http://"), "/"))
	require.Equal(t, 2, code)
	require.Contains(t, taken, " is taken by another program, perhaps another 'tulle site'; --addr 127.0.0.1:0 takes one that is free\n")
	require.Equal(t, 1, strings.Count(taken, "\n"))

	cancel()
	require.Zero(t, <-done)
	require.Zero(t, stderr.Len())
	_, err = client.Get(url[1])
	require.Error(t, err)
}
