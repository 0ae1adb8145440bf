package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/spiders"
)

// looked is a site for the commands that look at pages, and a program with a spider for it.
type looked struct {
	url     string
	program cmd.Program
	asked   chan struct{} // /slow is asked
	left    chan struct{} // nobody waits for it any more
}

const shelf = `<!DOCTYPE html><html><head><title>Shelf</title></head><body><h1>A  shelf</h1>
<ul id="books"><li class="book sale"><a href="/book/1">One</a> <b class="price">€1.50</b></li>
<li class="book"><a href="/book/2">Two</a> <b class="price">€22.00</b></li></ul>
<p><a href="mailto:x@example.com">mail</a> <a class="out" href="https://elsewhere.example/">out</a></p></body></html>`

func newLooked(t *testing.T) *looked {
	t.Helper()
	l := &looked{asked: make(chan struct{}, 10), left: make(chan struct{}, 10)}
	var flaky atomic.Int64
	mux := http.NewServeMux()
	page := func(pattern, contentType, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		})
	}
	page("/robots.txt", "text/plain", "User-agent: *\nDisallow: /forbidden\n")
	page("/forbidden", "text/html", "<h1>secret</h1>")
	page("/{$}", "text/html", shelf)
	page("/book/1", "text/html", `<h1>One</h1><p class="author">Ada</p><a href="/">back</a>`)
	page("/book/2", "text/html", `<h1>Two</h1><a href="/">back</a>`)
	page("/latin", "text/html; charset=iso-8859-1", "<title>\xe9</title><h1>caf\xe9</h1><img src=\"a.png\">")
	page("/data", "application/json", `{"items":[{"name":"a","price":1},{"name":"b|c","price":20}],"next":"/book/2"}`)
	page("/steer", "text/html", "<h1>\x1b[31mred</h1>")
	page("/made-up", "text/html", "<a href=\"/\x1b[31mred\">a</a><a href=\"/x; quit\">b</a><p id=\"\u009bp\"><x\x1b[31m class=c>x</x\x1b[31m>")
	page("/made-up.json", "application/json", `{"\u001b[31mred":1}`)
	page("/run.bat", "application/octet-stream", "MZ\x00\x00")
	page("/run.js", "text/javascript", "alert(1)")
	page("/pic.PNG", "application/octet-stream", "\x89PNG\r\n\x1a\n\x00")
	page("/long", "text/plain", strings.Repeat("x\n", 1<<17))
	page("/big", "application/octet-stream", strings.Repeat("0123456789abcde\x00", 1<<17)) // 2 MiB: a file of the spool
	mux.HandleFunc("/map", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, `<urlset><url><loc>http://%[1]s/book/1</loc></url><url><loc>http://%[1]s/book/2</loc></url></urlset>`, r.Host)
	})
	page("/scripted", "text/html", `<script id="state">{"a":{"b":[1,2]}}</script><script src="x.js"></script>`)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1"})
		http.Redirect(w, r, "/book/1", http.StatusFound)
	})
	mux.HandleFunc("/flaky", func(w http.ResponseWriter, _ *http.Request) {
		if flaky.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "<h1>at last</h1>")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s|%s|%s|%s|%s", r.Method, b, r.Header.Get("Content-Type"), r.Header.Get("X-A"), r.Header.Get("Referer"), r.UserAgent())
	})
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<h1>half")
		_ = http.NewResponseController(w).Flush()
		l.asked <- struct{}{}
		<-r.Context().Done()
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		l.asked <- struct{}{}
		<-r.Context().Done()
		l.left <- struct{}{}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	l.program = cmd.Program{Spiders: map[string]func(map[string]string) (*crawl.Spider, error){
		"shelf": func(args map[string]string) (*crawl.Spider, error) { return l.spider(args), nil },
		"other": func(map[string]string) (*crawl.Spider, error) {
			return &crawl.Spider{AllowedDomains: []string{"other.example"}, StartURLs: []string{"http://other.example/"}, Parse: (*looked)(nil).parse}, nil
		},
	}}
	return l
}

type lookedBook struct {
	Title  string `json:"title"`
	Author string `json:"author,omitempty"`
}

