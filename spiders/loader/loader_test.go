package loader_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/loader"
)

func page(body string) *crawl.Response {
	req := crawl.Get("https://example.com/shop/")
	return &crawl.Response{Request: req, URL: req.URL, Status: 200, Body: crawl.BytesBody([]byte(body)), Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}}
}

func run(t *testing.T, p loader.Processor, v any) any {
	t.Helper()
	got, err := p.Process(&loader.Context{Values: map[string]any{"unit": "cm"}}, v)
	require.NoError(t, err)
	return got
}

func fails(t *testing.T, p loader.Processor, v any, want string) {
	t.Helper()
	_, err := p.Process(&loader.Context{}, v)
	require.ErrorContains(t, err, want)
}

type list = []any

// TestSelectJMESSortsACopy has lists that the expression, and the page, still want in their own order.
func TestSelectJMESSortsACopy(t *testing.T) {
	t.Parallel()
	b, a := map[string]any{"n": "b"}, map[string]any{"n": "a"}
	require.Equal(t, list{"a", "b"}, run(t, loader.SelectJMES("[sort_by(l, &n)[0].n, l[0].n]"), map[string]any{"l": list{b, a}}))
	kept := struct{ L []any }{list{b, a}}
	require.Equal(t, "a", run(t, loader.SelectJMES("sort_by(L, &n)[0].n"), &kept))
	require.Equal(t, list{b, a}, kept.L)
}

// The cases are those of the documentation of Scrapy's itemloaders, version 1.5.
func TestProcessorsAreScrapys(t *testing.T) {
	t.Parallel()
	require.Equal(t, list{"one", "two", "three"}, run(t, loader.Identity(), list{"one", "two", "three"}))
	require.Equal(t, "one", run(t, loader.TakeFirst(), list{"", "one", "two", "three"}))
	require.Equal(t, "one two three", run(t, loader.Join(), list{"one", "two", "three"}))
	require.Equal(t, "one<br>two<br>three", run(t, loader.Join("<br>"), list{"one", "two", "three"}))
	first := func(v []any) any { return v[0] }
	require.Equal(t, "HELLO", run(t, loader.Compose(first, strings.ToUpper), list{"hello", "world"}))
	notWorld := func(s string) any {
		if s == "world" {
			return nil
		}
		return s
	}
	require.Equal(t, list{"HELLO", "THIS", "IS", "SOMETHING"}, run(t, loader.MapCompose(notWorld, strings.ToUpper), list{"hello", "world", "this", "is", "something"}))
	require.Equal(t, "bar", run(t, loader.SelectJMES("foo"), map[string]any{"foo": "bar"}))
	require.Equal(t, map[string]any{"bar": "baz"}, run(t, loader.SelectJMES("foo"), map[string]any{"foo": map[string]any{"bar": "baz"}}))
	fromJSON := func(s string) (v any, err error) { return v, json.Unmarshal([]byte(s), &v) }
	require.Equal(t, "bar", run(t, loader.Compose(fromJSON, loader.SelectJMES("foo")), `{"foo": "bar"}`))
	fromJSON = func(s string) (any, error) { var v any; err := json.Unmarshal([]byte(s), &v); return v, err }
	require.Equal(t, "bar", run(t, loader.Compose(fromJSON, loader.SelectJMES("foo")), `{"foo": "bar"}`))
	require.Equal(t, list{"bar"}, run(t, loader.Compose(fromJSON, loader.MapCompose(loader.SelectJMES("foo"))), `[{"foo":"bar"}, {"baz":"tar"}]`))

	l := loader.New(map[string]any{}, nil)
	require.Equal(t, "FOO", l.GetValue("name: foo", loader.Re("name: (.+)"), loader.TakeFirst(), strings.ToUpper))
	item := map[string]any{}
	l = loader.New(item, nil).AddValue("name", "Color TV").AddValue("colours", []string{"white", "blue"}).AddValue("length", "100").
		AddValue("name", "name: foo", loader.Re("name: (.+)"), loader.TakeFirst()).AddValues(map[string]any{"name": "foo", "sex": "male"})
	require.NoError(t, l.Load())
	require.Equal(t, map[string]any{"name": list{"Color TV", "foo", "foo"}, "colours": list{"white", "blue"}, "length": list{"100"}, "sex": list{"male"}}, item)
}

