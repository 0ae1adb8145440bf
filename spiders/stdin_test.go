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
