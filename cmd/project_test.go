package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// goRun runs a command in a folder, without a network for the go command, and returns what it says.
func goRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(args, " "), out)
	return string(out)
}

// project starts a project that uses this checkout.
func project(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	code, stdout, stderr := in(t, dir, nil, "startproject", "mycrawler", "--replace", checkout)
	require.Zero(t, code, stderr)
	require.Equal(t, "mycrawler is in the folder \"mycrawler\". What to do first:\n\n  cd mycrawler\n  go test ./...\n  go run . crawl books\n", stdout)
	return filepath.Join(dir, "mycrawler")
}

// bookSite serves the project's saved pages over TLS, as books.toscrape.com has them.
func bookSite(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	root := filepath.Join(dir, "spiders/testdata/books.toscrape.com")
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Clean(r.URL.Path)
		if name == "/" {
			name = "/index.html"
		}
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestProject is what a newcomer does: start, build, test, crawl, check, add a spider of each kind, test again.
func TestProject(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds programs")
	}
	dir := project(t)
	require.Equal(t, "", goRun(t, dir, "gofmt", "-s", "-l", "."))
	goRun(t, dir, "go", "build", "-o", "mycrawler", ".")
	goRun(t, dir, "go", "vet", "./...")
	goRun(t, dir, "go", "test", "./...")

	// A crawl against a site of this machine, with the settings of tulle.yaml but the delay.
	program := filepath.Join(dir, "mycrawler")
	srv := bookSite(t, dir)
	at, err := url.Parse(srv.URL)
	require.NoError(t, err)
	local := []string{"-s", "download.connect_to=books.toscrape.com:443=" + at.Host, "-s", "download.insecure_tls=true", "-s", "download_delay=0"}
	said := goRun(t, dir, append([]string{program, "crawl", "books", "-s", "images.min_width=0"}, local...)...)
	require.Contains(t, said, "\n  items     3\n")
	require.Contains(t, said, "\n  errors    0\n")
	require.Contains(t, said, "\n  feed      items.jsonl (")
	require.Contains(t, said, "\n  pictures  pictures\n")
	var book struct {
		Title  string       `json:"title"`
		Images []crawl.File `json:"images"`
	}
	line, _, _ := strings.Cut(read(t, filepath.Join(dir, "items.jsonl")), "\n")
	require.NoError(t, json.Unmarshal([]byte(line), &book))
	require.NotEmpty(t, book.Title)
	require.Len(t, book.Images, 1)
	require.FileExists(t, filepath.Join(dir, "pictures", book.Images[0].Path))
	require.Contains(t, goRun(t, dir, program, "settings", "books", "depth.limit"), "depth.limit  100  tulle.yaml:")

	// Checks on saved pages, from any folder of the project; on the site; and what the site has now, saved.
	require.Contains(t, goRun(t, filepath.Join(dir, "items"), program, "check"), "\n2 checks, all hold\n")
	require.Contains(t, goRun(t, dir, append([]string{program, "check", "books", "--live"}, local...)...), "\n2 checks, all hold\n")
	page := filepath.Join(dir, "spiders/testdata/books.toscrape.com/index.html")
	old := read(t, page)
	write(t, page, strings.ReplaceAll(old, "product_pod", "product"))
	c := exec.CommandContext(t.Context(), program, "check")
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 1, c.ProcessState.ExitCode())
	require.Contains(t, string(out), "FAIL  books Parse  testdata/books.toscrape.com/index.html  (0 items, 1 request; ")
	require.Contains(t, string(out), "\n      requests: want at least 3, got 1\n")
	require.Contains(t, string(out), "\n2 checks, 1 failed\nmycrawler: 1 check failed\n")
	write(t, page, old)
	said = goRun(t, dir, append([]string{program, "check", "--update"}, local...)...)
	require.Contains(t, said, "\n      saved spiders/testdata/books.toscrape.com/index.html\n")
	require.Equal(t, old, read(t, page))

	// One spider of each kind.
	for _, kind := range []string{"sitemap", "basic", "crawl", "api", "csvfeed", "xmlfeed"} {
		said := goRun(t, dir, program, "genspider", "-t", kind, "my-"+kind, "example.com")
		require.Contains(t, said, "Wrote spiders/my_"+kind+".go\nAdded ")
		require.Contains(t, goRun(t, dir, program, "genspider", "-t", kind, "-d", "other", "example.com"), "func Other(")
	}
	require.Contains(t, read(t, filepath.Join(dir, "spiders/spiders.go")), `
		"books":      Books,
		"my-api":     MyApi,
		"my-basic":   MyBasic,
		"my-crawl":   MyCrawl,
		"my-csvfeed": MyCsvfeed,
		"my-sitemap": MySitemap,
		"my-xmlfeed": MyXmlfeed,
	}
`)
	require.Equal(t, "", goRun(t, dir, "gofmt", "-s", "-l", "."))
	goRun(t, dir, "go", "vet", "./...")
	goRun(t, dir, "go", "test", "./spiders")
	goRun(t, dir, "go", "build", "-o", "mycrawler", ".")
	require.Equal(t, "books\nmy-api\nmy-basic\nmy-crawl\nmy-csvfeed\nmy-sitemap\nmy-xmlfeed\n", goRun(t, dir, program, "list"))
	require.Contains(t, goRun(t, dir, program, "version", "-v"), "\njobs           linked\n")

	// What a spider does not read is refused: a mistyped argument would change nothing.
	for _, name := range strings.Fields(goRun(t, dir, program, "list")) {
		c := exec.CommandContext(t.Context(), program, "crawl", name, "-a", "tga=x")
		c.Dir = dir
		out, err := c.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, "mycrawler: spider "+name+": -a tga: it takes no arguments\n", string(out))
	}
}