func TestProcessors(t *testing.T) {
	t.Parallel()
	require.Equal(t, 0, run(t, loader.TakeFirst(), list{nil, "", 0, 1}))
	require.Nil(t, run(t, loader.TakeFirst(), list{""}))
	require.Nil(t, run(t, loader.Join(), list{}))
	require.Equal(t, "1,2", run(t, loader.Join(","), []int{1, 2}))
	require.Nil(t, run(t, loader.Compose(func(string) any { return nil }, strings.ToUpper), "a"))
	require.Equal(t, list{}, run(t, loader.Compose(), list{}))
	require.Equal(t, list{1, 2}, run(t, loader.MapCompose(strconv.Atoi), []string{"1", "2"}))
	require.Equal(t, list{"a", "b", "c"}, run(t, loader.MapCompose(strings.Fields), list{"a b", "c"}))
	require.Equal(t, list{"2cm"}, run(t, loader.MapCompose(func(c *loader.Context, s string) (string, bool) { return s + c.Values["unit"].(string), s != "1" }), list{"1", "2"}))
	require.Equal(t, 2, run(t, loader.Compose(func(all []string) int { return len(all) }), list{"a", "b"}))
	require.Equal(t, list{1.5}, run(t, loader.MapCompose(loader.Strip(), loader.ToFloat()), list{" 1.5 ", " "}))
	require.Equal(t, list{[]byte("a b")}, run(t, loader.MapCompose(func(s string) []byte { return []byte(s) }), "a b"), "bytes are one value")

	fails(t, loader.MapCompose(strconv.Atoi), list{"x"}, `strconv.Atoi: strconv.Atoi: parsing "x": invalid syntax`)
	fails(t, loader.MapCompose(strings.ToUpper), list{7}, "strings.ToUpper: it takes a string and was given a int")
	fails(t, loader.Compose(strings.ToUpper), list{"a", "b"}, "strings.ToUpper takes one value and was given 2: MapCompose gives it each")
	fails(t, loader.Compose(func([]string) int { return 0 }), list{1}, "it takes strings and was given a int")
	fails(t, loader.Compose(func(int) int { return 0 }), "a", "it takes a int and was given a string")
	fails(t, loader.MapCompose(strings.Cut, 7, nil, loader.Re("(")), list{}, "function 1 of MapCompose: strings.Cut is a func(string, string) (string, string, bool): it should take a value")
	fails(t, loader.MapCompose(strings.Cut, 7, nil, loader.Re("(")), list{}, "function 2 of MapCompose: a int is no function\nfunction 3 of MapCompose: it is nil\nfunction 4 of MapCompose: error parsing regexp")
	fails(t, loader.SelectJMES("a["), "", `jmespath "a["`)
}

