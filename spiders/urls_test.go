package spiders_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
	"github.com/tulle-go/tulle/spiders"
)

// anything answers every address.
func anything() crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }))
}

// row is an item of a page: its path, and what its line said.
func row(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	out.Item(map[string]any{"page": strings.TrimSpace(r.URL.String() + " " + string(r.Request.Data))})
	return nil
}

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func wide(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune("\ufeff" + s)) {
		b = append(b, byte(c), byte(c>>8))
	}
	return string(b)
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		list       spiders.URLList
		items      []string
		bad        int
		said       string
	}{
		"text": {
			file: "list.txt", text: "\ufeffhttp://a.test/1\r\n\n  # a comment\n  http://a.test/2  \nnone\nhttp://a.test/3",
			items: []string{"http://a.test/1", "http://a.test/2", "http://a.test/3"}, bad: 1, said: `5 url "none": `,
		},
		"gzip":   {file: "list.txt.gz", text: zipped("http://a.test/1\n"), items: []string{"http://a.test/1"}},
		"UTF-16": {file: "list", text: wide("http://a.test/é\n"), items: []string{"http://a.test/%C3%A9"}},
		"a scheme for those without": {
			file: "hosts", text: "a.test\n//b.test/x\nc.test:8080/y\nhttp://d.test/\nbad host\n", list: spiders.URLList{Scheme: "http"},
			items: []string{"http://a.test", "http://b.test/x", "http://c.test:8080/y", "http://d.test/"}, bad: 1, said: "5 ",
		},
		"hosts without a scheme":  {file: "hosts", text: "a.test\nc.test:8080/y\nhttp://d.test/\nmailto:x@y.test", items: []string{"http://d.test/"}, bad: 3, said: `1 url "a.test": `},
		"a line that is too long": {file: "l", text: "http://a.test/1\nhttp://a.test/" + strings.Repeat("x", 2<<20) + "\nhttp://a.test/2", items: []string{"http://a.test/1", "http://a.test/2"}, bad: 1, said: "2 it has more than 1048576 bytes"},
		"csv": {
			file: "list.csv", text: "\ufeffID,URL\n1, http://a.test/1\n2,\"http://a.test/2\"\n3\n\n4,,\n",
			items: []string{"http://a.test/1", "http://a.test/2"}, bad: 2, said: "4 it has 1 columns, and the address is in column 2",
		},
		"csv with its rows": {
			file: "list.csv", text: "link,note,note 2\nhttp://a.test/1,\"two\nlines, \"\"quoted\"\"\",x,more\nbad,,\nhttp://a.test/2,5\" pipe,\n", list: spiders.URLList{Field: "link", WithRow: true},
			items: []string{
				`http://a.test/1 {"4":"more","link":"http://a.test/1","note":"two\nlines, \"quoted\"","note 2":"x"}`,
				`http://a.test/2 {"link":"http://a.test/2","note":"5\" pipe","note 2":""}`,
			}, bad: 1, said: `4 url "bad": `,
		},
		"csv without a header": {file: "top.csv", text: "1,a.test\n2,b.test\n", list: spiders.URLList{NoHeader: true, Field: "2", Scheme: "http"}, items: []string{"http://a.test", "http://b.test"}},
		"first column":         {file: "top.csv", text: "http://a.test/,1\n", list: spiders.URLList{NoHeader: true}, items: []string{"http://a.test/"}},
		"semicolons":           {file: "x", text: "url;n\nhttp://a.test/?a,b;2\n", list: spiders.URLList{Format: "csv", Comma: ';'}, items: []string{"http://a.test/?a,b"}},
		"tsv":                  {file: "list.tsv", text: "n\turl\n1\thttp://a.test/1\n", items: []string{"http://a.test/1"}},
		"jsonl": {
			file: "list.jsonl", text: `{"n": 1, "url": "http://a.test/1"}` + "\n\n{bad\n" + `{"n": 2, "url": "http://a.test/2"}` + "\n" + `{"n": 3}` + "\n" + `{"url": 4}`,
			list:  spiders.URLList{WithRow: true},
			items: []string{`http://a.test/1 {"n": 1, "url": "http://a.test/1"}`, `http://a.test/2 {"n": 2, "url": "http://a.test/2"}`}, bad: 3, said: `3 it is not JSON: "{bad"`,
		},
		"jsonl, nested": {file: "list.jl.gz", text: zipped(`{"page": {"links": ["x", "http://a.test/1"]}}`), list: spiders.URLList{Field: "page.links.1"}, items: []string{"http://a.test/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.list.Path, c.list.Route = file(t, c.file, c.text), "row"
			spider := spiders.URLs(crawl.Spider{Name: "list", Routes: map[string]crawl.Callback{"row": row}}, c.list)
			res := crawltest.Run(t, spider, crawl.Settings{}, anything())
			require.Equal(t, "finished", res.Reason)
			require.Equal(t, c.items, items(res))
			require.EqualValues(t, c.bad, res.Stats.Int("urls/bad_line_count"))
			require.EqualValues(t, c.bad+len(c.items), res.Stats.Int("urls/line_count"))
			if c.bad > 0 {
				said := res.Log.FilterMessage("line without an address skipped").All()
				require.Len(t, said, c.bad)
				require.Contains(t, fmt.Sprint(said[0].ContextMap()["line"], " ", said[0].ContextMap()["error"]), c.said)
			}
		})
	}
}