// TestForeignProject is an installed tulle in the folder of a project, whose spiders it does not have: it says what to do, and once.
func TestForeignProject(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	code, _, stderr := in(t, root, nil, "startproject", "lamps")
	require.Zero(t, code, stderr)
	dir := filepath.Join(root, "lamps")
	code, _, stderr = in(t, dir, nil, "genspider", "news", "example.com")
	require.Zero(t, code, stderr)
	text := read(t, filepath.Join(dir, "tulle.yaml"))
	write(t, filepath.Join(dir, "tulle.yaml"), text+"  news: {download_delay: 1s}\n  other: {}\n")
	says := func(dir string, want string, args ...string) {
		t.Helper()
		_, _, stderr := in(t, dir, nil, args...)
		if want == "" {
			require.Empty(t, stderr)
			return
		}
		require.Contains(t, stderr, want)
		require.Equal(t, 1, strings.Count(stderr, "go run"), stderr)
	}
	below := filepath.Join(dir, "spiders")
	says(dir, `no spider is called "news"; there are: books, broken, `, "crawl", "news")
	says(dir, `tiny; the spiders of the project lamps are in its own program: go run . crawl news -a 'x=a b'`+"\n", "crawl", "news", "-a", "x=a b")
	says(below, `tiny; the spiders of the project lamps are in its own program: go run .. check news`+"\n", "check", "news")
	says(dir, "tulle: warning: this is tulle's own spider books, and not that of the project lamps: go run . settings books order\n", "settings", "books", "order")
	says(below, "tulle: warning: ../tulle.yaml: the spiders of the project lamps (news, other) are in its own program: go run .. crawl news\n", "settings", "tiny", "order")
	says(dir, "tulle: warning: these are tulle's own spiders; those of the project lamps are in its own program: go run . list\n", "list")
	says(dir, "", "settings", "order") // nobody asks for a spider
	says(dir, "", "shell", "-c", "help")

	// A program elsewhere, and another's list.
	require.NoError(t, os.Remove(filepath.Join(dir, "main.go")))
	require.NoError(t, os.RemoveAll(below))
	write(t, filepath.Join(dir, "go.mod"), "module \"example.com/cats\" // mine\n\nrequire (\n\tgithub.com/tulle-go/tulle v0.1.0\n)\n")
	says(dir, "the spiders of the project cats are in its own program: go run PACKAGE crawl nope\n", "crawl", "nope")

	// Not a project of ours, and tulle itself.
	for _, mod := range []string{"module x\n", "module github.com/tulle-go/tulle\n"} {
		write(t, filepath.Join(dir, "go.mod"), mod)
		_, _, stderr = in(t, dir, nil, "settings", "tiny", "order")
		require.Equal(t, 2, strings.Count(stderr, "\n"), stderr)
		require.Contains(t, stderr, `tulle: warning: tulle.yaml:25:3: no spider is called "news"; there are: `)
	}
}