func TestTexts(t *testing.T) {
	t.Parallel()
	require.Equal(t, list{"a b", 7}, run(t, loader.Strip(), list{" a\u00a0\n b ", " ", 7}))
	require.Equal(t, "a", run(t, loader.Strip(), " a "))
	require.Equal(t, list{"1", "2", "x"}, run(t, loader.Re(`\d|x`), list{"a1b2", "x"}))
	require.Equal(t, list{"a", "1", "b", "2"}, run(t, loader.Re(`(\w)=(\w)`), list{"a=1,b=2"}))
	require.Equal(t, list{"1", "2"}, run(t, loader.Re(`(\w)=(?P<extract>\w)`), list{"a=1,b=2"}))
	require.Equal(t, list{"a"}, run(t, loader.Re(`^\w`), list{"abc"}))
	require.Equal(t, list{"a", 1, map[string]any{}, map[string]any{}}, run(t, loader.Unique(), list{"a", 1, "a", 1, map[string]any{}, map[string]any{}}))

	for text, want := range map[string]any{
		"": list{}, "free": list{}, "€ 1,234.50": 1234.5, "45": 45.0, "1 234 567.5": 1234567.5, "1'234": 1234.0, "1\u202f234": 1234.0, "-5.5": -5.5, "\u22125": -5.0, "-€5": -5.0, "€ -5 each": -5.0,
		"Price - 5": 5.0, "A-5": 5.0, "$.50": .5, "No.5": 5.0, "5.": 5.0, "5, as ever": 5.0, "+7": 7.0, "EUR\u00a012.30": 12.3, "1,234,567": 1234567.0, "-.5": -.5, "٣ 4": 4.0,
	} {
		got := run(t, loader.ToFloat(), list{text})
		if l, ok := want.(list); ok {
			require.Empty(t, got, text)
			require.Empty(t, l)
			continue
		}
		require.Equal(t, list{want}, got, text)
	}
	for text, want := range map[string]string{
		"45 - 60": "2 numbers in", "1,23": "1,23 is not written as 1,234.56", "1.234.56": "is not written", "45 60": "is not written", "1,2345": "is not written", "12,34.5": "is not written",
		"1.2,3": "is not written", "2024-01-02": "3 numbers in", strings.Repeat("9", 400): "value out of range",
	} {
		fails(t, loader.ToFloat(), text, want)
	}
	for written, text := range map[string]string{"1.234,56": "1.234.567,5", "1 234,56": "1 234 567,5", "1234,56": "1234567,5", "1’234.56": "1’234’567.5", "1,234": "1,234,567.5", "1.234": "1.234.567,5"} {
		require.Equal(t, 1234567.5, run(t, loader.ToFloat(written), "¥ "+text), written)
	}
	fails(t, loader.ToFloat("1.234,56"), "1,234.56", "1,234.56 is not written as 1.234,56")
	fails(t, loader.ToFloat("12,5"), "", `"12,5" does not show how 1234.56 is written`)
	fails(t, loader.ToFloat("1,234,56"), "", "does not show")
	fails(t, loader.ToFloat("1,234.56", "1"), "", "in one way")
	require.Equal(t, list{int64(1234), int64(-2)}, run(t, loader.ToInt(), list{"1,234 lamps", "none", "-2"}))
	fails(t, loader.ToInt(), "1.5", `1.5 in "1.5" is no whole number`)

	require.Equal(t, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), run(t, loader.ParseTime(), " 2026-01-02 "))
	require.Equal(t, list{time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}, run(t, loader.ParseTime(time.RFC1123, "2 Jan 2006"), list{"2 Jan 2026", ""}))
	fails(t, loader.ParseTime("2006"), "x", `time "x" is not written as 2006`)
	require.Equal(t, "https://a.example/", run(t, loader.AbsoluteURL(), "https://a.example/"))
	fails(t, loader.AbsoluteURL(), "/a", `url "/a": relative, and the loader has no page`)
}

type lamp struct {
	Name   string          `json:"name"`
	Price  float64         `json:"price"`
	Tags   []string        `json:"tags"`
	URL    string          `json:"url"`
	Stock  *int            `json:"stock"`
	Seen   time.Time       `json:"seen"`
	Delay  time.Duration   `json:"delay"`
	Link   *url.URL        `json:"link"`
	Any    any             `json:"any"`
	Raw    json.RawMessage `json:"raw"`
	Sizes  []uint8         `json:"sizes"`
	Small  int8            `json:"small"`
	On     bool            `json:"on"`
	Times  []time.Time     `json:"times"`
	Maker  maker           `json:"maker"`
	Plain  int
	Hidden string `json:"-"`
	*Origin
}

type maker struct {
	Name string `json:"name"`
	Year int    `json:"year"`
}

// Origin is embedded, and not there until something is loaded into it.
type Origin struct {
	Page string `json:"page"`
}