// Start fails, with the list's name and the place, where there is nothing to read on.
func TestURLsErrors(t *testing.T) {
	t.Parallel()
	cut := zipped(strings.Repeat("http://a.test/1\n", 10_000))
	for name, c := range map[string]struct {
		file, text string
		list       spiders.URLList
		want       string
	}{
		"no address in any line": {file: "page.html", text: "<!doctype html>\n<p>Not found\n", want: "none of its 2 lines has an address"},
		"comments alone":         {file: "l", text: "# nothing\n", want: "it has no address"},
		"empty":                  {file: "l", want: "it has no address"},
		"a header alone":         {file: "l.csv", text: "url\n", want: "it has no address"},
		"no such column":         {file: "l.csv", text: "id,link\n1,http://a.test/\n", want: `it has no column "url" (columns: id, link)`},
		"empty table":            {file: "l.csv", want: "it is empty: it has no header"},
		"open quote":             {file: "l.csv", text: "url,x\nhttp://a.test/1,\"" + strings.Repeat("x\n", 1<<20), want: "line 2: a row of more than 1048576 bytes: is there a quote that is not closed?"},
		"gzip that is cut":       {file: "l.gz", text: cut[:len(cut)-9], want: "line 10001: inflate: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.list.Path = file(t, c.file, c.text)
			res := crawltest.Run(t, spiders.URLs(crawl.Spider{Name: "list", Parse: row}, c.list), crawl.Settings{}, anything())
			require.Equal(t, "start_error", res.Reason)
			said := res.Log.FilterMessage("start failed").All()
			require.Len(t, said, 1)
			require.Contains(t, said[0].ContextMap()["error"], "list of URLs "+c.list.Path+": "+c.want)
		})
	}
}

func TestURLsVerify(t *testing.T) {
	t.Parallel()
	check := func(list spiders.URLList, want ...string) {
		t.Helper()
		_, err := engine.New(spiders.URLs(crawl.Spider{Name: "list", Parse: row}, list), crawl.Settings{})
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
	}
	check(spiders.URLList{}, "URLs has no list")
	check(spiders.URLList{Path: "no/such.txt", Format: "xml", Route: "x"}, "no/such.txt", `format "xml": want text`, `no route "x"`)
	check(spiders.URLList{Path: t.TempDir()}, "is a folder")
	check(spiders.URLList{Path: file(t, "l.csv", ""), NoHeader: true, Field: "url", Comma: '"'}, `field "url": columns without a header have numbers`, `comma '"'`)
	_, err := engine.New(spiders.URLs(crawl.Spider{Name: "list", Parse: row, Start: func(context.Context, *crawl.Out) error { return nil }}, spiders.URLList{Path: "-"}), crawl.Settings{})
	require.ErrorContains(t, err, "the spider's would never run")
}

// counted is a list that knows how much of it was read.
type counted struct {
	io.ReadCloser
	read *int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	*c.read += int64(n)
	return n, err
}