// TestProjectOverwritesNothing, and a project that cannot be written leaves nothing.
func TestProjectOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x/README.md"), "mine\n")
	code, _, stderr := in(t, dir, nil, "startproject", "x")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: x/README.md is there already; nothing has been written\n", stderr)
	require.Equal(t, []string{"x", "x/README.md"}, entries(t, dir))

	write(t, filepath.Join(dir, "y/spiders"), "a file where a folder is wanted\n")
	code, _, stderr = in(t, dir, nil, "startproject", "y")
	require.Equal(t, 2, code)
	require.Equal(t, []string{"x", "x/README.md", "y", "y/spiders"}, entries(t, dir))
	require.Equal(t, "tulle: y/spiders is a file, and the project needs a folder there: move it, or name another folder, as in: tulle startproject y DIR\n", stderr)

	write(t, filepath.Join(dir, "lamps"), "a file\n")
	for _, args := range [][]string{{"lamps"}, {"github.com/me/mycrawler", "lamps/crawler"}} {
		code, _, stderr = in(t, dir, nil, append([]string{"startproject"}, args...)...)
		require.Equal(t, 2, code)
		require.Equal(t, "tulle: lamps is a file, and the project needs a folder there: move it, or name another folder, as in: tulle startproject "+args[0]+" DIR\n", stderr)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "lamps")))

	// Other files may be there.
	write(t, filepath.Join(dir, "z/notes.txt"), "mine\n")
	code, stdout, stderr := in(t, dir, nil, "startproject", "github.com/me/zz", "z")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "\n  cd z\n  go mod tidy\n  go test ./...\n")
	require.Contains(t, read(t, filepath.Join(dir, "z/go.mod")), "module github.com/me/zz\n\ngo ")
	require.Contains(t, read(t, filepath.Join(dir, "z/main.go")), `"github.com/me/zz/spiders"`)
	require.Contains(t, read(t, filepath.Join(dir, "z/.gitignore")), "\n/zz\n")
}

// TestGoVersion of new projects is that of tulle.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, _, stderr := in(t, dir, nil, "startproject", "x")
	require.Zero(t, code, stderr)
	_, rest, ok := strings.Cut(read(t, "../go.mod"), "\ngo ")
	require.True(t, ok)
	version, _, _ := strings.Cut(rest, "\n")
	require.Contains(t, read(t, filepath.Join(dir, "x/go.mod")), "\ngo "+version+"\n")
}

