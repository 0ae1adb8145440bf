package crawl_test

import (
	"errors"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

const product = `<html><head><base href="/base/"><script type="application/ld+json">{"@type": "Product", "sku": "X-7", "offers": [{"price": 45.5}, {"price": "1,050"}]}</script></head>
<body><h1> A  brass lamp </h1><p class=price>£1,234.50</p><p class=old>1.999,00 €</p><p class=stock>In stock (22 available)</p><p class=empty> </p>
<p class="star-rating Three">x</p><div id=gallery><img src=a.jpg><img src="/b.jpg"><img src="http://[bad/"><img alt=none></div>
<time datetime="2024-05-06T07:08:09+02:00">6 May 2024</time><a class=maker href=maker/1>Maker</a><input name=gift checked><span class=yes>Yes</span><i>90m</i>
<table class=specs><tr><th>Width</th><td>12</td></tr><tr><th>Height</th><td>30</td></tr><tr><td>no name</td></tr></table>
<div class=review><b>Ann</b><em>5</em><p>Good <q>light</q></p><div class=reply><b>Bob</b></div></div>
<div class=review><b>Cid</b><em></em><p>Poor</p></div>
<ul><li>1</li><li></li><li>3</li></ul></body></html>`

type review struct {
	By      string   `css:"> b"`
	Stars   *int     `css:"em"`
	Text    string   `css:"> p" extract:"html"`
	Replies []review `css:"div.reply"`
}

type meta struct {
	Title string `css:"h1"`
}

type fullProduct struct {
	meta
	Nested struct {
		Sku string `css:"script[type='application/ld+json']" gjson:"sku"`
	}
	ID        string             `json:"id"` // no tag of ours
	Price     float64            `css:"p.price"`
	Old       *float32           `css:"p.old" num:"1.234,56"`
	Stock     int                `css:"p.stock" re:"(\\d+) available"`
	Rating    string             `xpath:"//p[has-class('star-rating')]/@class" re:"(\\w+)$"`
	Images    []string           `css:"#gallery img@src" json:"image_urls"`
	Raw       []string           `css:"#gallery img::attr(src)" extract:"raw"`
	Added     time.Time          `css:"time@datetime"`
	Day       time.Time          `css:"time" layout:"02.01.2006|2 Jan 2006" zone:"Europe/Berlin"`
	Maker     url.URL            `css:"a.maker@href"`
	MakerText string             `css:"a.maker@href"`
	MakerID   int                `css:"a.maker@href" re:"\\d+"`
	MakerURL  *url.URL           `css:"a.maker@href"`
	None      *url.URL           `css:"a.none@href"`
	Gift      bool               `css:"input[checked]" extract:"exists"`
	Sold      bool               `css:".sold" extract:"exists"`
	Yes       bool               `css:".yes"`
	For       time.Duration      `css:"i"`
	Specs     map[string]float64 `css:".specs tr" key:"th" value:"td"`
	Reviews   []review           `css:"body > div.review"`
	First     *review            `css:"div.review"`
	NoReview  *review            `css:"div.noreview"`
	Numbers   []int              `css:"li"`
	Empty     string             `css:"p.empty" default:"nothing"`
	Missing   int                `css:"p.nope" default:"7"`
	Count     int                `xpath:"count(//li)"`
	Name      string             `xpath:"string(//h1)"`
	Offers    []struct {
		Price float64 `gjson:"price"`
	} `css:"script[type='application/ld+json']" gjson:"offers"`
	Prices   []float64 `css:"script" jmespath:"offers[].price"`
	Big      big.Int   `css:"p.price" re:"(\\d+)\\."`
	Anything any       `css:"h1"`
	Own      string    `css:":scope" re:"Maker"`
	Both     []string  `css:"h1, a.maker@href"`
	Style    string    `css:"p.star-rating@class"`
	Bytes    []byte    `css:"h1"`
}

func TestExtract(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/p/1", htmlUTF8, product)
	p, err := crawl.Extract[fullProduct](r)
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.Equal(t, "A brass lamp", p.Title)
	require.Equal(t, "X-7", p.Nested.Sku)
	require.Empty(t, p.ID)
	require.Equal(t, 1234.5, p.Price)
	require.Equal(t, float32(1999), *p.Old)
	require.Equal(t, 22, p.Stock)
	require.Equal(t, "Three", p.Rating)
	require.Equal(t, []string{"https://example.com/base/a.jpg", "https://example.com/b.jpg"}, p.Images, "what cannot be put right is left out")
	require.Equal(t, []string{"a.jpg", "/b.jpg", "http://[bad/"}, p.Raw)
	require.True(t, time.Date(2024, 5, 6, 5, 8, 9, 0, time.UTC).Equal(p.Added))
	require.Equal(t, "2024-05-06T00:00:00+02:00", p.Day.Format(time.RFC3339))
	require.Equal(t, "https://example.com/base/maker/1", p.Maker.String())
	require.Equal(t, "https://example.com/base/maker/1", p.MakerText)
	require.Equal(t, 1, p.MakerID)
	require.Equal(t, "https://example.com/base/maker/1", p.MakerURL.String())
	require.Nil(t, p.None)
	require.True(t, p.Gift)
	require.False(t, p.Sold)
	require.True(t, p.Yes)
	require.Equal(t, 90*time.Minute, p.For)
	require.Equal(t, map[string]float64{"Width": 12, "Height": 30}, p.Specs)
	five := 5
	ann := review{By: "Ann", Stars: &five, Text: "Good <q>light</q>", Replies: []review{{By: "Bob"}}}
	require.Equal(t, []review{ann, {By: "Cid", Text: "Poor"}}, p.Reviews)
	require.Equal(t, &ann, p.First)
	require.Nil(t, p.NoReview)
	require.Equal(t, []int{1, 3}, p.Numbers)
	require.Equal(t, "nothing", p.Empty)
	require.Equal(t, 7, p.Missing)
	require.Equal(t, 3, p.Count)
	require.Equal(t, "A brass lamp", p.Name)
	require.Equal(t, 1050.0, p.Offers[1].Price)
	require.Equal(t, []float64{45.5, 1050}, p.Prices)
	require.Equal(t, "234", p.Big.String())
	require.Equal(t, "A brass lamp", p.Anything)
	require.Equal(t, "Maker", p.Own)
	require.Equal(t, []string{"A brass lamp", "https://example.com/base/maker/1"}, p.Both)
	require.Equal(t, "star-rating Three", p.Style)
	require.Equal(t, "A brass lamp", string(p.Bytes))

	pointer, err := crawl.Extract[*meta](r)
	require.NoError(t, err)
	require.Equal(t, &meta{Title: "A brass lamp"}, pointer)
}

func TestExtractRows(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/p/", htmlUTF8, offers)
	type row struct {
		Class string  `css:"@class"`
		Name  string  `css:"th" extract:"required"`
		Price float64 `xpath:"./td[@class='price']"`
		URL   string  `xpath:".//a/@href"`
		Image string  `css:"img@src" extract:"required"`
	}
	rows, err := crawl.ExtractAll[row](r, "tr")
	require.Equal(t, []row{
		{"row first", "Lamp", 1, "https://example.com/lamp", "https://example.com/p/lamp.jpg"},
		{"row", "Vase", 2, "https://example.com/vase", ""},
	}, rows, "what could be filled is there")
	require.EqualError(t, err, `tr, number 2: extract crawl_test.row.Image from https://example.com/p/: nothing was found (css "img@src")`)
	require.ErrorIs(t, err, crawl.ErrMissing)
	var failed *crawl.ExtractError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, crawl.ExtractError{Type: "crawl_test.row", Field: "Image", Selector: `css "img@src"`, URL: "https://example.com/p/", Err: crawl.ErrMissing}, *failed)

	one, err := crawl.Extract[row](r.Select("tr")[0])
	require.NoError(t, err)
	require.Equal(t, rows[0], one)
	_, err = crawl.ExtractAll[row](r, "tr[")
	require.ErrorContains(t, err, `css selector "tr["`)
}

