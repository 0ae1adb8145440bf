package spiders_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
	"github.com/tulle-go/tulle/spiders"
)

// served is a site with one file.
func served(contentType, body string) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/robots.txt" {
			w.Header()["Content-Type"] = []string{contentType}
			fmt.Fprint(w, body)
		}
	}))
}

func gz(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(s))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func feedOf(name string) crawl.Spider {
	return crawl.Spider{Name: "feed", StartURLs: []string{"http://example.com/" + name}}
}

// rowItem hands a row over as one text.
func rowItem(_ context.Context, _ *crawl.Response, row spiders.CSVRow, out *crawl.Out) error {
	out.Item(map[string]any{"page": fmt.Sprintf("%d %s", row.Line, strings.Join(row.Fields, "|"))})
	return nil
}

func messages(res *crawltest.Result, level zapcore.Level) string {
	var all []string
	for _, e := range res.Log.All() {
		if e.Level >= level {
			all = append(all, fmt.Sprint(e.Message, " ", e.ContextMap()))
		}
	}
	return strings.Join(all, "\n")
}

func TestCSVFeed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contentType, body string
		opts              spiders.CSVFeedOptions
		want              []string
	}{
		"plain":               {"text/csv", "name,price\nlamp,45\n\nvase,\"3\n0\"\n", spiders.CSVFeedOptions{}, []string{"2 lamp|45", "4 vase|3\n0"}},
		"byte order mark":     {"text/csv", "\xef\xbb\xbfname\nlamp\n", spiders.CSVFeedOptions{}, []string{"2 lamp"}},
		"headers given":       {"text/plain", "lamp;45\nvase;'3;0'\n", spiders.CSVFeedOptions{Headers: []string{"name", "price"}, Comma: ';', Quote: '\''}, []string{"1 lamp|45", "2 vase|3;0"}},
		"tabs, no quotes":     {"text/tab-separated-values", "name\tprice\n\"lamp\t45\n", spiders.CSVFeedOptions{Comma: '\t', Quote: -1}, []string{"2 \"lamp|45"}},
		"comments and titles": {"text/csv", "Prices,\"2026\n\nname,price\n# \"old\nlamp,45\n", spiders.CSVFeedOptions{Skip: 2, Comment: '#'}, []string{"5 lamp|45"}},
		"gzip":                {"application/octet-stream", gz(t, "name\nlamp\n"), spiders.CSVFeedOptions{}, []string{"2 lamp"}},
		"gzip twice":          {"text/csv", gz(t, gz(t, "name\nlamp\n")), spiders.CSVFeedOptions{}, []string{"2 lamp"}},
		"header's charset":    {"text/csv; charset=iso-8859-1", "name\nabat-jour \xe9t\xe9\n", spiders.CSVFeedOptions{}, []string{"2 abat-jour été"}},
		"looks like Latin":    {"text/csv", "name\n" + strings.Repeat("Der Stuhl ist sch\xf6n und f\xfcr gro\xdfe M\xe4nner\n", 30), spiders.CSVFeedOptions{MaxRow: 100}, nil},
		"UTF-16":              {"text/csv", "\xff\xfen\x00\n\x00\xe9\x00,\x00\n\x00\xe8\x00\n\x00", spiders.CSVFeedOptions{}, []string{"3 è"}},
		"a NUL":               {"text/csv", "name,price\nla\x00mp,45\n", spiders.CSVFeedOptions{}, []string{"2 la\x00mp|45"}},
		"nothing":             {"text/csv", "", spiders.CSVFeedOptions{}, nil},
		"only names":          {"text/csv", "name,price\n", spiders.CSVFeedOptions{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Row = rowItem
			res := crawltest.Run(t, spiders.CSVFeed(feedOf("prices"), c.opts), crawl.Settings{}, served(c.contentType, c.body))
			require.NoError(t, res.Err)
			require.Empty(t, messages(res, zapcore.ErrorLevel))
			if name == "looks like Latin" {
				require.Contains(t, items(res), "2 Der Stuhl ist schön und für große Männer")
				return
			}
			require.ElementsMatch(t, c.want, items(res))
		})
	}
}