func TestGenspider(t *testing.T) {
	t.Parallel()
	spiders := func(list string) string {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "go.mod"), "module x\n")
		write(t, filepath.Join(dir, "spiders/spiders.go"), list)
		return dir
	}
	head := "package spiders\n\nfunc All() map[string]func(map[string]string) (*crawl.Spider, error) {\n\treturn map[string]func(map[string]string) (*crawl.Spider, error){"
	for name, c := range map[string]struct{ list, want string }{
		"empty":                {"}\n}\n", "\n\t\t\"m\": M,\n\t}\n}\n"},
		"one line":             {"\"a\": A, \"z\": Z}\n}\n", "\"a\": A, \"m\": M,\n\t\t\"z\": Z}\n}\n"},
		"at the end of a line": {"\"a\": A}\n}\n", "\"a\": A,\n\t\t\"m\": M,\n\t}\n}\n"},
		"last":                 {"\n\t\t\"a\": A, // first\n\t}\n}\n", "\n\t\t\"a\": A, // first\n\t\t\"m\": M,\n\t}\n}\n"},
		"first":                {"\n\t\t// about z\n\t\t\"z\": Z,\n\t}\n}\n", "\n\t\t\"m\": M,\n\t\t// about z\n\t\t\"z\": Z,\n\t}\n}\n"},
		"there":                {"\n\t\t\"m\": M,\n\t}\n}\n", "\n\t\t\"m\": M,\n\t}\n}\n"},
	} {
		dir := spiders(head + c.list)
		code, stdout, stderr := in(t, dir, nil, "genspider", "m", "example.com")
		require.Zero(t, code, "%s: %s%s", name, stdout, stderr)
		require.Equal(t, head+c.want, read(t, filepath.Join(dir, "spiders/spiders.go")), name)
		require.FileExists(t, filepath.Join(dir, "spiders/m.go"))
		require.Contains(t, stdout, "Wrote spiders/m.go\n")
	}

	// A list that cannot be edited stays as it is, and the line is told.
	for list, why := range map[string]string{
		"package spiders\n\nfunc All() any { return list }\n":                                       "the function All does not return a list that is written out",
		"package spiders\n\nfunc All() any { return map[string]any{one: 1} }\n":                     "not all of its names are plain texts",
		"package spiders\n\nfunc All() any { return map[string]any{\"m\": Other} }\n":               `it has a spider "m" already`,
		"package spiders\n\nfunc All() any { return map[string]any{\"m\": Other( }\n":               "spiders.go:3:",
		"package spiders\n\nfunc All() any { s := map[string]any{}; delete(s, \"x\"); return s }\n": "the function All does not return a list that is written out",
	} {
		dir := spiders(list)
		code, stdout, stderr := in(t, dir, nil, "genspider", "m", "example.com")
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "The list in spiders/spiders.go could not be edited ("+why)
		require.Contains(t, stdout, "Add this line to it: \"m\": M,\n")
		require.Equal(t, list, read(t, filepath.Join(dir, "spiders/spiders.go")))
	}

	// What is there is not overwritten, and a name that is taken is refused before anything is written.
	dir := spiders(head + "}\n}\n")
	write(t, filepath.Join(dir, "spiders/m.go"), "package spiders\n\nvar mine int\n")
	code, _, stderr := in(t, filepath.Join(dir, "spiders"), nil, "genspider", "m", "example.com")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: m.go is there already (--force overwrites it)\n", stderr)
	code, _, stderr = in(t, dir, nil, "genspider", "--force", "m", "https://user:pw@example.com")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "TULLE_HTTP_AUTH_PASSWORD")
	write(t, filepath.Join(dir, "spiders/other.go"), "package spiders\n\ntype NewsItem struct{}\n")
	code, _, stderr = in(t, dir, nil, "genspider", "news", "example.com")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: NewsItem is declared in spiders/other.go already: give the spider another name\n", stderr)
	require.NoFileExists(t, filepath.Join(dir, "spiders/news.go"))
	code, _, stderr = in(t, dir, nil, "genspider", "--force", "m", "https://example.com/a?b=c")
	require.Zero(t, code, stderr)
	require.Contains(t, read(t, filepath.Join(dir, "spiders/m.go")), `StartURLs:      []string{"https://example.com/a?b=c"}`)

	// Outside of a project it is a file here.
	dir = t.TempDir()
	code, stdout, stderr := in(t, dir, nil, "genspider", "news-of_today", "example.com:8080/x")
	require.Zero(t, code, stderr)
	require.Equal(t, "Wrote news_of_today.go\nTo run it, give it to your program, in cmd.Program's Spiders: \"news-of_today\": NewsOfToday,\n'tulle startproject' makes such a program.\n", stdout)
	text := read(t, filepath.Join(dir, "news_of_today.go"))
	require.True(t, strings.HasPrefix(text, "package main\n"))
	require.Contains(t, text, `"https://example.com:8080/x"`)
	for start, want := range map[string]string{
		"shop.localhost:8000": `"http://shop.localhost:8000/"`, "127.0.0.1": `"http://127.0.0.1/"`, "[::1]:80/a": `"http://[::1]:80/a"`, "localhost.example": `"https://localhost.example/"`,
	} {
		code, stdout, stderr := in(t, dir, nil, "genspider", "-d", "other", start)
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "StartURLs:      []string{"+want+"}")
	}
	require.Contains(t, text, `AllowedDomains: []string{"example.com"}`)

	code, stdout, stderr = in(t, dir, nil, "genspider", "-l")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "sitemap   asks for the pages that a site's sitemaps name\n")
}

