package spiders_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/spiders"
)

// nodeItem hands an element over as one text.
func nodeItem(_ context.Context, _ *crawl.Response, n crawl.Node, out *crawl.Out) error {
	out.Item(map[string]any{"page": n.Data + " " + n.Text()})
	return nil
}

const rss = `<?xml version="1.0" encoding="utf-8"?>
<rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><title>Lamp</title><g:price>45</g:price><link>/lamp</link></item>
<item><title><![CDATA[Vase & co]]></title><g:price>30</g:price></item>
</channel><item>elsewhere</item></rss>`

func TestXMLFeed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contentType, body string
		opts              spiders.XMLFeedOptions
		want              []string
	}{
		"plain":       {"text/xml", rss, spiders.XMLFeedOptions{}, []string{"item Lamp45/lamp", "item Vase & co30", "item elsewhere"}},
		"a path":      {"text/xml", rss, spiders.XMLFeedOptions{Path: "/rss/channel/item"}, []string{"item Lamp45/lamp", "item Vase & co30"}},
		"a prefix":    {"text/xml", rss, spiders.XMLFeedOptions{Path: "g:price"}, []string{"g:price 45", "g:price 30"}},
		"an address":  {"text/xml", rss, spiders.XMLFeedOptions{Path: "x:price", Namespaces: map[string]string{"x": "http://base.google.com/ns/1.0"}}, []string{"g:price 45", "g:price 30"}},
		"gzip":        {"application/x-gzip", gz(t, rss), spiders.XMLFeedOptions{Path: "title"}, []string{"title Shop", "title Lamp", "title Vase & co"}},
		"gzip twice":  {"text/xml", gz(t, gz(t, "<item>a</item>")), spiders.XMLFeedOptions{}, []string{"item a"}},
		"Latin":       {"text/xml", "<?xml version='1.0' encoding='iso-8859-1'?><item>\xe9t\xe9</item>", spiders.XMLFeedOptions{}, []string{"item été"}},
		"gzip, Latin": {"text/xml", gz(t, "<?xml version='1.0' encoding='iso-8859-1'?><item>\xe9t\xe9</item>"), spiders.XMLFeedOptions{}, []string{"item été"}},
		"none":        {"text/xml", "<rss/>", spiders.XMLFeedOptions{}, nil},
		"a NUL":       {"text/xml", "<r><item>a\x00b</item></r>", spiders.XMLFeedOptions{}, []string{"item a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Node = nodeItem
			res := crawltest.Run(t, spiders.XMLFeed(feedOf("feed.xml"), c.opts), crawl.Settings{}, served(c.contentType, c.body))
			require.NoError(t, res.Err)
			require.Empty(t, messages(res, zapcore.ErrorLevel))
			require.ElementsMatch(t, c.want, items(res))
			require.EqualValues(t, len(c.want), res.Stats.Int("xmlfeed/node_count"))
		})
	}
}

func TestXMLFeedErrors(t *testing.T) {
	t.Parallel()
	begun, _, _ := strings.Cut(rss, "Vase")
	whole := "<r>\n" + strings.Repeat("<item>a</item>\n", 2000) + "</r>"
	for name, c := range map[string]struct {
		body string
		want []string
		read int
	}{
		"cut off":        {begun, []string{"after 1 <item>: xml line 4: "}, 1},
		"HTML":           {"<!doctype html><html><body>Not found", []string{"body is HTML, not XML"}, 0},
		"JSON":           {`{"error": "no"}`, []string{"body is JSON, not XML"}, 0},
		"nothing":        {"", []string{"the document has no element"}, 0},
		"truncated gzip": {gz(t, whole)[:60], []string{"inflate: unexpected EOF"}, -1},
		"a bomb":         {gz(t, whole), []string{"too large: more than 10000 bytes, inflated", "after 666 <item>: xml line"}, 666},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := crawltest.Run(t, spiders.XMLFeed(feedOf("p"), spiders.XMLFeedOptions{Node: nodeItem, MaxSize: 10_000}), crawl.Settings{}, served("text/xml", c.body))
			for _, want := range c.want {
				require.Contains(t, messages(res, zapcore.ErrorLevel), want)
			}
			require.Contains(t, messages(res, zapcore.ErrorLevel), "http://example.com/p")
			if c.read >= 0 {
				require.Len(t, res.Items, c.read)
			} else {
				require.NotEmpty(t, res.Items, "what came before counts")
			}
			require.Equal(t, "finished", res.Reason)
		})
	}

	bad := errors.New("bad item")
	fails := func(_ context.Context, _ *crawl.Response, n crawl.Node, out *crawl.Out) error {
		out.Item(map[string]any{"page": n.Text()})
		return bad
	}
	res := crawltest.Run(t, spiders.XMLFeed(feedOf("p"), spiders.XMLFeedOptions{Node: fails}), crawl.Settings{}, served("text/xml", rss))
	require.Len(t, res.Items, 3)
	require.Contains(t, messages(res, zapcore.ErrorLevel), "<item> number 1: bad item\n<item> number 2: bad item\n<item> number 3: bad item")
	require.EqualValues(t, 3, res.Stats.Int("xmlfeed/error_count"))
	res = crawltest.Run(t, spiders.XMLFeed(feedOf("p"), spiders.XMLFeedOptions{Node: fails, StopOnError: true}), crawl.Settings{}, served("text/xml", rss))
	require.Len(t, res.Items, 1)
	selects := func(_ context.Context, _ *crawl.Response, n crawl.Node, _ *crawl.Out) error { n.Text("a["); return nil }
	for _, body := range []string{rss, gz(t, rss)} {
		res = crawltest.Run(t, spiders.XMLFeed(feedOf("p"), spiders.XMLFeedOptions{Node: selects}), crawl.Settings{}, served("text/xml", body))
		require.Contains(t, messages(res, zapcore.ErrorLevel), `"a["`, "a malformed selector is told of")
	}
}