// Rows that cannot be used are counted and told with their lines, and the others are read.
func TestCSVFeedSkips(t *testing.T) {
	t.Parallel()
	body := "name,price\nlamp,45\nvase\nclock,\"20\nchair,1,2\n" + strings.Repeat("x", 2000) + ",1\n" + strings.Repeat("bad\n", 20) + "table,9\n"
	res := crawltest.Run(t, spiders.CSVFeed(feedOf("prices.csv"), spiders.CSVFeedOptions{Row: rowItem, MaxRow: 1000}), crawl.Settings{}, served("text/csv", body))
	require.Equal(t, []string{"2 lamp|45", "27 table|9"}, items(res))
	require.EqualValues(t, 24, res.Stats.Int("csvfeed/skipped_count"))
	require.EqualValues(t, 2, res.Stats.Int("csvfeed/row_count"))
	warned := messages(res, zapcore.WarnLevel)
	for _, want := range []string{
		`row skipped map[error:1 values for 2 columns: "vase" feed:http://example.com/prices.csv line:3]`,
		`a quote that is not closed, or not within 1000 bytes: "clock,\"20" feed:http://example.com/prices.csv line:4`,
		`3 values for 2 columns: "chair,1,2" feed:http://example.com/prices.csv line:5`, `a row of more than 1000 bytes: "xxxxx`, "more rows were skipped map[all:24 feed:http://example.com/prices.csv]",
	} {
		require.Contains(t, warned, want)
	}
	require.Equal(t, 10, strings.Count(warned, "row skipped"))
}

func TestCSVFeedErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ contentType, body, want string }{
		"HTML":           {"text/csv", "<!doctype html><html><body>Not found", `feed is HTML, not CSV: it begins with "<!doctype html><html><body>Not found"`},
		"XML":            {"text/csv", "<?xml version='1.0'?><error/>", "feed is XML, not CSV"},
		"JSON":           {"text/csv", `{"error": "no"}`, "feed is JSON, not CSV"},
		"a workbook":     {"text/csv", "PK\x03\x04\x14\x00\x06\x00", "feed is application/zip, not CSV"},
		"truncated gzip": {"text/csv", gz(t, "name\n"+strings.Repeat("lamp\n", 10))[:25], "inflate: unexpected EOF"},
		"broken gzip":    {"text/csv", "\x1f\x8b\x08\xff", "inflate"},
		"a bomb":         {"text/csv", gz(t, "name\n"+strings.Repeat("a,b\n", 1000)), "too large: more than 1000 bytes, inflated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := crawltest.Run(t, spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: rowItem, MaxSize: 1000}), crawl.Settings{}, served(c.contentType, c.body))
			require.Contains(t, messages(res, zapcore.ErrorLevel), c.want)
			require.Contains(t, messages(res, zapcore.ErrorLevel), "http://example.com/p")
			require.Equal(t, "finished", res.Reason)
		})
	}

	bad := errors.New("bad row")
	fails := func(_ context.Context, _ *crawl.Response, row spiders.CSVRow, out *crawl.Out) error {
		out.Item(map[string]any{"page": row.Get("n")})
		if row.Get("n") == "" {
			return nil
		}
		return bad
	}
	body := "n\n" + strings.Repeat("1\n", 15)
	res := crawltest.Run(t, spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: fails}), crawl.Settings{}, served("text/csv", body))
	require.Len(t, res.Items, 15)
	require.EqualValues(t, 15, res.Stats.Int("csvfeed/error_count"))
	require.Contains(t, messages(res, zapcore.ErrorLevel), "line 2: bad row\nline 3: bad row\n")
	require.Contains(t, messages(res, zapcore.ErrorLevel), "and 5 more rows")
	res = crawltest.Run(t, spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: fails, StopOnError: true}), crawl.Settings{}, served("text/csv", body))
	require.Len(t, res.Items, 1)
	bad = crawl.CloseSpider("enough")
	res = crawltest.Run(t, spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: fails}), crawl.Settings{}, served("text/csv", body))
	require.Len(t, res.Items, 1)
	require.Equal(t, "enough", res.Reason)
}