func (l *looked) spider(args map[string]string) *crawl.Spider {
	return &crawl.Spider{
		StartURLs: []string{l.url}, AllowedDomains: []string{"127.0.0.1"},
		Parse: l.parse,
		Routes: map[string]crawl.Callback{
			"book": func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				var with struct{ Author string }
				if err := r.Data(&with); err != nil {
					return err
				}
				out.Item(&lookedBook{Title: r.Text("h1"), Author: r.Text(".author") + with.Author})
				out.Follow("/", "")
				return nil
			},
			"selector": func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				r.Text("h1..x")
				return nil
			},
			"fails":  func(context.Context, *crawl.Response, *crawl.Out) error { return errors.New("no price on the page") },
			"panics": func(context.Context, *crawl.Response, *crawl.Out) error { panic("ouch") },
		},
		Configure: func(s *crawl.Settings) {
			dir := args["dir"] // what a crawl leaves behind
			s.Feeds = []crawl.Feed{{URI: filepath.Join(dir, "feed.jsonl")}}
			s.Job.Dir = filepath.Join(dir, "job")
			s.UserAgent = "shelfbot"
			s.CloseAfter.Pages = 1
			s.ItemPipelines = []crawl.Stage{{Order: 1, Pipeline: pipeline.Each(func(_ context.Context, b *lookedBook) (*lookedBook, error) {
				if b.Title == "Two" {
					return nil, crawl.DropItem("no Two")
				}
				b.Title = strings.ToUpper(b.Title)
				return b, nil
			})}}
		},
	}
}

func (l *looked) parse(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
	out.FollowAll("li a", "book", func(req *crawl.Request) { req.Priority = 3 })
	out.FollowAll("a", "")
	return nil
}

// run runs a command line. SITE in it is the site's address.
func (l *looked) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "SITE", l.url)
	}
	code = cmd.Run(t.Context(), l.program, append(args, "--no-config"), &out, &errs)
	return code, strings.ReplaceAll(out.String(), l.url, "SITE"), strings.ReplaceAll(errs.String(), l.url, "SITE")
}

func TestFetch(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"SITE/latin"}, 0, "<title>\xe9</title><h1>caf\xe9</h1><img src=\"a.png\">", ""},
		{[]string{"--text", "SITE/latin"}, 0, "<title>é</title><h1>café</h1><img src=\"a.png\">", ""},
		{[]string{"SITE/nope"}, 1, "404 page not found\n", "tulle: fetch SITE/nope: 404 Not Found\n"},
		{[]string{"SITE/forbidden"}, 1, "", "tulle: fetch <GET SITE/forbidden>: robots.txt forbids this page (-s robots.ignore=true asks all the same)\n"},
		{[]string{"-s", "robots.ignore=true", "SITE/forbidden"}, 0, "<h1>secret</h1>", ""},
		{[]string{"foo://x/"}, 1, "", `tulle: download <foo://x/>: request: no handler for scheme "foo" (this program has data, file, http, https)` + "\n"},
		{[]string{"data:,hi"}, 0, "hi", ""},
		{[]string{"--no-redirect", "SITE/moved"}, 0, "<a href=\"/book/1\">Found</a>.\n\n", ""},
		{[]string{"SITE/moved"}, 0, `<h1>One</h1><p class="author">Ada</p><a href="/">back</a>`, ""},
		{[]string{"-s", "user_agent=me", "SITE/echo"}, 0, "GET ||||me", ""},
		{[]string{"-s", "user_agent=me", "-d", "a=1", "SITE/echo"}, 0, "POST a=1|application/x-www-form-urlencoded|||me", ""},
		{[]string{"-s", "user_agent=me", "-d", "a=1", "-d", "b=2", "SITE/echo"}, 0, "POST a=1&b=2|application/x-www-form-urlencoded|||me", ""},
		{[]string{"-s", "user_agent=me", "-d", "", "SITE/echo"}, 0, "POST |application/x-www-form-urlencoded|||me", ""},
		{[]string{"-H", "User-Agent:", "-H", "content-type:", "-d", "a", "SITE/echo"}, 0, "POST a||||", ""},
		{[]string{"-s", "user_agent=me", "-d", "@testdata/form.txt", "SITE/echo"}, 0, "POST a=1&b=2|application/x-www-form-urlencoded|||me", ""},
		{[]string{"-s", "retry.times=-1", "http://127.0.0.1:1/"}, 1, "", "tulle: no answer from 127.0.0.1:1: refused: dial tcp 127.0.0.1:1: connect: connection refused\n"},
		{[]string{"-X", "put", "-H", "X-A: b", "-H", "Content-Type: text/plain", "-d", "t", "--spider", "shelf", "SITE/echo"}, 0, "PUT t|text/plain|b||shelfbot", ""},
		{[]string{"--spider", "other", "SITE/book/2"}, 0, `<h1>Two</h1><a href="/">back</a>`, ""}, // offsite is for what a crawl finds
	} {
		code, stdout, stderr := l.run(t, append([]string{"fetch"}, c.args...)...)
		require.Equal(t, c.stderr, stderr, c.args)
		require.Equal(t, c.stdout, stdout, c.args)
		require.Equal(t, c.code, code, c.args)
	}
}