func TestXMLFeedVerify(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, spiders.XMLFeed(feedOf(""), spiders.XMLFeedOptions{}).Validate(), "spider feed: XMLFeed: it has no Node to give elements to")
	require.ErrorContains(t, spiders.XMLFeed(feedOf(""), spiders.XMLFeedOptions{Node: nodeItem, Path: "item[1]"}).Validate(), `xml path "item[1]"`)
	require.NoError(t, spiders.XMLFeed(feedOf(""), spiders.XMLFeedOptions{Node: nodeItem, Path: "a"}).Validate())
	verified := errors.New("the user's own")
	base := feedOf("")
	base.Verify = func(*crawl.Spider) error { return verified }
	require.ErrorIs(t, spiders.XMLFeed(base, spiders.XMLFeedOptions{Node: nodeItem}).Validate(), verified)
}

// A feed of 50 MB, compressed, is read without holding it, and its inflated form is gone afterwards.
func TestLargeXMLFeedCostsNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 50 MB")
	}
	const n = 50_000
	body := gz(t, "<r>"+strings.Repeat("<item><text>"+strings.Repeat("x", 1000)+"</text></item>\n", n)+"</r>")
	var before, now runtime.MemStats
	var most uint64
	nodes, dir := 0, t.TempDir()
	spider := spiders.XMLFeed(feedOf("large.xml.gz"), spiders.XMLFeedOptions{Node: func(_ context.Context, _ *crawl.Response, _ crawl.Node, _ *crawl.Out) error {
		if nodes == 0 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if nodes++; nodes%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	}})
	var left []string
	spider.Closed = func(context.Context, string) { left, _ = filepath.Glob(filepath.Join(dir, "*", "*")) }
	crawltest.Run(t, spider, crawl.Settings{Download: crawl.DownloadSettings{SpoolDir: dir}}, served("application/gzip", body))
	require.Equal(t, n, nodes)
	require.Less(t, int64(most)-int64(before.HeapAlloc), int64(1<<20), "bytes held")
	require.Empty(t, left)
}

// A shop's products, one by one, with the prices of their namespace.
func ExampleXMLFeed() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/rss+xml")
		fmt.Fprint(w, rss)
	}))
	defer server.Close()
	spider := spiders.XMLFeed(
		crawl.Spider{Name: "prices", StartURLs: []string{server.URL + "/products.xml"}},
		spiders.XMLFeedOptions{
			Path: "channel/item",
			Node: func(_ context.Context, _ *crawl.Response, item crawl.Node, _ *crawl.Out) error {
				fmt.Println(item.Text("title"), item.XPath("./g:price").Text())
				return nil
			},
		})
	result, err := engine.Run(context.Background(), spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}, Robots: crawl.RobotsSettings{Ignore: true}})
	fmt.Println(result.Reason, err)
	// Output:
	// Lamp 45
	// Vase & co 30
	// finished <nil>
}