func TestCSVFeedVerify(t *testing.T) {
	t.Parallel()
	parse := func(context.Context, *crawl.Response, *crawl.Out) error { return nil }
	for want, s := range map[string]*crawl.Spider{
		"spider feed: CSVFeed: it has no Row to give rows to":              spiders.CSVFeed(feedOf(""), spiders.CSVFeedOptions{}),
		"Comma 'é': it is one ASCII character":                             spiders.CSVFeed(feedOf(""), spiders.CSVFeedOptions{Row: rowItem, Comma: 'é'}),
		`one character for two of Comma '"', Quote '"' and Comment '\x00'`: spiders.CSVFeed(feedOf(""), spiders.CSVFeedOptions{Row: rowItem, Comma: '"'}),
		"no Headers: nil takes":                                            spiders.CSVFeed(feedOf(""), spiders.CSVFeedOptions{Row: rowItem, Headers: []string{}}),
		"a negative Skip or MaxRow":                                        spiders.CSVFeed(feedOf(""), spiders.CSVFeedOptions{Row: rowItem, Skip: -1}),
		"Parse is where the feed is read, and the spider has":              spiders.CSVFeed(crawl.Spider{Name: "feed", Parse: parse, StartURLs: []string{"http://a.example/"}}, spiders.CSVFeedOptions{Row: rowItem}),
		`route "x" is where the feed is read`:                              spiders.CSVFeed(crawl.Spider{Name: "feed", Parse: parse, Routes: map[string]crawl.Callback{"x": parse}}, spiders.CSVFeedOptions{Row: rowItem, Route: "x"}),
	} {
		require.ErrorContains(t, s.Validate(), want)
	}
	s := spiders.CSVFeed(crawl.Spider{Name: "feed", Parse: parse, StartURLs: []string{"http://a.example/"}}, spiders.CSVFeedOptions{Row: rowItem, Route: "x"})
	require.NoError(t, s.Validate())
	require.NotNil(t, s.Routes["x"])
}

func TestCSVRow(t *testing.T) {
	t.Parallel()
	type Tagged struct {
		Name  string `json:"title,omitempty"`
		Price float64
		Stock *int `csv:"in stock"`
		Sold  *int
		On    bool
		Small uint8
		At    time.Time
		Day   time.Time
		Wait  time.Duration
		Big   big.Int
		Skip  string `csv:"-"`
		None  string
	}
	var got []*Tagged
	spider := spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: spiders.CSVRows(func(_ context.Context, _ *crawl.Response, row *Tagged, _ *crawl.Out) error {
		got = append(got, row)
		return nil
	})})
	body := "title,PRICE,In_Stock,sold,on,small,at,day,wait,big,skip,title\n lamp,45.5, 3 ,,true,7,2026-01-02T03:04:05Z,2026-01-02,1m,123,x,y\nvase,x,1.5,,maybe,300,now,,1,1,,\nmug,NaN,,,,,,,,,,\n"
	res := crawltest.Run(t, spider, crawl.Settings{}, served("text/csv", body))
	three := 3
	want := &Tagged{Name: " lamp", Price: 45.5, Stock: &three, On: true, Small: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Day: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Wait: time.Minute, Big: *big.NewInt(123)}
	require.Equal(t, []*Tagged{want}, got)
	for _, e := range []string{`line 3: column "PRICE": "x" is no float64`, `line 4: column "PRICE": "NaN" is no float64`, `column "In_Stock": "1.5" is no int`, `column "on": "maybe" is no bool`, `column "small": "300" is no uint8`, `column "at": "now" is no time.Time`, `column "wait": "1" is no time.Duration`} {
		require.Contains(t, messages(res, zapcore.ErrorLevel), e)
	}

	var row spiders.CSVRow
	spider = spiders.CSVFeed(feedOf("p"), spiders.CSVFeedOptions{Row: func(_ context.Context, _ *crawl.Response, r spiders.CSVRow, _ *crawl.Out) error { row = r; return nil }})
	crawltest.Run(t, spider, crawl.Settings{}, served("text/csv", "a, b ,a\n1,2,3\n"))
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, row.Map())
	require.Equal(t, []string{"a", "b", "a"}, row.Columns())
	require.Equal(t, "2", row.Get("b"))
	require.Empty(t, row.Get("c"))
	require.ErrorContains(t, row.Into(&struct{ X int }{}), "no column is a field of struct { X int }: there are a, b, a")
	require.ErrorContains(t, row.Into(new(int)), "a row goes into a struct, not a int")
	require.ErrorContains(t, row.Into(7), "a row goes into a pointer to a struct, not a int")
	require.Empty(t, spiders.CSVRow{}.Get("a"))
	require.Nil(t, spiders.CSVRow{}.Columns())
}