func TestExtractJSON(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/api", "application/json", `{"total": "1,200", "next": "/api?page=2", "items": [
		{"id": 9007199254740993, "name": "lamp", "tags": ["a", "b"], "when": "2024-01-02", "dims": {"w": 1}, "on": true, "none": null},
		null, {"id": 2.0, "name": "", "tags": [], "on": "no", "dims": null}]}`)
	type dims struct {
		W int `json:"w"`
	}
	type item struct {
		ID   int64          `gjson:"id"`
		Name string         `gjson:"name" default:"?"`
		Tags []string       `gjson:"tags"`
		When *time.Time     `gjson:"when"`
		Dims dims           `gjson:"dims"`
		Any  map[string]any `gjson:"dims"`
		Raw  gjson.Result   `gjson:"tags"`
		On   bool           `gjson:"on"`
		None *int           `gjson:"none"`
	}
	type listing struct {
		Total int      `gjson:"total"`
		Next  *url.URL `gjson:"next"`
		Items []item   `gjson:"items"`
		Names []string `jmespath:"items[].name"`
		First string   `gjson:"items.0.name" re:"^.a"`
	}
	l, err := crawl.Extract[listing](r)
	require.NoError(t, err)
	require.Equal(t, 1200, l.Total)
	require.Equal(t, "https://example.com/api?page=2", l.Next.String())
	require.Len(t, l.Items, 2)
	require.Equal(t, int64(9007199254740993), l.Items[0].ID, "no digit is lost")
	require.Equal(t, []string{"a", "b"}, l.Items[0].Tags)
	require.Equal(t, 2024, l.Items[0].When.Year())
	require.Equal(t, 1, l.Items[0].Dims.W)
	require.Equal(t, map[string]any{"w": 1.0}, l.Items[0].Any)
	require.Equal(t, `["a", "b"]`, l.Items[0].Raw.Raw)
	require.True(t, l.Items[0].On)
	require.Nil(t, l.Items[0].None)
	require.Equal(t, int64(2), l.Items[1].ID)
	require.Equal(t, "?", l.Items[1].Name)
	require.Equal(t, []string{"lamp"}, l.Names)
	require.Equal(t, "la", l.First)
	require.NoError(t, r.Err())

	_, err = crawl.Extract[listing](page(t, "https://example.com/api", htmlUTF8, "<html>"))
	require.ErrorContains(t, err, "page is HTML, not JSON")
	require.Equal(t, 1, strings.Count(err.Error(), "not JSON"), "once, not for each field")
}

// A page that cannot be read says so even if no field is required.
func TestExtractNoPage(t *testing.T) {
	t.Parallel()
	_, err := crawl.Extract[meta](page(t, "http://h/", htmlUTF8, "\x89PNG\r\n\x1a\n0000"))
	require.EqualError(t, err, "extract crawl_test.meta from http://h/: page is image/png, not HTML")
	m, err := crawl.Extract[meta](page(t, "http://h/", "text/xml", "<a>\n<h1>T</h1>"))
	require.Equal(t, "T", m.Title)
	require.EqualError(t, err, "extract crawl_test.meta from http://h/: xml line 2: the document ends inside <a>")
	for _, nothing := range []crawl.Node{{}, {Attribute: "x"}} {
		_, err = crawl.Extract[struct {
			A string `css:"a"`
			B string `xpath:"a"`
			C string `gjson:"a"`
			D string `css:":scope"`
		}](nothing)
		require.NoError(t, err)
	}
	lamp, err := crawl.Extract[struct {
		Name string `gjson:"name"`
	}](page(t, "http://h/", htmlUTF8, `<p data-x='{"name": "lamp"}'>`).Select("p::attr(data-x)")[0])
	require.NoError(t, err)
	require.Equal(t, "lamp", lamp.Name)
}

// What XMLNodes yields is a source too, with names as they are written.
func TestExtractXML(t *testing.T) {
	t.Parallel()
	type entry struct {
		Title string `css:"title" extract:"required"`
		Image string `css:"media|content@url" extract:"abs"`
		Kind  string `xpath:"media:content/@medium"`
		Built string `css:"lastBuildDate"`
		Link  string `css:"link@href"`
		Text  string `css:"link"`
	}
	r := page(t, "https://example.com/feed/", "application/atom+xml", atom)
	want := []entry{{"A & B", "https://example.com/a.jpg", "image", "now", "https://example.com/a", ""}, {"<i>C</i>", "https://example.com/c.jpg", "", "", "", "/c"}}
	all, err := crawl.ExtractAll[entry](r, "entry")
	require.NoError(t, err)
	require.Equal(t, want, all)
	var streamed []entry
	for n, err := range r.XMLNodes("entry") {
		require.NoError(t, err)
		e, err := crawl.Extract[entry](n)
		require.NoError(t, err)
		streamed = append(streamed, e)
	}
	require.Equal(t, want, streamed)
}

func TestExtractErrors(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/p/1", htmlUTF8, product)
	type inner struct {
		Deep int `css:"q"`
	}
	type bad struct {
		Title   string    `css:"h1"`
		Price   int       `css:"p.price"`
		Old     float64   `css:"p.old"`
		Stock   uint8     `css:"p.stock"`
		Added   time.Time `css:"time"`
		Yes     bool      `css:"h1"`
		Reviews []inner   `css:"div.review"`
		None    string    `css:"h7" extract:"required"`
		Empty   string    `css:"p.empty" extract:"required"`
		Link    url.URL   `css:"#gallery img:nth-child(3)@src"`
		LinkToo string    `css:"#gallery img:nth-child(3)@src"`
		Script  string    `css:"h1" gjson:"a"`
		Huge    int8      `xpath:"'300'"`
		Below   uint      `xpath:"'-3'"`
	}
	v, err := crawl.Extract[bad](r)
	require.Equal(t, "A brass lamp", v.Title)
	for _, want := range []string{
		`bad.Price from https://example.com/p/1: "£1,234.50" is not a whole number (css "p.price")`,
		`bad.Old from https://example.com/p/1: "1.999,00 €" is not a number: ',' follows the decimal sign`,
		`bad.Stock from https://example.com/p/1: "In stock (22 available)" is not a number: take what is meant out of it by a re tag`,
		`bad.Added from https://example.com/p/1: "6 May 2024" is not a time that is known without a layout tag`,
		`bad.Yes from https://example.com/p/1: "A brass lamp" is neither true nor false`,
		`bad.Reviews[0].Deep from https://example.com/p/1: "light" is not a number`,
		`bad.None from https://example.com/p/1: nothing was found (css "h7")`,
		`bad.Empty from https://example.com/p/1: nothing was found`,
		`bad.Link from https://example.com/p/1: "http://[bad/" is no address`,
		`bad.LinkToo from https://example.com/p/1: "http://[bad/" is no address`,
		`bad.Script from https://example.com/p/1: not JSON`,
		`bad.Huge from https://example.com/p/1: "300" does not fit into int8`,
		`bad.Below from https://example.com/p/1: "-3" is below zero, which uint is not`,
	} {
		require.ErrorContains(t, err, want)
	}
	var all interface{ Unwrap() []error }
	require.True(t, errors.As(err, &all))
	require.Len(t, all.Unwrap(), 13)
}