// checked is a program whose spiders have checks that hold, and checks that do not.
func checked(site string) map[string]func(map[string]string) (*crawl.Spider, error) {
	page := func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		for _, title := range r.Texts("li") {
			out.Item(map[string]any{"title": title, "price": 0, "sold": false})
		}
		out.FollowAll("a", "")
		var data struct{ Lost bool }
		if err := r.Data(&data); err != nil || !data.Lost {
			return err
		}
		out.Follow("/x", "lost")
		return nil
	}
	two := crawl.Check{URL: site + "/two", MinItems: 2, MaxItems: 2, MaxRequests: 1, Fields: []string{"title", "sold"}}
	with := func(change func(*crawl.Check)) crawl.Check {
		c := two
		change(&c)
		return c
	}
	return map[string]func(map[string]string) (*crawl.Spider, error){
		"good": func(map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{Parse: page, StartURLs: []string{site}, Checks: []crawl.Check{two, with(func(c *crawl.Check) {
				c.Name, c.Status, c.URL = "gone", 404, site+"/gone"
				c.MinItems = 0
				c.Fields = nil
			})}}, nil
		},
		"bad": func(map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{
				StartURLs: []string{site}, Parse: page,
				Routes: map[string]crawl.Callback{
					"panics": func(context.Context, *crawl.Response, *crawl.Out) error { panic("ouch") },
					"endless": func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
						for out.Item(map[string]any{"n": 1}) {
						}
						return nil
					},
					"asleep": func(ctx context.Context, _ *crawl.Response, _ *crawl.Out) error { <-ctx.Done(); return ctx.Err() },
				},
				Checks: []crawl.Check{
					with(func(c *crawl.Check) { c.Name, c.MinItems, c.MaxItems, c.MaxRequests = "numbers", 3, 1, -1 }),
					with(func(c *crawl.Check) { c.Name, c.Fields = "fields", []string{"title", "price", "isbn"} }),
					with(func(c *crawl.Check) { c.Name, c.Route = "route", "nope" }),
					with(func(c *crawl.Check) { c.Name, c.Data = "lost", map[string]bool{"Lost": true} }),
					with(func(c *crawl.Check) { c.Name, c.Route = "panics", "panics" }),
					with(func(c *crawl.Check) { c.Name, c.Route, c.MaxItems = "endless", "endless", 5 }),
					with(func(c *crawl.Check) { c.Name, c.Route = "asleep", "asleep" }),
					with(func(c *crawl.Check) {
						c.Name, c.Func = "func", func(items []any, _ []*crawl.Request) error { return errors.New("too dear") }
					}),
					with(func(c *crawl.Check) { c.Name, c.Page = "page", "nowhere.html" }),
					with(func(c *crawl.Check) { c.Name, c.URL = "gone", site+"/gone" }),
				},
			}, nil
		},
		"broken": func(map[string]string) (*crawl.Spider, error) { return nil, errors.New("no catalogue") },
		"none":   func(map[string]string) (*crawl.Spider, error) { return &crawl.Spider{}, nil },
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path != "/two" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "<ul><li>a<li>b</ul><a href=/z>z</a>")
	}))
	t.Cleanup(srv.Close)
	check := func(args ...string) (int, string, string) {
		return runProgram(t, checked(srv.URL), append([]string{"check"}, args...)...)
	}
	code, stdout, stderr := check("good")
	require.Zero(t, code, stdout+stderr)
	require.Regexp(t, `^ok    good Parse  http://\S+/two  \(2 items, 1 request; \S+\)\nok    good Parse  gone  \(2 items, 1 request; \S+\)\n2 checks, all hold\n$`, stdout)

	code, stdout, _ = check("-v", "good")
	require.Zero(t, code)
	require.Contains(t, stdout, "\n      item 1: {\"price\":0,\"sold\":false,\"title\":\"a\"}\n")
	require.Contains(t, stdout, "\n      request 1: <GET "+srv.URL+"/z> to Parse\n")

	code, stdout, stderr = check("bad", "--timeout", "2s")
	require.Equal(t, 1, code)
	require.Equal(t, "tulle: 10 checks failed\n", stderr)
	for name, want := range map[string]string{
		"numbers": "items: want at least 3, got 2\n      requests: want none, got 1\n",
		"fields":  `item 1: isbn missing, in {"price":0,"sold":false,"title":"a"}` + "\n      item 1: price empty, in ",
		"route":   `spider bad has no route "nope" (routes: asleep, endless, panics)`,
		"lost":    `spider bad has no route "lost" (routes: asleep, endless, panics)`,
		"panics":  "panic: ouch\n",
		"endless": "items: want at most 5, got 100000\n",
		"asleep":  "the callback was not done after 2s (--timeout)\n",
		"func":    "too dear\n",
		"page":    "open nowhere.html: no such file or directory (--update asks the site and saves it)\n",
		"gone":    "the site answered 404 Not Found, want 200\n",
	} {
		_, part, ok := strings.Cut(stdout, "FAIL  bad ")
		for ok && !strings.HasPrefix(strings.SplitN(part, "  ", 3)[1], name) {
			_, part, ok = strings.Cut(part, "FAIL  bad ")
		}
		require.True(t, ok, "%s\n%s", name, stdout)
		part, _, _ = strings.Cut(part, "FAIL  bad ")
		require.Contains(t, part, "\n      "+want, name)
	}

	// All: what cannot be made is a failure beside the others.
	code, stdout, stderr = check("--timeout", "2s")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "FAIL  broken\n      no catalogue\n")
	require.Equal(t, "tulle: 11 checks failed\n", stderr)

	code, stdout, stderr = check("none")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Equal(t, "There are no checks: a spider declares them as Spider.Checks.\n", stderr)

	code, stdout, _ = check("-l", "good")
	require.Zero(t, code)
	require.Equal(t, "good Parse  "+srv.URL+"/two   live\ngood Parse  "+srv.URL+"/gone  live\n", stdout)

	code, stdout, _ = check("-l", "--json", "good")
	require.Zero(t, code)
	require.JSONEq(t, `[{"spider":"good","route":"","url":"`+srv.URL+`/two","live":true},{"spider":"good","route":"","name":"gone","url":"`+srv.URL+`/gone","live":true}]`, stdout)

	code, stdout, _ = check("--json", "good")
	require.Zero(t, code)
	var reports []struct {
		Spider, URL string
		OK, Live    bool
		Items       int
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &reports))
	require.Len(t, reports, 2)
	require.True(t, reports[0].OK && reports[0].Live)
	require.Equal(t, 2, reports[0].Items)
}