// largeCSV writes n rows of a kilobyte.
func largeCSV(n int) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			return
		}
		w.Header().Set("Content-Type", "text/csv")
		fmt.Fprintln(w, "n,text")
		filler := strings.Repeat("x", 1000)
		for i := range n {
			fmt.Fprintf(w, "%d,\"%s\n\"\n", i, filler)
		}
	}))
}

// A feed of 50 MB is read without holding it.
func TestLargeCSVFeedCostsNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 50 MB")
	}
	const n = 50_000
	var before, now runtime.MemStats
	var most uint64
	rows := 0
	spider := spiders.CSVFeed(feedOf("large.csv"), spiders.CSVFeedOptions{Row: func(_ context.Context, _ *crawl.Response, row spiders.CSVRow, _ *crawl.Out) error {
		if rows == 0 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if rows++; rows%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	}})
	res := crawltest.Run(t, spider, crawl.Settings{}, largeCSV(n))
	require.Equal(t, n, rows)
	require.EqualValues(t, n, res.Stats.Int("csvfeed/row_count"))
	require.Less(t, int64(most)-int64(before.HeapAlloc), int64(1<<20), "bytes held")
}

// A feed that is stopped within is read again when the job goes on, and its items are written once.
func TestCSVFeedInAJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	feed := filepath.Join(dir, "items.jsonl")
	settings := crawl.Settings{
		Job: crawl.JobSettings{Dir: filepath.Join(dir, "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Feeds: []crawl.Feed{{URI: feed}}, ConcurrentItems: 10,
	}
	const n = 500
	read := 0
	run := func(stopAt int) *crawltest.Result {
		read = 0
		stop := make(chan struct{}, 1)
		spider := spiders.CSVFeed(feedOf("large.csv"), spiders.CSVFeedOptions{Row: func(_ context.Context, _ *crawl.Response, row spiders.CSVRow, out *crawl.Out) error {
			if read++; read == stopAt {
				stop <- struct{}{}
				for out.Save("waiting", true) { // until the crawl is stopping
					runtime.Gosched()
				}
			}
			out.Item(map[string]any{"n": row.Get("n")})
			return nil
		}})
		e, wait := crawltest.Start(t, spider, settings, largeCSV(n))
		if stopAt > 0 {
			<-stop
			e.Stop("a bit")
		}
		return wait()
	}
	require.Equal(t, "a bit", run(100).Reason)
	require.Less(t, read, n, "it stops where the crawl does")
	require.Equal(t, "finished", run(0).Reason)
	require.Equal(t, n, read)
	b, err := os.ReadFile(feed)
	require.NoError(t, err)
	require.Equal(t, n, bytes.Count(b, []byte("\n")))
	require.Equal(t, 1, bytes.Count(b, []byte(`{"n":"7"}`)))
}

// A price list into structs: columns are found by csv or json tags.
func ExampleCSVFeed() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		fmt.Fprint(w, "Article;Price;Stock\n\"Lamp; brass\";45.50;3\nVase;30;\n")
	}))
	defer server.Close()
	type Product struct {
		Name  string  `csv:"Article" json:"name"`
		Price float64 `json:"price"`
		Stock *int    `json:"stock"`
	}
	spider := spiders.CSVFeed(
		crawl.Spider{Name: "prices", StartURLs: []string{server.URL + "/prices.csv"}},
		spiders.CSVFeedOptions{
			Comma: ';',
			Row: spiders.CSVRows(func(_ context.Context, _ *crawl.Response, p *Product, _ *crawl.Out) error {
				fmt.Println(p.Name, p.Price, p.Stock != nil)
				return nil
			}),
		})
	result, err := engine.Run(context.Background(), spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}, Robots: crawl.RobotsSettings{Ignore: true}})
	fmt.Println(result.Reason, err)
	// Output:
	// Lamp; brass 45.5 true
	// Vase 30 false
	// finished <nil>
}