// TestFetchHeaders shows every request with what was on the wire, the jar's cookies too.
func TestFetchHeaders(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	code, stdout, stderr := l.run(t, "fetch", "--headers", "-s", "user_agent=me", "SITE/moved")
	require.Zero(t, code, stderr)
	first, second, ok := strings.Cut(stdout, "\n\n> ")
	require.True(t, ok, stdout)
	require.True(t, strings.HasPrefix(first, "> GET /moved\n> Host: "), first)
	require.Contains(t, first, "\n> User-Agent: me\n")
	require.Contains(t, first, "\n< HTTP/1.1 302 Found\n")
	require.Contains(t, first, "\n< Set-Cookie: visit=1")
	require.NotContains(t, first, "> Cookie")
	require.Contains(t, second, "GET /book/1\n")
	require.Contains(t, second, "\n> Cookie: visit=1\n")
	require.Contains(t, second, "\n< HTTP/1.1 200 OK\n")
	require.NotContains(t, second, "<h1>")

	code, stdout, stderr = l.run(t, "fetch", "--headers", "-H", "User-Agent: somebody", "SITE/book/1")
	require.Zero(t, code, stderr)
	require.Equal(t, 1, strings.Count(stdout, "> GET "), "robots.txt, which is asked anew for this agent, is not the page's: %s", stdout)
}