// TestCheckInterrupted says so, and not that the time is over.
func TestCheckInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := cmd.Program{Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"asleep": func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{
			Parse: func(ctx context.Context, _ *crawl.Response, _ *crawl.Out) error {
				cancel()
				<-ctx.Done()
				return ctx.Err()
			},
			Checks: []crawl.Check{{URL: "data:,x"}},
		}, nil
	}}}
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, cmd.Run(ctx, p, []string{"check"}, &stdout, &stderr))
	require.Equal(t, "tulle: interrupted\n", stderr.String())
	require.Contains(t, stdout.String(), "      interrupted\n")
	require.NotContains(t, stdout.String(), "--timeout")
}

// TestCheckNotSaved tells of a page that could not be kept, by the name that it was to have.
func TestCheckNotSaved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spiders := map[string]func(map[string]string) (*crawl.Spider, error){"a": func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil }, Checks: []crawl.Check{{URL: "data:,x", Page: dir}}}, nil
	}}
	code, stdout, _ := runProgram(t, spiders, "check", "--update")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "      write "+dir+": is a directory\n")
	require.NotContains(t, stdout, "saved")
}

// runProgram runs a command line of a program that has other spiders.
func runProgram(t *testing.T, spiders map[string]func(map[string]string) (*crawl.Spider, error), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cmd.Run(t.Context(), cmd.Program{Spiders: spiders}, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBench(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "bench", "--time", "200ms", "-s", "concurrent_per_host=4")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^without a job  \d+ pages/s: \d+ pages in 0\.\d s, \d+ links, [\d.]+ [kM]B`, stdout)
	require.Contains(t, stdout, "\nwith a job     this program links none\n")

	var report struct {
		Runs []struct {
			Job   bool
			Pages int
		}
	}
	var out, errs bytes.Buffer
	p := cmd.Program{Settings: crawl.Settings{Parts: crawl.Parts{Job: jobdir.Open}}}
	require.Zero(t, cmd.Run(t.Context(), p, []string{"bench", "--time", "200ms", "--json"}, &out, &errs), errs.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	require.Len(t, report.Runs, 2)
	require.True(t, report.Runs[1].Job)
	require.Positive(t, report.Runs[1].Pages)
}

func TestListAndVersionJSON(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runProgram(t, checked("http://a"), "list", "--json")
	require.Zero(t, code, stderr)
	var list []struct {
		Name, Error string
		Checks      int
		Routes      []string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	require.Len(t, list, 4)
	require.Equal(t, "bad", list[0].Name)
	require.Equal(t, 10, list[0].Checks)
	require.Equal(t, []string{"asleep", "endless", "panics"}, list[0].Routes)
	require.Equal(t, "spider broken: no catalogue", list[1].Error)

	code, stdout, stderr = run(t, "version", "--json")
	require.Zero(t, code, stderr)
	var v struct {
		Go             string
		Parts, Modules map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	require.Equal(t, "not linked", v.Parts["jobs"])
	require.NotEmpty(t, v.Modules)
	require.NotEmpty(t, v.Go)
}

// TestConstructorThatPanics is told as one that returns an error, with the place, and stops no command for other spiders.
func TestConstructorThatPanics(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *crawl.Response, *crawl.Out) error { return nil }
	program := map[string]func(map[string]string) (*crawl.Spider, error){
		"explodes": func(args map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{Name: strings.Fields("")[len(args)]}, nil
		},
		"pattern": func(args map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{StartURLs: []string{regexp.MustCompile(args["pattern"] + "(").String()}}, nil
		},
		"good": func(map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{StartURLs: []string{"data:,a"}, Parse: nothing, Checks: []crawl.Check{{URL: "data:,a"}}}, nil
		},
	}
	const index, pattern = `its constructor: panic: runtime error: index out of range \[0\] with length 0 \(project_test.go:\d+\)`, `its constructor: panic: regexp: Compile\(.*\): error parsing regexp: .* \(project_test.go:\d+\)`
	code, stdout, stderr := runProgram(t, program, "crawl", "explodes")
	require.Equal(t, 2, code)
	require.Empty(t, stdout)
	require.Regexp(t, "^tulle: spider explodes: "+index+"\n$", stderr)
	_, _, stderr = runProgram(t, program, "fetch", "data:,a", "--spider", "pattern")
	require.Regexp(t, "^tulle: spider pattern: "+pattern+"\n$", stderr)

	code, stdout, stderr = runProgram(t, program, "list", "--json")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"name": "good"`)
	require.Regexp(t, `"error": "spider explodes: `+index+`"`, stdout)
	code, stdout, stderr = runProgram(t, program, "check")
	require.Equal(t, 1, code)
	require.Regexp(t, "FAIL  explodes\n      "+index+"\n", stdout)
	require.Contains(t, stdout, "ok    good Parse  data:,a  ")
	require.Equal(t, "tulle: 2 checks failed\n", stderr)
	code, _, stderr = runProgram(t, program, "parse", "http://nowhere.example/")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "no spider is known to be for nowhere.example: ")
}