var lampFields = loader.Fields{
	"":      {In: loader.Strip(), Out: loader.TakeFirst()},
	"name":  {In: loader.Strip(), Out: loader.Join(), Required: true},
	"price": {In: loader.ToFloat(), Out: loader.TakeFirst(), Required: true},
	"tags":  {In: loader.MapCompose(strings.ToLower), Out: loader.Unique()},
	"url":   {In: loader.AbsoluteURL(), Out: loader.TakeFirst()},
}

const shop = `<h1> A brass </h1><h2>lamp</h2><p class=price>€ 1,045.00</p><ul class=a><li>Brass<li>Light</ul><ul class=b><li>brass<li>New</ul>
	<footer><a href="../lamp?id=7">x</a><b>9</b></footer><i>1</i><i>2</i>`

func TestLoader(t *testing.T) {
	t.Parallel()
	r := page(shop)
	item := &lamp{}
	l := loader.New(item, r, lampFields)
	l.AddCSS("name", "h1").AddXPath("name", "//h2/text()").AddCSS("price", "p.sale").AddCSS("price", "p.price").AddCSS("tags", "ul li").AddValue("Plain", "12")
	require.Equal(t, []any{"brass", "light", "brass", "new"}, l.Collected("tags"))
	footer := l.NestedCSS("footer")
	footer.AddCSS("url", "a::attr(href)").AddXPath("stock", "./b").AddXPath("tags", ".//i").AddCSS("tags", "i")
	l.NestedXPath("//ul").NestedCSS("li").AddXPath("tags", "self::li[.='New']")
	out, err := l.Output("name")
	require.NoError(t, err)
	require.Equal(t, "A brass lamp", out)
	require.NoError(t, l.Load())
	nine := 9
	require.Equal(t, &lamp{Name: "A brass lamp", Price: 1045, Tags: []string{"brass", "light", "new"}, URL: "https://example.com/lamp?id=7", Stock: &nine, Plain: 12}, item)
	require.NoError(t, r.Err())

	l.ReplaceCSS("name", "h2").ReplaceXPath("tags", "//i").ReplaceValue("stock", 3).ReplaceCSS("Plain", "nothing")
	require.NoError(t, l.Load())
	three := 3
	require.Equal(t, &lamp{Name: "lamp", Price: 1045, Tags: []string{"1", "2"}, URL: "https://example.com/lamp?id=7", Stock: &three, Plain: 12}, item)
	require.Equal(t, []any{"Brass", "Light", "brass", "New"}, l.GetCSS("li"))
	require.Equal(t, "lamp", l.GetXPath("//h2", loader.TakeFirst()))
	require.Equal(t, "brass!", l.With("mark", "!").GetCSS("li", loader.TakeFirst(), strings.ToLower, func(c *loader.Context, s string) string { return s + c.Values["mark"].(string) }))
	require.Empty(t, l.NestedCSS("nothing").GetCSS("li"), "not the whole page")
	require.NoError(t, l.Load(), "a page without it is no error")
}

func TestLoaderOfJSON(t *testing.T) {
	t.Parallel()
	r := page(`{"items": [{"name": "lamp", "price": 45, "id": 9007199254740993}, {"name": "vase", "price": 30.5}], "n": 2, "maker": {"name": "M", "year": 1890}}`)
	r.Header = http.Header{"Content-Type": {"application/json"}}
	item := &lamp{}
	l := loader.New(item, r).AddJSON("tags", "items.#.name").AddJMES("price", "items[?price > `40`].price").AddJSON("Plain", "items.0.id").AddJSON("maker", "maker")
	require.NoError(t, l.Load())
	require.Equal(t, &lamp{Tags: []string{"lamp", "vase"}, Price: 45, Plain: 9007199254740993, Maker: maker{"M", 1890}}, item)
	require.NoError(t, l.ReplaceJSON("tags", "n").ReplaceJMES("price", "max(items[].price)").Load())
	require.Equal(t, []string{"2"}, item.Tags)
	require.Equal(t, list{int64(45), 30.5}, l.GetJSON("items.#.price"))
	require.Equal(t, int64(45), l.GetJMES("items[].price", loader.TakeFirst()))
	require.Equal(t, list{"lamp"}, l.GetJSON("items", loader.Compose(loader.SelectJMES("[?price > `40`].name"))))
}

