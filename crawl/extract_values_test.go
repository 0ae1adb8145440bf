package crawl_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// Names of zones are those of mail: what time.Parse makes of others is UTC, and so hours off.
func TestExtractNamedZones(t *testing.T) {
	t.Parallel()
	type event struct {
		At time.Time `css:"time"`
	}
	type here struct {
		At time.Time `css:"time" zone:"America/New_York"`
	}
	type own struct {
		At time.Time `css:"time" layout:"2006-01-02 15:04 MST|2006-01-02 15:04 -0700 MST"`
	}
	at := func(text string) *crawl.Response { return page(t, "http://h/", htmlUTF8, "<time>"+text) }
	for text, want := range map[string]string{
		"Tue, 10 Nov 2026 12:00:00 EST":       "2026-11-10T17:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 EDT":       "2026-11-10T16:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 CST":       "2026-11-10T18:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 MDT":       "2026-11-10T18:00:00Z",
		"Tue, 3 Nov 2026 12:00:00 PST":        "2026-11-03T20:00:00Z",
		"Tuesday, 10-Nov-26 12:00:00 PDT":     "2026-11-10T19:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 GMT":       "2026-11-10T12:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 UT":        "2026-11-10T12:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 UTC":       "2026-11-10T12:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 GMT+2":     "2026-11-10T10:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 +0000":     "2026-11-10T12:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 +03":       "2026-11-10T09:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 -0500":     "2026-11-10T17:00:00Z",
		"2026-11-10T12:00:00+01:00":           "2026-11-10T11:00:00Z",
		"Tue, 10 Nov 2026 12:00:00 CET":       "",
		"Tue, 10 Nov 2026 12:00:00 IST":       "",
		"Tue, 10 Nov 2026 12:00:00 NOWHERE":   "",
		"Sometime, 10 Nov 2026 12:00:00 NOTZ": "",
	} {
		v, err := crawl.Extract[event](at(text))
		if want == "" {
			require.Error(t, err, text)
			require.Zero(t, v.At, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, v.At.UTC().Format(time.RFC3339), text)
	}
	_, err := crawl.Extract[event](at("Tue, 10 Nov 2026 12:00:00 CET"))
	require.ErrorContains(t, err, `zone CET is not known`)

	v, err := crawl.Extract[here](at("Tue, 10 Nov 2026 12:00:00 EST"))
	require.NoError(t, err)
	require.Equal(t, "2026-11-10T12:00:00-05:00", v.At.Format(time.RFC3339), "what the tag's zone has is its own")
	for text, want := range map[string]string{"2026-11-10 12:00 PST": "2026-11-10T20:00:00Z", "2026-11-10 12:00 +0000 WET": "2026-11-10T12:00:00Z"} {
		v, err := crawl.Extract[own](at(text))
		require.NoError(t, err)
		require.Equal(t, want, v.At.UTC().Format(time.RFC3339), text)
	}
}

// A number in JSON is as it is written there.
func TestExtractJSONNumbers(t *testing.T) {
	t.Parallel()
	type numbers struct {
		Price  string      `gjson:"price"`
		ID     string      `gjson:"id"`
		Long   string      `gjson:"long"`
		Tail   string      `gjson:"price" re:"0$"`
		List   []string    `gjson:"list"`
		Int    int64       `gjson:"int"`
		Exact  json.Number `gjson:"price"`
		Quoted json.Number `gjson:"quoted"`
	}
	const body = `{"price": 19.90, "id": 1234567890123456789012, "long": 1.12345678901234567890, "list": [1.10, "b"], "int": 9007199254740993, "quoted": "£1,234.50", "huge": 1e400}`
	r := page(t, "http://h/", "application/json", body)
	got, err := crawl.Extract[numbers](r)
	require.NoError(t, err)
	require.Equal(t, numbers{
		Price: "19.90", ID: "1234567890123456789012", Long: "1.12345678901234567890", Tail: "0", List: []string{"1.10", "b"}, Int: 9007199254740993,
		Exact: "19.90", Quoted: "1234.50",
	}, got)
	_, err = crawl.Extract[struct {
		Huge float64 `gjson:"huge"`
	}](r)
	require.ErrorContains(t, err, `"1e400" does not fit into float64`)

	type found struct {
		N json.Number `css:"i" num:"1.234,56"`
	}
	for text, want := range map[string]string{"19,50 €": "19.50", "007": "7", "-0,50": "-0.50", "0": "0", "000": "0", "1.234": "1234", ",5": "0.5"} {
		got, err := crawl.Extract[found](page(t, "http://h/", htmlUTF8, "<i>"+text))
		require.NoError(t, err, text)
		require.Equal(t, json.Number(want), got.N, text)
		b, err := json.Marshal(got)
		require.NoError(t, err, text)
		require.JSONEq(t, `{"N": `+want+`}`, string(b))
	}
	got2, err := crawl.Extract[found](page(t, "http://h/", htmlUTF8, "<i>cheap"))
	require.ErrorContains(t, err, `"cheap" is not a number`)
	require.Empty(t, got2.N)
}

// What is wrong with one element is no reason to leave out the others.
func TestExtractListsGoOn(t *testing.T) {
	t.Parallel()
	type item struct {
		Prices []float64      `css:"i"`
		Stock  map[string]int `css:"tr" key:"th" value:"td"`
		Names  []string       `css:"script" gjson:"name"`
		Kids   []struct {
			N int `gjson:"n"`
		} `css:"pre" gjson:"kids"`
	}
	const body = `<i>1</i><i>two</i><i></i><i>3</i><i>four</i><table><tr><th>a<td>1<tr><th>b<td>none<tr><th>c<td>3</table>
		<script>{"name": "x"}</script><script>{bad}</script><script>{"name": "z"}</script><pre>{"kids": [{"n": 1}, 7, {"n": 3}]}</pre>`
	got, err := crawl.Extract[item](page(t, "http://h/", htmlUTF8, body))
	require.Equal(t, []float64{1, 3}, got.Prices)
	require.Equal(t, map[string]int{"a": 1, "c": 3}, got.Stock)
	require.Equal(t, []string{"x", "z"}, got.Names)
	require.Len(t, got.Kids, 2)
	for _, want := range []string{
		`item.Prices from http://h/: number 2: "two" is not a number`, `item.Prices from http://h/: number 4: "four" is not a number`,
		`item.Stock from http://h/: number 2: "b": "none" is not a number`, `item.Names from http://h/: number 2: not JSON`, `item.Kids from http://h/: number 2: "7" is not an object`,
	} {
		require.ErrorContains(t, err, want)
	}

	r := page(t, "http://h/", htmlUTF8, strings.Repeat("<i>x</i>", 10_000)+"<i>1</i>")
	many, err := crawl.Extract[struct {
		N []int `css:"i"`
	}](r)
	require.Equal(t, []int{1}, many.N)
	require.ErrorContains(t, err, "9900 more are wrong")
	require.Equal(t, 101, strings.Count(err.Error(), "http://h/"))
}

func TestExtractSrcset(t *testing.T) {
	t.Parallel()
	const body = `<img srcset="a.jpg 1x, /b,c.jpg 2x ,d.jpg, http://[bad/ 3x, //cdn/e.jpg 100w"><img data-srcset="f.jpg">`
	got, err := crawl.Extract[struct {
		Abs []string `css:"img@srcset, img@data-srcset" extract:"abs"`
		Raw string   `css:"img@srcset"`
	}](page(t, "http://h/dir/", htmlUTF8, body))
	require.NoError(t, err)
	require.Equal(t, []string{"http://h/dir/a.jpg 1x, http://h/b,c.jpg 2x, http://h/dir/d.jpg, http://cdn/e.jpg 100w", "http://h/dir/f.jpg"}, got.Abs)
	require.Equal(t, "a.jpg 1x, /b,c.jpg 2x ,d.jpg, http://[bad/ 3x, //cdn/e.jpg 100w", got.Raw)
}

type Named struct {
	Name string `css:"h1"`
}

type hiddenName struct {
	Name string `css:"h1"`
}

type Loop struct {
	*Loop
	Name string `css:"h1"`
}

type (
	Around struct{ *Within }
	Within struct {
		*Around
		Name string `css:"h1"`
	}
)

func TestExtractEmbeddedPointer(t *testing.T) {
	t.Parallel()
	type item struct {
		*Named
		Sub string `css:"h2"`
	}
	r := page(t, "http://h/", htmlUTF8, "<h1>T</h1><h2>S</h2>")
	got, err := crawl.Extract[item](r)
	require.NoError(t, err)
	require.Equal(t, item{Named: &Named{"T"}, Sub: "S"}, got)
	require.NoError(t, crawl.CheckItems([]any{item{}}))

	only, err := crawl.Extract[struct{ *Named }](r)
	require.NoError(t, err)
	require.Equal(t, "T", only.Name)

	type unexported struct {
		*hiddenName
		Sub string `css:"h2"`
	}
	require.ErrorContains(t, crawl.CheckItems([]any{unexported{}}), "a pointer to crawl_test.hiddenName, which is not exported, cannot be filled")
	require.ErrorContains(t, crawl.CheckItems([]any{Loop{}}), "crawl_test.Loop is embedded in itself")
	require.ErrorContains(t, crawl.CheckItems([]any{Around{}}), "is embedded in itself")
}

// A tag that is nearly one of ours would be passed over in silence.
func TestMisspeltTags(t *testing.T) {
	t.Parallel()
	for tag, want := range map[reflect.StructTag]string{
		`css:"a" Extract:"required"`:    `unknown tag Extract: did you mean extract:"required"?`,
		`css:"a" extrat:"abs"`:          `did you mean extract:"abs"?`,
		`css:"a" defalt:"x"`:            `did you mean default:"x"?`,
		`css:"a" Re:"x"`:                `did you mean re:"x"?`,
		`json:"a" CSS:"a"`:              `unknown tag CSS: did you mean css:"a"?`,
		`Xpath:"//a"`:                   `did you mean xpath:"//a"?`,
		`jmespaht:"a"`:                  `did you mean jmespath:"a"?`,
		`json:"x" gjsn:"a"`:             `did you mean gjson:"a"?`,
		`json:"x" db:"y" Gjson:"a.\"b"`: `did you mean gjson:"a.\"b"?`,
	} {
		for _, other := range []reflect.StructTag{`css:"b"`, `json:"b"`} {
			item := reflect.StructOf([]reflect.StructField{
				{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}, {Name: "B", Type: reflect.TypeFor[string](), Tag: other},
			})
			err := crawl.CheckItems([]any{reflect.Zero(item).Interface()})
			require.ErrorContains(t, err, ".A: unknown tag ", "%s beside %s", tag, other)
			require.ErrorContains(t, err, want, "%s beside %s", tag, other)
		}
	}
	for _, tag := range []reflect.StructTag{
		`css:"a" json:"a" xml:"a" yaml:"a" csv:"a" db:"a" bson:"a" form:"a" path:"a" validate:"required" enum:"a" required:"true" label:"x" layer:"1" extra:"x" note:"y"`,
		`json:"a" path:"/x" Default:"x" csv:"a" required:"true"`,
	} {
		item := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})
		require.NoError(t, crawl.CheckItems([]any{reflect.Zero(item).Interface()}), tag)
	}
}