func TestFetchJSON(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	code, stdout, stderr := l.run(t, "fetch", "--json", "-s", "retry.back_off=-1s", "SITE/flaky")
	require.Zero(t, code, stderr)
	var got struct {
		URL, Method, Kind, Charset string
		Status, Retries            int
		Size                       int64
		Redirects                  []string
		Headers                    map[string][]string
		Sent                       []struct{ Status int }
		Total                      float64 `json:"total_seconds"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, "SITE/flaky", got.URL)
	require.Equal(t, "HTML", got.Kind)
	require.Equal(t, "utf-8", got.Charset)
	require.Equal(t, 200, got.Status)
	require.Equal(t, 1, got.Retries)
	require.Equal(t, int64(16), got.Size)
	require.Equal(t, []string{}, got.Redirects)
	require.Equal(t, []struct{ Status int }{{503}, {200}}, got.Sent)
	require.Positive(t, got.Total)
	require.NotEmpty(t, got.Headers["Content-Type"])
}

// TestFetchToFile writes a body that was spooled.
func TestFetchToFile(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	dir := t.TempDir()
	spool, file := filepath.Join(dir, "spool"), filepath.Join(dir, "big")
	code, stdout, stderr := l.run(t, "fetch", "-o", file, "-s", "download.spool_dir="+spool, "SITE/big")
	require.Zero(t, code, stderr)
	require.Empty(t, stdout)
	require.Equal(t, strings.Repeat("0123456789abcde\x00", 1<<17), read(t, file))
	require.Empty(t, entries(t, spool), "the session has left nothing")

	code, _, stderr = l.run(t, "fetch", "-o", filepath.Join(dir, "no", "x"), "SITE/big")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no such file or directory")
}

// TestPipeThatNobodyReads ends a command as it ends every program, once what was spooled is removed.
func TestPipeThatNobodyReads(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such signal")
	}
	l := newLooked(t)
	for _, args := range [][]string{
		{"fetch", l.url + "/big"},
		{"fetch", "--text", l.url + "/long"},
		{"fetch", "--json", l.url + "/long"},
		{"view", "--print", l.url + "/big"},
		{"shell", l.url + "/long", "-c", "body"},
		{"shell", l.url + "/long", "--keep-going", "-c", "body; body"},
	} {
		dir := t.TempDir()
		reads, writes, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, reads.Close())
		c := exec.CommandContext(t.Context(), os.Args[0], append(args, "--no-config", "-s", "download.spool_over=1kB", "-s", "download.spool_dir="+dir)...)
		var stderr bytes.Buffer
		c.Env, c.Stdout, c.Stderr = append(os.Environ(), asProgram+"=1", "TMPDIR="+t.TempDir()), writes, &stderr
		err = c.Run()
		require.NoError(t, writes.Close())
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, args)
		status, ok := exit.Sys().(syscall.WaitStatus)
		require.True(t, ok && status.Signaled() && status.Signal() == syscall.SIGPIPE, "%v: %v: %s", args, err, stderr.String())
		require.NotContains(t, stderr.String(), "tulle:", args)
		require.Empty(t, entries(t, dir), args)
	}
}

// TestSessionThatCannotStart is a setting that is wrong: nothing has been asked.
func TestSessionThatCannotStart(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for _, args := range [][]string{{"fetch", "SITE/"}, {"view", "--print", "SITE/"}, {"shell", "SITE/", "-c", "status"}} {
		code, stdout, stderr := l.run(t, append(args, "-s", "http_cache.on=true", "-s", "http_cache.dir="+filepath.Join(file, "cache"))...)
		require.Equal(t, 2, code, stderr)
		require.Empty(t, stdout)
		require.Regexp(t, `^tulle: [^\n]*not a directory\n$`, stderr)
	}
}

// TestLookingWritesNothing: a spider's feeds, job and limits are those of a crawl, whoever asks for them.
func TestLookingWritesNothing(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, args := range [][]string{
		{"fetch", "SITE/book/1"},
		{"parse", "SITE/", "--depth", "1"},
		{"shell", "SITE/", "-c", "fetch /book/1; route book; back"},
	} {
		dir := t.TempDir()
		code, stdout, stderr := l.run(t, append(args, "--spider", "shelf", "-a", "dir="+dir, "-s", "job.dir="+filepath.Join(dir, "other"),
			"-s", "close_after.pages=1", "-s", `feeds=[{"uri":"`+filepath.ToSlash(dir)+`/f.csv"}]`)...)
		require.Zero(t, code, stderr)
		require.NotEmpty(t, stdout)
		require.Empty(t, entries(t, dir), args)
	}
}

// TestFetchInterrupted gives up at once, also while the body comes.
func TestFetchInterrupted(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, page := range []string{"/slow", "/stalls"} {
		ctx, cancel := context.WithCancel(t.Context())
		var stdout, stderr bytes.Buffer
		done := make(chan int, 1)
		go func() { done <- cmd.Run(ctx, l.program, []string{"fetch", l.url + page}, &stdout, &stderr) }()
		<-l.asked
		cancel()
		require.Equal(t, 1, <-done)
		require.Equal(t, "tulle: fetch <GET "+l.url+page+">: interrupted\n", stderr.String())
	}
}

// TestNoSuchFile is what people mean who leave out the scheme.
func TestNoSuchFile(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, "fetch", "nosuchfile.invalid", "-s", "retry.times=-1", "--no-config")
	require.Equal(t, 1, code)
	require.True(t, strings.HasPrefix(stderr, "tulle: no answer from nosuchfile.invalid: dns: "), stderr)
	require.True(t, strings.HasSuffix(stderr, "; and there is no file nosuchfile.invalid\n"), stderr)

	code, _, stderr = run(t, "shell", "nosuchfile.invalid", "-c", "text h1", "-s", "retry.times=-1", "--no-config")
	require.Equal(t, 1, code)
	require.True(t, strings.HasSuffix(stderr, "; and there is no file nosuchfile.invalid\n"), stderr)
}

// TestSaveWhole replaces a file when all of the new one is there, and says so.
func TestSaveWhole(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	write(t, file, "old")
	require.NoError(t, os.Chmod(file, 0o640))
	require.NoError(t, os.Symlink(file, link))
	code, _, stderr := l.run(t, "shell", "SITE/book/2", "-c", "save "+link+"; save "+filepath.Join(dir, "new"))
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, " B in "+link+", replaced\n")
	require.Contains(t, stderr, " B in "+filepath.Join(dir, "new")+"\n")
	require.Contains(t, read(t, file), "<h1>Two</h1>")
	require.Equal(t, []string{"f", "link", "new"}, entries(t, dir))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())

	code, _, stderr = l.run(t, "fetch", "-o", dir, "SITE/book/1")
	require.Equal(t, 1, code)
	require.Equal(t, "tulle: fetch: write "+dir+": is a directory\n", stderr)
}

func TestPageMistakes(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"which page? (tulle fetch URL)", []string{"fetch"}},
		{"one URL at a time: a b", []string{"fetch", "a", "b"}},
		{"one URL at a time: a b", []string{"shell", "a", "b"}},
		{`-H "Accept": want 'Name: value'`, []string{"fetch", "-H", "Accept", "SITE"}},
		{`-X "A B": want a method such as PUT`, []string{"fetch", "-X", "A B", "SITE"}},
		{"-d @/nope: open /nope: no such file or directory", []string{"fetch", "-d", "@/nope", "SITE"}},
		{`url "http://a b:c": parse "http://a b:c": invalid port "c"`, []string{"view", "http://a b:c"}},
		{`url "http://u:***@h h/": parse "http://u:***@h h/": invalid host "h h": a character that no host name has`, []string{"fetch", "http://u:s@3cret@h h/"}},
		{"the URL is empty", []string{"fetch", ""}},
		{"mailto:x@example.com: no page is behind such a link", []string{"fetch", "mailto:x@example.com"}},
		{"javascript:void(0): no page is behind such a link", []string{"parse", "javascript:void(0)"}},
		{"--headers and --json: one or the other", []string{"fetch", "--headers", "--json", "SITE"}},
		{`no spider is called "nope"; there are: other, shelf`, []string{"fetch", "--spider", "nope", "SITE"}},
		{"-a is an argument of a spider: name it with --spider", []string{"fetch", "-a", "x=1", "SITE"}},
		{"--log-level loud: want debug, info, warn or error", []string{"fetch", "--log-level", "loud", "SITE"}},
		{"-s nope=1: unknown setting nope; the settings command lists all of them", []string{"fetch", "-s", "nope=1", "SITE"}},
		{`--data x: want JSON, as in --data '{"page": 2}'`, []string{"parse", "--data", "x", "SITE"}},
		{"--depth -1: want 0 or more", []string{"parse", "--depth", "-1", "SITE"}},
		{"no spider is known to be for nowhere.example: name one with --spider (other, shelf)", []string{"parse", "http://nowhere.example/"}},
		{`spider shelf has no route "x" (routes: book, fails, panics, selector)`, []string{"parse", "--spider", "shelf", "-r", "x", "SITE"}},
	} {
		if runtime.GOOS == "windows" && strings.Contains(c.want, "/nope") {
			continue
		}
		code, stdout, stderr := l.run(t, c.args...)
		require.Equal(t, "tulle: "+c.want+"\n", stderr)
		require.Equal(t, 2, code, c.args)
		require.Empty(t, stdout)
	}
}

// TestView saves the page so that its links and charset hold without its server, and opens it.
func TestView(t *testing.T) {
	l := newLooked(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if runtime.GOOS == "windows" {
		t.Skip("TMPDIR and a shell script")
	}
	code, stdout, stderr := l.run(t, "view", "--print", "SITE/latin")
	require.Zero(t, code, stderr)
	name := strings.TrimSpace(stdout)
	require.Equal(t, ".html", filepath.Ext(name))
	require.Equal(t, "\ufeff<base href=\""+l.url+"/latin\"><title>é</title><h1>café</h1><img src=\"a.png\">", read(t, name))

	_, stdout, _ = l.run(t, "view", "--print", "SITE/")
	require.Contains(t, read(t, strings.TrimSpace(stdout)), "<!DOCTYPE html><html><head><base href=\""+l.url+"/\"><title>")

	for page, want := range map[string]string{"/data": ".json", "/run.bat": ".bin", "/run.js": ".txt", "/pic.PNG": ".png", "/map": ".xml"} {
		_, stdout, _ = l.run(t, "view", "--print", "SITE"+page)
		require.Equal(t, want, filepath.Ext(strings.TrimSpace(stdout)), "%s: the site does not choose what the desktop runs", page)
	}
	_, _, stderr = l.run(t, "view", "--print", "SITE/forbidden")
	require.Contains(t, stderr, "tulle: view <GET SITE/forbidden>: robots.txt forbids this page")

	script, shown := filepath.Join(dir, "browser"), filepath.Join(dir, "shown")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\ncp \"$2\" \"$1\"\n"), 0o755))
	t.Setenv("BROWSER", script+" "+shown+" %s")
	code, _, stderr = l.run(t, "view", "SITE/book/2")
	require.Zero(t, code, stderr)
	require.Contains(t, read(t, shown), "<h1>Two</h1>")

	t.Setenv("BROWSER", "false")
	code, _, stderr = l.run(t, "view", "SITE/book/2")
	require.Equal(t, 1, code)
	require.Regexp(t, `^tulle: view: false: exit status 1 \(the page is .*\.html\)\n$`, stderr)
}

func TestParse(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"SITE/"}, 0, `SITE/ Parse  200 OK  HTML
Items: 0
Requests: 2 (2 more are for the same pages, and dropped as seen)
  GET SITE/book/1  book  priority 3
  GET SITE/book/2  book  priority 3
Dropped: 1
  GET https://elsewhere.example/  offsite
`, "spider shelf: its AllowedDomains have 127.0.0.1\n"},
		{[]string{"--spider", "shelf", "-r", "book", "--data", `{"Author":" & Co"}`, "SITE/moved"}, 0, `SITE/book/1 book  200 OK  HTML
Items: 1
{
  "title": "One",
  "author": "Ada & Co"
}
Requests: 1
  GET SITE/
`, ""},
		{[]string{"--spider", "shelf", "-r", "book", "--pipelines", "--no-links", "SITE/book/1"}, 0,
			"SITE/book/1 book  200 OK  HTML\nItems: 1\n{\n  \"title\": \"ONE\",\n  \"author\": \"Ada\"\n}\n", ""},
		{[]string{"--spider", "shelf", "-r", "selector", "--no-items", "--no-links", "SITE/"}, 1,
			"SITE/ selector  200 OK  HTML\nerror: callback: css selector \"h1..x\": at character 4: expected identifier, found . instead\n", "tulle: parse SITE/: the callback failed\n"},
		{[]string{"--spider", "shelf", "-r", "fails", "SITE/"}, 1, "SITE/ fails  200 OK  HTML\nItems: 0\nRequests: 0\nerror: callback: no price on the page\n",
			"tulle: parse SITE/: the callback failed\n"},
		{[]string{"--spider", "shelf", "SITE/nope"}, 1, "SITE/nope Parse  404 Not Found  text\nItems: 0\nRequests: 0\nerror: 404 Not Found: the callback is not called for this status\n",
			"tulle: parse SITE/nope: 404 Not Found\n"},
		{[]string{"--spider", "shelf", "SITE/forbidden"}, 1,
			"SITE/forbidden Parse\nItems: 0\nRequests: 0\nerror: robots.txt forbids this page (-s robots.ignore=true asks all the same)\n", "tulle: parse SITE/forbidden: robots.txt forbids this page (-s robots.ignore=true asks all the same)\n"},
	} {
		code, stdout, stderr := l.run(t, append([]string{"parse"}, c.args...)...)
		require.Equal(t, c.stdout, stdout, c.args)
		require.Equal(t, c.stderr, stderr, c.args)
		require.Equal(t, c.code, code, c.args)
	}
	code, stdout, stderr := l.run(t, "parse", "--spider", "shelf", "-r", "panics", "SITE/")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "error: callback: panic: ouch\n")
	require.Contains(t, stdout, "page_test.go", "the stack says where")
	require.Equal(t, "tulle: parse SITE/: the callback failed\n", stderr)

	code, stdout, stderr = l.run(t, "parse", "--json", "--no-items", "--no-links", "SITE/")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"items": [],`)
	require.Contains(t, stdout, `"requests": [],`)

	l.program.Settings.SpiderMiddlewares = []crawl.SpiderLayer{{Name: "none", Middleware: func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{Request: func(context.Context, *crawl.Response, *crawl.Request) (*crawl.Request, error) {
			return nil, &crawl.IgnoreRequestError{Reason: "not today"}
		}}, nil
	}}}
	code, stdout, stderr = l.run(t, "parse", "--json", "--spider", "shelf", "SITE/")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, `"pages": [],`)
	require.Equal(t, "tulle: parse: a spider middleware dropped the request: not today\n", stderr)
	l.program.Settings.SpiderMiddlewares = nil

	_, _, stderr = l.run(t, "parse", "--spider", "shelf", "-r", "book", "--pipelines", "SITE/book/2")
	require.Contains(t, stderr, "no Two")
}