// What goes in is converted to what the field holds.
func TestConvert(t *testing.T) {
	t.Parallel()
	item := &lamp{}
	l := loader.New(item, nil)
	for field, v := range map[string]any{
		"name": 7.5, "price": "45.5", "tags": list{"a", 1, true}, "url": &url.URL{Path: "/a"}, "stock": " 4 ", "seen": "2026-01-02T03:04:05Z", "delay": "1m", "link": "https://a.example/",
		"any": list{"a"}, "raw": `{"a": 1}`, "small": 100, "on": "true", "times": list{"2026-01-02T03:04:05Z", time.Time{}}, "maker": map[string]any{"name": "m"}, "page": "p", "Plain": 3.0,
	} {
		l.AddValue(field, v)
	}
	require.NoError(t, l.Load())
	four, at := 4, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.Equal(t, &lamp{
		Name: "7.5", Price: 45.5, Tags: []string{"a", "1", "true"}, URL: "/a", Stock: &four, Seen: at, Delay: time.Minute, Link: &url.URL{Scheme: "https", Host: "a.example", Path: "/"},
		Any: list{"a"}, Raw: json.RawMessage(`{"a": 1}`), Small: 100, On: true, Times: []time.Time{at, {}}, Maker: maker{Name: "m"}, Plain: 3, Origin: &Origin{Page: "p"},
	}, item)

	empty := &lamp{}
	l = loader.New(empty, nil)
	for _, field := range []string{"name", "price", "tags", "stock", "seen", "link", "any", "raw", "maker"} {
		l.AddValue(field, list{}).AddValue(field, nil)
	}
	require.NoError(t, l.AddValue("price", "").AddValue("stock", " ").Load())
	require.Equal(t, &lamp{}, empty)

	for want, v := range map[string]struct {
		field string
		v     any
	}{
		`load lamp.price: "€ 45" is no float64: ToFloat and ToInt read numbers with signs around them (of "[€ 45]")`: {"price", "€ 45"},
		`2 values for a field of type string: an Out processor, such as TakeFirst or Join, says which`:               {"name", list{"a", "b"}},
		`"NaN" is no float64`:                              {"price", "NaN"},
		`300 does not fit into int8`:                       {"small", 300},
		`"300" does not fit into int8`:                     {"small", "300"},
		`2.5 does not fit into int`:                        {"Plain", 2.5},
		`"yes" is no bool`:                                 {"on", "yes"},
		`a map[string]interface {} is no string`:           {"name", map[string]any{}},
		`"x" is no loader_test.maker`:                      {"maker", "x"},
		`load lamp.seen: "x": parsing time`:                {"seen", "x"},
		`"x" is no time.Duration`:                          {"delay", "x"},
		"no URL":                                           {"link", "http://[bad"},
		`value 2: "x": parsing time "x"`:                   {"times", list{time.Time{}, "x"}},
		`loader_test.maker: json: cannot unmarshal string`: {"maker", map[string]any{"year": "x"}},
	} {
		err := loader.New(&lamp{}, nil).AddValue(v.field, v.v).Load()
		require.ErrorContains(t, err, want)
	}
}