func (c counted) Seek(offset int64, whence int) (int64, error) {
	return c.ReadCloser.(io.Seeker).Seek(offset, whence)
}

// A job goes on in its list where it was: what came before is not read again, and each address is asked once.
func TestURLsGoOn(t *testing.T) {
	t.Parallel()
	const n = 3000
	var text, csv, jsonl strings.Builder
	csv.WriteString("note,url\n")
	long := strings.Repeat("x", 400)
	for i := range n {
		fmt.Fprintf(&text, "http://a.test/%s%d\n", long, i)
		fmt.Fprintf(&csv, "\"note\n%d\",http://a.test/%s%d\n", i, long, i)
		fmt.Fprintf(&jsonl, "{\"url\": \"http://a.test/%s%d\"}\n", long, i)
	}
	for name, c := range map[string]struct {
		text           string
		seeks          bool
		perRow, header int // lines
	}{
		"list.txt": {"\ufeff" + text.String(), true, 1, 0}, "list.csv": {csv.String(), true, 2, 1}, "list.jsonl": {jsonl.String(), true, 1, 0},
		"list.txt.gz": {zipped(text.String()), false, 1, 0}, "list.csv.gz": {zipped(csv.String()), false, 2, 1}, "utf16.txt": {wide(text.String()), false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, name, c.text)
			settings := crawl.Settings{
				Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Start: crawl.StartSettings{Ahead: 100},
			}
			pages, items := 0, make(map[string]struct{})
			var read []int64
			for reason := ""; reason != "finished"; {
				require.Less(t, len(read), 20)
				read = append(read, 0)
				in := &read[len(read)-1]
				list := spiders.URLList{Path: path, Open: func(context.Context) (io.ReadCloser, error) {
					f, err := os.Open(path)
					if !c.seeks {
						return struct{ io.ReadCloser }{f}, err
					}
					return counted{f, in}, err
				}}
				run := settings
				made := make(chan *engine.Engine, 1)
				left := 700
				run.Trace.ItemScraped = func(_ context.Context, item any) {
					e := <-made
					items[item.(map[string]any)["page"].(string)] = struct{}{}
					if pages++; pages%left == 0 {
						e.Stop("a bit")
					}
					made <- e
				}
				e, wait := crawltest.Start(t, spiders.URLs(crawl.Spider{Name: "list", Parse: row}, list), run, anything())
				made <- e
				res := wait()
				reason = res.Reason
				require.Zero(t, res.Stats.Int("urls/bad_line_count"))
				if len(read) == 2 {
					said := res.Log.FilterMessage("list of URLs goes on").All()
					require.Len(t, said, 1)
					line := said[0].ContextMap()["line"].(int64)
					require.Positive(t, line/int64(500*c.perRow))
					require.EqualValues(t, 1+c.header, line%int64(500*c.perRow))
				}
				require.Less(t, res.Stats.Int("dupefilter/filtered"), int64(500), "what is read again lies behind the last checkpoint")
			}
			require.Greater(t, len(read), 2)
			require.Len(t, items, n)
			if c.seeks {
				last := read[len(read)-1]
				require.Less(t, last, int64(len(c.text))/2, "the last run reads the rest alone")
			}
		})
	}
}

// A list whose last line has no end, and is a checkpoint, is at its end there.
func TestURLsGoOnAtTheEnd(t *testing.T) {
	t.Parallel()
	var lines, rows []string
	for i := range 500 { // as many as lie between two checkpoints
		lines = append(lines, fmt.Sprintf("http://a.test/%d", i))
		rows = append(rows, fmt.Sprintf("http://a.test/%d,x", i))
	}
	text, table := strings.Join(lines, "\n"), "url,x\r\n"+strings.Join(rows, "\r\n")
	for name, text := range map[string]string{"l.txt": text, "l.txt.gz": zipped(text), "l.csv": table} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, name, text)
			settings := crawl.Settings{
				Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Start: crawl.StartSettings{Ahead: 20},
			}
			own := crawl.Spider{Name: "list", Parse: row}
			for i := range 400 { // which are still to come when the list has been read
				own.StartURLs = append(own.StartURLs, fmt.Sprintf("http://a.test/own/%d", i))
			}
			asked := make(map[string]struct{})
			for _, reason := range []string{"a bit", "finished"} {
				run, n, made := settings, 0, make(chan *engine.Engine, 1)
				run.Trace.ResponseReceived = func(*crawl.Response) {
					e := <-made
					if n++; reason != "finished" && n == 510 {
						e.Stop(reason)
					}
					made <- e
				}
				e, wait := crawltest.Start(t, spiders.URLs(own, spiders.URLList{Path: path}), run, anything())
				made <- e
				res := wait()
				require.Equal(t, reason, res.Reason, "%v", res.Log.FilterMessage("start failed").All())
				for _, u := range res.Asked {
					asked[u] = struct{}{}
				}
			}
			require.Len(t, asked, 900)
		})
	}
}