func TestCheckItems(t *testing.T) {
	t.Parallel()
	type fine struct {
		A string `css:"a"`
	}
	type untagged struct{ A string }
	require.NoError(t, crawl.CheckItems([]any{fine{}, &fine{}, []fine{}, map[string]any{}, 1, fullProduct{}}))
	require.EqualError(t, crawl.CheckItems([]any{fine{}, nil}), "number 2 is nil: want an example such as Book{}")
	require.NoError(t, crawl.CheckItems([]any{untagged{}}), "items that nobody extracts")

	type inner struct {
		Price int `css:"p["`
	}
	for want, item := range map[string]any{
		`bad.A: tag css selector "p[": at character 3: expected ']', found the end`: func() any {
			type bad struct {
				A string `css:"p["`
			}
			return bad{}
		}(),
		`bad.A.Price: tag css selector "p["`: func() any {
			type bad struct {
				A []*inner `css:"div"`
			}
			return &bad{}
		}(),
		`bad.A: tag xpath "//[": `: func() any {
			type bad struct {
				A string `xpath:"//["`
			}
			return bad{}
		}(),
		`bad.A: tag xpath "sum('x')": at character 5: sum() needs an expression that gives nodes`: func() any {
			type bad struct {
				A string `xpath:"sum('x')"`
			}
			return bad{}
		}(),
		`bad.A: tag regular expression "(": error parsing regexp`: func() any {
			type bad struct {
				A string `css:"a" re:"("`
			}
			return bad{}
		}(),
		`bad.A: tag jmespath "a[": at character`: func() any {
			type bad struct {
				A string `jmespath:"a["`
			}
			return bad{}
		}(),
		`bad.a: the field is not exported`: func() any {
			type bad struct {
				a string `css:"a"` //nolint:unused // that is what is wrong with it
			}
			return bad{}
		}(),
		`bad.A: tag css is empty`: func() any {
			type bad struct {
				A string `css:""`
			}
			return bad{}
		}(),
		`bad.A: tags css and xpath do not go together`: func() any {
			type bad struct {
				A string `css:"a" xpath:"//a"`
			}
			return bad{}
		}(),
		`bad.A: a field of type chan int cannot be filled`: func() any {
			type bad struct {
				A chan int `css:"a"`
			}
			return bad{}
		}(),
		`bad.A: tag extract:"requird": unknown option "requird"`: func() any {
			type bad struct {
				A string `css:"a" extract:"requird"`
			}
			return bad{}
		}(),
		`bad.A: tag default:"x": "x" is not a number`: func() any {
			type bad struct {
				A int `css:"a" default:"x"`
			}
			return bad{}
		}(),
		`bad.A: a field that has a default is never missing`: func() any {
			type bad struct {
				A int `css:"a" default:"1" extract:"required"`
			}
			return bad{}
		}(),
		`bad.A: tag num:"1.234": "1.234" does not tell the decimal sign`: func() any {
			type bad struct {
				A int `css:"a" num:"1.234"`
			}
			return bad{}
		}(),
		`bad.A: tag zone:"Nowhere": unknown time zone Nowhere`: func() any {
			type bad struct {
				A time.Time `css:"a" zone:"Nowhere"`
			}
			return bad{}
		}(),
		`bad.A: option exists is for a bool, not for string`: func() any {
			type bad struct {
				A string `css:"a" extract:"exists"`
			}
			return bad{}
		}(),
		`bad.A: a map needs both tags: key and value`: func() any {
			type bad struct {
				A map[string]string `css:"a" key:"b"`
			}
			return bad{}
		}(),
		`bad.A: a field of type map[string]string cannot be filled`: func() any {
			type bad struct {
				A map[string]string `css:"a"`
			}
			return bad{}
		}(),
		`bad.A.B: tag css:"b": the struct is filled from JSON, which has no elements`: func() any {
			type bad struct {
				A struct {
					B string `css:"b"`
				} `gjson:"a"`
			}
			return bad{}
		}(),
		`is filled by the tags of its own fields`: func() any {
			type bad struct {
				A fine `css:"a@href"`
			}
			return bad{}
		}(),
		`crawl_test.untagged has no field with a css, xpath, gjson or jmespath tag`: func() any {
			type bad struct {
				A untagged `css:"a"`
			}
			return bad{}
		}(),
	} {
		err := crawl.CheckItems([]any{fine{}, item})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "crawl_test.")
	}
	for tag, want := range map[reflect.StructTag]string{
		`css="a"`:                  "tag `css=\"a\"` is not written as name:\"…\"",
		`css:a`:                    "tag `css:a` is not written as name",
		`css`:                      "tag `css` is not written as name",
		`css:"a" re:"\d+"`:         "tag `re:\"\\d+\"` is not a string of Go: in a tag, a backslash is written twice",
		`json:"a" xpath:"\p"`:      "tag `xpath:\"\\p\"` is not a string of Go",
		`json:"a" css:"a`:          "tag `css:\"a` is not closed",
		`css:"a",extract:"raw"`:    "is not written as name",
		`extract:"raw", gjson:"a"`: "is not written as name",
	} {
		malformed := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})
		require.ErrorContains(t, crawl.CheckItems([]any{reflect.Zero(malformed).Interface()}), want, tag)
	}
	for _, tag := range []reflect.StructTag{`csspath=1`, `json:"css"`, `odd`, `cssx:"\d"`} {
		others := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})
		require.NoError(t, crawl.CheckItems([]any{reflect.Zero(others).Interface()}), tag)
	}
	spider := &crawl.Spider{Name: "s", StartURLs: []string{"http://h/"}, Parse: nil, Items: []any{inner{}}}
	require.ErrorContains(t, spider.Validate(), `spider s: items: crawl_test.inner.Price: tag css selector "p["`)
	_, err := crawl.Extract[inner](page(t, "http://h/", htmlUTF8, ""))
	require.ErrorContains(t, err, `crawl_test.inner.Price: tag css selector "p["`)
	_, err = crawl.Extract[untagged](page(t, "http://h/", htmlUTF8, ""))
	require.ErrorContains(t, err, "has no field with")
	_, err = crawl.Extract[int](page(t, "http://h/", htmlUTF8, ""))
	require.ErrorContains(t, err, "extract int: want a struct")
}