// An item goes on where it was: with what it holds, as it comes out of another request's Data.
func TestLoaderGoesOn(t *testing.T) {
	t.Parallel()
	first := &lamp{}
	require.NoError(t, loader.New(first, page(shop), lampFields).AddCSS("name", "h1").AddCSS("price", "p.price").AddCSS("tags", ".a li").Load())
	r := page(shop)
	r.Request = crawl.Get("https://example.com/", crawl.With(first))
	var item lamp
	require.NoError(t, r.Data(&item))
	item.Raw = nil // null
	require.NoError(t, loader.New(&item, r, lampFields).AddCSS("name", "h2").AddCSS("tags", ".b li").AddCSS("price", "footer b").Load())
	require.Equal(t, lamp{Name: "A brass lamp", Price: 1045, Tags: []string{"brass", "light", "new"}}, item)

	m := map[string]any{"a": "1", "b": list{"x"}}
	require.NoError(t, loader.New(m, nil).AddValue("b", "y").ReplaceValue("a", "2").Load())
	require.Equal(t, map[string]any{"a": list{"2"}, "b": list{"x", "y"}}, m)
	var none map[string]any
	require.NoError(t, loader.New(&none, nil).AddValue("b", "y").Load())
	require.Equal(t, map[string]any{"b": list{"y"}}, none)
}

// TestLoaderHolds has fields of every kind that hold something already, and are converted from what they hold.
func TestLoaderHolds(t *testing.T) {
	t.Parallel()
	type held struct {
		Name  *string         `json:"name"`
		Price *float64        `json:"price"`
		On    *bool           `json:"on"`
		Bytes []byte          `json:"bytes"`
		Raw   json.RawMessage `json:"raw"`
		Link  *url.URL        `json:"link"`
		Seen  *time.Time      `json:"seen"`
		Sizes [2]int          `json:"sizes"`
		Stock string          `json:"stock"`
	}
	name, price, on, seen := "a", 1.5, true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	item := held{&name, &price, &on, []byte("x"), json.RawMessage(`{"a":1}`), &url.URL{Path: "/"}, &seen, [2]int{1, 2}, ""}
	want := item
	want.Stock = "3"
	require.NoError(t, loader.New(&item, nil).AddValue("stock", "3").Load())
	require.Equal(t, want, item)

	type plain struct {
		Price float64         `json:"price"`
		Raw   json.RawMessage `json:"raw"`
		Link  *url.URL        `json:"link"`
	}
	var other plain
	require.NoError(t, loader.New(&other, nil).AddValue("price", &price).AddValue("raw", map[string]any{"a": list{1}}).AddValue("link", item.Link).Load())
	require.Equal(t, plain{1.5, json.RawMessage(`{"a":[1]}`), item.Link}, other)
	require.NoError(t, loader.New(&other, nil).ReplaceValue("raw", "words").Load())
	require.JSONEq(t, `"words"`, string(other.Raw))

	var small struct {
		F float32 `json:"f"`
	}
	require.NoError(t, loader.New(&small, nil).AddValue("f", "€ 0.1", loader.ToFloat()).Load())
	require.InDelta(t, 0.1, small.F, 1e-7)
	require.ErrorContains(t, loader.New(&small, nil).ReplaceValue("f", 1e300).Load(), "does not fit into float32")
}