// A list that is another one is refused.
func TestURLsOfAnotherList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := crawl.Settings{
		Job: crawl.JobSettings{Dir: filepath.Join(dir, "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Start: crawl.StartSettings{Ahead: 100},
	}
	path := filepath.Join(dir, "list.txt")
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "http://a.test/%d\n", i)
	}
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	run := func(list spiders.URLList, stopAfter int) *crawltest.Result {
		made := make(chan *engine.Engine, 1)
		limited, n := settings, 0
		limited.Trace.ItemScraped = func(context.Context, any) {
			e := <-made
			if n++; n == stopAfter {
				e.Stop("a bit")
			}
			made <- e
		}
		e, wait := crawltest.Start(t, spiders.URLs(crawl.Spider{Name: "list", Parse: row}, list), limited, anything())
		made <- e
		return wait()
	}
	failed := func(res *crawltest.Result) string {
		said := res.Log.FilterMessage("start failed").All()
		require.Len(t, said, 1)
		return fmt.Sprint(said[0].ContextMap()["error"])
	}
	require.Equal(t, "a bit", run(spiders.URLList{Path: path}, 1000).Reason)
	require.Contains(t, failed(run(spiders.URLList{Path: file(t, "other.txt", b.String())}, 0)), "this job was reading its URLs from list.txt, and is to read other.txt now")
	require.NoError(t, os.WriteFile(path, []byte("http://a.test/1\n"), 0o600))
	require.Contains(t, failed(run(spiders.URLList{Path: path}, 0)), "it is not the list that the job was reading")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("http://a.test/long-lines-of-another-list", 2000)), 0o600))
	require.Contains(t, failed(run(spiders.URLList{Path: path}, 0)), "no line begins where it left off")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	require.Equal(t, "finished", run(spiders.URLList{Path: path}, 0).Reason)
}

// A list that comes to no end does not keep a crawl from stopping.
func TestURLsThatAreAwaited(t *testing.T) {
	t.Parallel()
	pr, pw := io.Pipe()
	defer pw.Close()
	spider := spiders.URLs(crawl.Spider{Name: "list", Parse: row}, spiders.URLList{Path: "pipe", Open: func(ctx context.Context) (io.ReadCloser, error) {
		context.AfterFunc(ctx, func() { _ = pr.CloseWithError(ctx.Err()) })
		return pr, nil
	}})
	e, wait := crawltest.Start(t, spider, crawl.Settings{}, anything())
	_, err := io.WriteString(pw, "http://a.test/1\n")
	require.NoError(t, err)
	e.Stop("enough")
	require.Equal(t, "enough", wait().Reason)
}

func TestURLsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	spider := spiders.URLs(crawl.Spider{Name: "list", Parse: row}, spiders.URLList{Path: "bucket", Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("no such bucket") }})
	res := crawltest.Run(t, spider, crawl.Settings{}, anything())
	require.Equal(t, "start_error", res.Reason)
}

// The rows are objects that a callback reads as any Data.
func TestURLRowIsData(t *testing.T) {
	t.Parallel()
	var got struct{ URL, Note string }
	spider := spiders.URLs(crawl.Spider{Name: "list", Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error { return r.Data(&got) }},
		spiders.URLList{Path: file(t, "l.csv", "url,note\nhttp://a.test/,n\n"), WithRow: true})
	crawltest.Run(t, spider, crawl.Settings{}, anything())
	require.Equal(t, struct{ URL, Note string }{"http://a.test/", "n"}, got)
}