// TestParseDepth follows what comes out, as deep as is said and no deeper, and each page once.
func TestParseDepth(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	parsed := func(depth string) (pages []struct {
		URL, Route string
		Depth      int
		Items      []lookedBook
		Requests   []struct{ URL string }
	}) {
		code, stdout, stderr := l.run(t, "parse", "--json", "--spider", "shelf", "-d", depth, "SITE/")
		require.Zero(t, code, stderr)
		require.NoError(t, json.Unmarshal([]byte(stdout), &struct{ Pages any }{&pages}))
		return pages
	}
	require.Len(t, parsed("0"), 1)
	for _, depth := range []string{"1", "5"} {
		pages := parsed(depth)
		require.Len(t, pages, 3, depth)
		require.Equal(t, []int{0, 1, 1}, []int{pages[0].Depth, pages[1].Depth, pages[2].Depth})
		require.ElementsMatch(t, []string{"One", "Two"}, []string{pages[1].Items[0].Title, pages[2].Items[0].Title})
		require.Len(t, pages[1].Requests, 1)
	}
	_, stdout, _ := l.run(t, "parse", "--spider", "shelf", "-d", "1", "--no-links", "SITE/")
	require.True(t, strings.HasPrefix(stdout, "3 pages, 1 level deep; -v shows them one by one\nItems: 2\n"), stdout)
	_, stdout, _ = l.run(t, "parse", "--spider", "shelf", "-d", "1", "-v", "SITE/")
	require.Contains(t, stdout, "depth 1  SITE/book/1 book  200 OK  HTML\nItems: 1\n")
}