// A null of JSON is nothing, also for functions that take a number.
func TestLoaderNulls(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"offers": [{"price": null}]}`, `{"offers": [{"price": [null]}]}`} {
		r := page(body)
		r.Header = http.Header{"Content-Type": {"application/json"}}
		item := map[string]any{}
		double := func(f float64) float64 { return 2 * f }
		require.NoError(t, loader.New(item, r).AddJSON("a", "offers.0.missing", double).AddJSON("a", "offers.#.price|0", double).AddJSON("b", "offers.#.price", loader.MapCompose(double, strings.TrimSpace)).
			AddValue("c", []error{nil}, loader.Unique()).Load())
		require.Empty(t, item)
	}
}

type ground struct {
	Title string `json:"name"`
}

// Of two fields of one name the one that encoding/json writes is filled.
func TestLoaderOfEmbeddedNames(t *testing.T) {
	t.Parallel()
	var item struct {
		ground
		Name string `json:"name"`
	}
	require.NoError(t, loader.New(&item, nil).AddValue("name", "x").Load())
	require.Equal(t, "x", item.Name)
	require.Empty(t, item.Title)
}

// What cannot be an item or a processor is an error, not a panic.
func TestLoaderOfNothing(t *testing.T) {
	t.Parallel()
	var m map[string]any
	var p *map[string]any
	var f func(string) string
	require.ErrorContains(t, loader.New(m, nil).AddValue("a", 1).Load(), "cannot be filled")
	require.ErrorContains(t, loader.New(p, nil).AddValue("a", 1).Load(), "cannot be filled")
	require.ErrorContains(t, loader.New(&lamp{}, nil).AddValue("name", "a", f).Load(), "it is a nil func(string) string")
	fields := loader.Fields{"tags": {Out: loader.MapCompose(func(string) (string, bool) { return "", false }), Required: true}}
	require.ErrorContains(t, loader.New(map[string]any{}, nil, fields).AddValue("tags", "a").Load(), "nothing was found")
}

func TestLoaderErrors(t *testing.T) {
	t.Parallel()
	item := &lamp{}
	l := loader.New(item, page("<h1>x</h1><p>45 - 60</p>"), lampFields).AddCSS("price", "p").AddCSS("subject", "h1").AddCSS("tag", "h1").AddCSS("name", "h1", strconv.Atoi)
	l.AddValue("url", "http://[bad/").AddValue("small", "x").AddValue("on", true)
	err := l.Load()
	require.EqualError(t, err, strings.Join([]string{
		`load lamp.price of https://example.com/shop/: 2 numbers in "45 - 60": a Re before it says which (of "[45 - 60]")`,
		`load lamp.subject of https://example.com/shop/: lamp has no field "subject": there are name, price, tags, url, stock, seen, delay, link, any, raw, sizes, small, on, times, maker, Plain, page`,
		`load lamp.tag of https://example.com/shop/: lamp has no field "tag": did you mean "tags"?`,
		`load lamp.name of https://example.com/shop/: strconv.Atoi: strconv.Atoi: parsing "x": invalid syntax (of "[x]")`,
		`load lamp.url of https://example.com/shop/: resolve "http://[bad/": invalid host`,
	}, "\n")+err.Error()[strings.Index(err.Error(), ": invalid host")+len(": invalid host"):])
	require.ErrorContains(t, err, `load lamp.small of https://example.com/shop/: "x" is no int8`)
	require.NotContains(t, err.Error(), "required", "one error for a field is enough")
	require.EqualError(t, loader.New(item, nil, loader.Fields{"Plain": {Required: true}}).Load(), "load lamp.Plain: nothing was found, and it is required")
	require.True(t, item.On, "what is right is loaded")
	var field *loader.FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "price", field.Field)
	_, err = l.Output("small")
	require.NoError(t, err)

	for want, item := range map[string]any{
		"loader: no item": nil, "an item of type int: it is a pointer to a struct": 7, "an item of type loader_test.lamp cannot be filled": lamp{}, "an item of type *loader_test.lamp cannot be filled": (*lamp)(nil),
	} {
		require.ErrorContains(t, loader.New(item, nil).AddValue("name", "x").Load(), want)
	}
	l = loader.New(item, nil).AddCSS("name", "a").AddJSON("name", "a").AddJMES("name", "a")
	require.Nil(t, l.GetValue("x", strconv.Atoi))
	require.ErrorContains(t, l.Load(), "loader: a selector, and no page to use it on\nloader: a path, and no page to use it on\nloader: an expression, and no page")
	require.ErrorContains(t, l.Load(), `load lamp: strconv.Atoi: strconv.Atoi: parsing "x": invalid syntax (of "x")`)

	r := page(shop)
	require.NoError(t, loader.New(&lamp{}, r).AddCSS("name", "a[").Load())
	require.ErrorContains(t, r.Err(), "a[", "as everywhere")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, lampFields.Check(lamp{}))
	require.NoError(t, lampFields.Check((*lamp)(nil)))
	require.NoError(t, loader.Fields{"anything": {}}.Check(map[string]any{}))
	require.NoError(t, loader.Fields{"Hidden": {}, "Plain": {}, "page": {}}.Check(&lamp{}), "by its name in Go")
	require.EqualError(t, loader.Fields{
		"nam": {}, "price": {In: loader.Re("("), Out: loader.MapCompose(7)}, "": {Out: loader.SelectJMES("a[")}, "tags": {In: loader.ToFloat("x")},
	}.Check(&lamp{}), "loader: field \"\": Out: jmespath \"a[\": SyntaxError: Expected TOKStar, received: TOKEOF\n"+
		"loader: lamp has no field \"nam\": did you mean \"name\"?\n"+
		"loader: field \"price\": In: error parsing regexp: missing closing ): `(`\n"+
		"loader: field \"price\": Out: function 1 of MapCompose: a int is no function\n"+
		"loader: field \"tags\": In: \"x\" does not show how 1234.56 is written")
	require.Error(t, lampFields.Check(7))
}

