package spiders

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

func stdinSpider(in io.Reader, list URLList) *crawl.Spider {
	list.Path = stdin
	return urlSpider(crawl.Spider{Name: "piped", Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"a": 1})
		return nil
	}}, list, in)
}

func anySite() crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func TestStdin(t *testing.T) {
	t.Parallel()
	for format, text := range map[string]string{
		"":      "http://a.test/1\nhttp://a.test/2\n",
		"csv":   "n,url\n1,http://a.test/1\n2,http://a.test/2\n",
		"jsonl": `{"url": "http://a.test/1"}` + "\n" + `{"url": "http://a.test/2"}`,
	} {
		res := crawltest.Run(t, stdinSpider(strings.NewReader(text), URLList{Format: format}), crawl.Settings{ConcurrentPerHost: 1}, anySite())
		require.Equal(t, []string{"http://a.test/1", "http://a.test/2"}, res.Asked, format)
		require.Equal(t, "finished", res.Reason)
		require.Zero(t, res.Log.FilterMessageSnippet("stdin").Len(), "there is no job")
	}
}

// What is piped is asked for as it comes, and a crawl stops although nobody writes into the pipe any more.
func TestStdinThatSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		defer pw.Close() // ends the goroutine that reads
		began := time.Now()
		site := anySite()
		e, wait := crawltest.Start(t, stdinSpider(pr, URLList{}), crawl.Settings{}, site)
		_, err := io.WriteString(pw, "http://a.test/1\n")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []string{"http://a.test/1"}, site.AskedURLs())
		e.Stop("enough")
		require.Equal(t, "enough", wait().Reason)
		require.Less(t, time.Since(began), time.Second, "nobody is waited for")
	})
}

// A job reads stdin from its beginning again, and says so; what it has seen falls out.
func TestStdinInAJob(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "http://a.test/%d\n", i)
	}
	settings := crawl.Settings{
		Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Start: crawl.StartSettings{Ahead: 50},
	}
	first, n, made := settings, 0, make(chan *engine.Engine, 1)
	first.Trace.ItemScraped = func(context.Context, any) {
		e := <-made
		if n++; n == 100 {
			e.Stop("a bit")
		}
		made <- e
	}
	e, wait := crawltest.Start(t, stdinSpider(strings.NewReader(text.String()), URLList{}), first, anySite())
	made <- e
	res := wait()
	require.Equal(t, "a bit", res.Reason)
	require.Equal(t, 1, res.Log.FilterMessageSnippet("only if the same list is piped again").Len())

	again := crawltest.Run(t, stdinSpider(strings.NewReader(text.String()), URLList{}), settings, anySite())
	require.Equal(t, "finished", again.Reason)
	require.Equal(t, 1, again.Log.FilterMessageSnippet("stdin is read from its beginning").Len())
	asked := make(map[string]bool)
	for _, u := range append(res.Asked, again.Asked...) {
		asked[u] = true
	}
	require.Len(t, asked, 1000)
	require.GreaterOrEqual(t, again.Stats.Int("dupefilter/filtered"), int64(100))
	require.EqualValues(t, 1000, again.Stats.Int("urls/line_count"))
}

// From where a list was left, what was added to it since is read, also if its last line had no end.
func TestRowsFromWhereAListWasLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ was, added, want string }{
		"l.txt":   {"http://a.test/1", "", ""},
		"lf.txt":  {"http://a.test/1", "\nhttp://a.test/2\n", "http://a.test/2"},
		"cr.txt":  {"http://a.test/1\r\n", "http://a.test/2", "http://a.test/2"},
		"l.jsonl": {`{"url":"http://a.test/1"}`, "\n" + `{"url":"http://a.test/2"}`, "http://a.test/2"},
		"l.csv":   {"url\r\nhttp://a.test/1", "\r\nhttp://a.test/2", "http://a.test/2"},
		"q.csv":   {"url\n\"http://a.test/1\"", "\nhttp://a.test/2\n", "http://a.test/2"},
		"bad.txt": {"http://a.test/1", "2\nhttp://a.test/2\n", "no line begins where it left off"},
	} {
		read := func(text string, from urlCursor) (last urlRow, urls []string, err error) {
			u := &urlList{URLList: URLList{Path: name, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}}
			err = u.rows(t.Context(), from, func(r urlRow) bool {
				last = r
				urls = append(urls, r.url)
				return true
			})
			return last, urls, err
		}
		last, urls, err := read(c.was, urlCursor{})
		require.NoError(t, err, name)
		require.Equal(t, []string{"http://a.test/1"}, urls, name)
		_, urls, err = read(c.was+c.added, urlCursor{Offset: last.end, Line: last.endLine})
		if err != nil {
			urls = append(urls, err.Error())
		}
		require.Contains(t, strings.Join(urls, " "), c.want, name)
		require.Equal(t, c.want == "", len(urls) == 0, name)
	}
}