type itself struct {
	Again *itself `xpath:"//p"`
}

type itselves struct {
	Again []itselves `xpath:"//p"`
}

type same struct {
	Again *same `gjson:"@this"`
}

type thread struct {
	By      string   `css:"> b"`
	Replies []thread `css:"> div"`
	Count   int      `xpath:"count(.//div)"`
}

// A type whose selector does not go down comes to an end, and says so.
func TestExtractWithinItself(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, "<p>1<p>2<p>3")
	_, err := crawl.Extract[itself](r)
	require.ErrorContains(t, err, "itself.Again.Again from http://h/: the selector of a type within itself does not go down")
	_, err = crawl.Extract[itselves](r)
	require.ErrorContains(t, err, "itselves.Again[2].Again from http://h/: the selector of a type within itself does not go down")
	_, err = crawl.Extract[same](page(t, "http://h/", "application/json", `{"a": 1}`))
	require.ErrorContains(t, err, "does not go down")

	deep := page(t, "http://h/", htmlUTF8, strings.Repeat("<div><b>x</b>", 22))
	got, err := crawl.Extract[thread](deep.Select("div")[0])
	require.NoError(t, err)
	require.Equal(t, 21, got.Count)
	require.Equal(t, 20, got.Replies[0].Count)
}

func TestExtractNumbers(t *testing.T) {
	t.Parallel()
	type usual struct {
		N float64 `css:"p"`
	}
	type comma struct {
		N float64 `css:"p" num:"1.234,56"`
	}
	type swiss struct {
		N float64 `css:"p" num:"1'234.56"`
	}
	type short struct {
		N float64 `css:"p" num:"1,5"`
	}
	usually := func(r *crawl.Response) (float64, error) { v, err := crawl.Extract[usual](r); return v.N, err }
	commas := func(r *crawl.Response) (float64, error) { v, err := crawl.Extract[comma](r); return v.N, err }
	swissly := func(r *crawl.Response) (float64, error) { v, err := crawl.Extract[swiss](r); return v.N, err }
	shortly := func(r *crawl.Response) (float64, error) { v, err := crawl.Extract[short](r); return v.N, err }
	for _, c := range []struct {
		text string
		read func(*crawl.Response) (float64, error)
		want float64
		fail bool
	}{
		{"12", usually, 12, false}, {"£ 51.77", usually, 51.77, false}, {"-€1,234,567.5", usually, -1234567.5, false}, {"€ -5", usually, -5, false}, {"−5", usually, -5, false},
		{"+7", usually, 7, false}, {"50 %", usually, 50, false}, {".5", usually, .5, false}, {"1 234 567", usually, 1234567, false}, {"1'234.5", usually, 1234.5, false},
		{"12,34,567", usually, 1234567, false}, {"12,50", usually, 0, true}, {"1,2345", usually, 0, true}, {"1234,567", usually, 0, true}, {"1,,234", usually, 0, true},
		{"1,234 567", usually, 0, true}, {"1.2.3", usually, 0, true}, {"5.", usually, 0, true}, {"3 for 10", usually, 0, true}, {"EUR 5", usually, 0, true}, {"--5", usually, 0, true},
		{"€", usually, 0, true}, {"-", usually, 0, true}, {",123", usually, 0, true}, {"1e5", usually, 0, true}, {"0x10", usually, 0, true}, {"NaN", usually, 0, true},
		{"1.234,50 €", commas, 1234.5, false}, {"12,5", commas, 12.5, false}, {"1.234", commas, 1234, false}, {"1.5", commas, 0, true}, {"1,234.50", commas, 0, true},
		{"1'234.50", swissly, 1234.5, false}, {"1’234.50", swissly, 1234.5, false}, {"1 234.5", swissly, 1234.5, false}, {"1,234", swissly, 0, true},
		{"1.234,5", shortly, 1234.5, false}, {"2,5", shortly, 2.5, false},
	} {
		got, err := c.read(page(t, "http://h/", htmlUTF8, "<p>"+c.text))
		require.Equal(t, c.want, got, c.text)
		require.Equal(t, c.fail, err != nil, "%s: %v", c.text, err)
	}
}