func BenchmarkLoader(b *testing.B) {
	r := page(shop)
	r.Selectors = new(crawl.Selectors)
	for b.Loop() {
		l := loader.New(&lamp{}, r, lampFields)
		l.AddCSS("name", "h1").AddCSS("price", "p.price").AddCSS("tags", "ul li").AddCSS("url", "footer a::attr(href)")
		if err := l.Load(); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	type Lamp struct {
		Name  string   `json:"name"`
		Price float64  `json:"price"`
		Tags  []string `json:"tags"`
		URL   string   `json:"url"`
	}
	fields := loader.Fields{
		"":      {In: loader.Strip(), Out: loader.TakeFirst()},
		"price": {In: loader.ToFloat(), Out: loader.TakeFirst(), Required: true},
		"tags":  {In: loader.MapCompose(strings.TrimSpace, strings.ToLower), Out: loader.Unique()},
		"url":   {In: loader.AbsoluteURL(), Out: loader.TakeFirst()},
	}
	parse := func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		lamp := &Lamp{}
		l := loader.New(lamp, r, fields)
		l.AddCSS("name", "h1").AddCSS("price", "p.sale").AddCSS("price", "p.price")
		l.NestedCSS("ul.tags").AddCSS("tags", "li")
		l.AddCSS("url", "link[rel=canonical]::attr(href)").AddValue("url", r.URL.String())
		if err := l.Load(); err != nil {
			return err
		}
		out.Item(lamp)
		return nil
	}
	spider := &crawl.Spider{Name: "lamps", StartURLs: []string{"https://example.com/"}, Parse: parse, Verify: func(*crawl.Spider) error { return fields.Check(Lamp{}) }}
	fmt.Println(spider.Validate())

	lamp := &Lamp{}
	err := loader.New(lamp, page(`<h1> A  lamp </h1><p class="price">€ 1,045.00</p><ul class="tags"><li>Brass<li> brass </ul><link rel="canonical" href="/lamp">`), fields).
		AddCSS("name", "h1").AddCSS("price", "p.sale").AddCSS("price", "p.price").AddCSS("tags", "li").AddCSS("url", "link::attr(href)").Load()
	fmt.Printf("%+v %v\n", *lamp, err)
	err = loader.New(&Lamp{}, page("<p>45 or 60</p>"), fields).AddCSS("price", "p").Load()
	fmt.Println(err)
	err = loader.New(&Lamp{}, page("<p>45 or 60</p>"), fields).AddCSS("price", "p.price").Load()
	fmt.Println(err)
	fmt.Println(errors.As(err, new(*loader.FieldError)))
	// Output:
	// <nil>
	// {Name:A lamp Price:1045 Tags:[brass] URL:https://example.com/lamp} <nil>
	// load Lamp.price of https://example.com/shop/: 2 numbers in "45 or 60": a Re before it says which (of "[45 or 60]")
	// load Lamp.price of https://example.com/shop/: nothing was found, and it is required
	// true
}