// TestSessionOfRules looks at a page by the settings of a spider whose rules name its own routes, which the session has none of.
func TestSessionOfRules(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "fetch", "--spider", "shop-sitemap", "http://shop.localhost/robots.txt")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "\nSitemap: http://shop.localhost/sitemap.xml\n")

	// A rule that is wrong is told, with the spider's other checks; those of other spiders are run.
	rule := spiders.SitemapRule{Match: "/", Route: "nope"}
	p := cmd.Program{Spiders: map[string]func(map[string]string) (*crawl.Spider, error){
		"a": func(map[string]string) (*crawl.Spider, error) {
			s := spiders.Sitemap(crawl.Spider{Name: "a", Checks: []crawl.Check{{URL: "data:,a"}}}, spiders.SitemapOptions{URLs: []string{"http://h/"}, Rules: []spiders.SitemapRule{rule}})
			return s, nil
		},
		"b": func(map[string]string) (*crawl.Spider, error) {
			nothing := func(context.Context, *crawl.Response, *crawl.Out) error { return nil }
			return &crawl.Spider{Name: "b", StartURLs: []string{"data:,"}, Parse: nothing, Checks: []crawl.Check{{URL: "data:,b"}}}, nil
		},
	}}
	code, stdout, stderr = runProgram(t, p.Spiders, "check")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "      spider a: sitemap's rule 0: the spider has no route \"nope\"")
	require.Contains(t, stdout, "ok    b Parse  data:,b  ")
	require.Equal(t, "tulle: 2 checks failed\n", stderr)
}
