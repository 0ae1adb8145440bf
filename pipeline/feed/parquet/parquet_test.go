package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spool is what the feed keeps of items.
func spool(t require.TestingT, feed crawl.Feed, items ...any) [][]byte {
	enc, err := Format(feed)
	require.NoError(t, err)
	var first any
	if len(items) > 0 {
		first = items[0]
	}
	head, err := enc.Begin(first)
	require.NoError(t, err)
	list := [][]byte{head}
	for _, item := range items {
		record, err := enc.Record(nil, item)
		require.NoError(t, err)
		list = append(list, record)
	}
	return list
}

func each(list [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, b := range list {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// build makes a file of items, as another process would.
func build(t require.TestingT, feed crawl.Feed, items ...any) ([]byte, *observer.ObservedLogs) {
	return buildWith(t, Options{}, feed, items...)
}

func buildWith(t require.TestingT, o Options, feed crawl.Feed, items ...any) ([]byte, *observer.ObservedLogs) {
	list := spool(t, feed, items...)
	enc, err := o.Format(feed)
	require.NoError(t, err)
	core, logs := observer.New(zap.WarnLevel)
	require.NoError(t, enc.(crawl.FeedPreparer).Prepare(&crawl.Env{Log: zap.New(core)}))
	var out bytes.Buffer
	require.NoError(t, enc.(crawl.FeedBuilder).Build(&out, each(list)))
	return out.Bytes(), logs
}

// back reads a file into items whose fields have parquet tags.
func back[T any](t require.TestingT, file []byte) []T {
	list, err := parquet.Read[T](bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return list
}

func schemaOf(t require.TestingT, file []byte) string {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return f.Schema().String()
}

// Dated is embedded.
type Dated struct {
	Seen string `json:"seen,omitempty" parquet:"seen,optional"`
}

type size struct {
	Width int32  `json:"w" parquet:"w"`
	Unit  string `json:"u,omitempty" parquet:"u,optional"`
}

type node4 struct {
	Name string
	Next *node4
}

type all struct {
	*Dated   `parquet:"-"`
	Name     string             `json:"name" parquet:"name"`
	Maybe    *string            `json:"maybe" parquet:"maybe,optional"`
	Small    int8               `json:"small" parquet:"small"`
	Whole    int64              `json:"whole" parquet:"whole"`
	Byte     uint8              `json:"byte" parquet:"byte"`
	Large    uint64             `json:"large" parquet:"large"`
	Real     float64            `json:"real" parquet:"real"`
	Short    float32            `json:"short" parquet:"short"`
	Flag     bool               `json:"flag" parquet:"flag"`
	Perhaps  *int               `json:"perhaps,omitempty" parquet:"perhaps,optional"`
	Quoted   int                `json:"quoted,string" parquet:"quoted"`
	When     time.Time          `json:"when" parquet:"when,timestamp(microsecond)"`
	Blob     []byte             `json:"blob" parquet:"blob,optional"`
	Words    []string           `json:"words" parquet:"words,optional,list"`
	Sizes    []size             `json:"sizes" parquet:"sizes,optional,list"`
	Grid     [][]int64          `json:"grid" parquet:"-"`
	Prices   map[string]float64 `json:"prices" parquet:"prices,optional"`
	Size     size               `json:"size" parquet:"size"`
	Pointer  *size              `json:"pointer" parquet:"pointer,optional"`
	Any      any                `json:"any" parquet:"-"`
	Raw      json.RawMessage    `json:"raw" parquet:"raw,optional,json"`
	Huge     *big.Int           `json:"huge" parquet:"-"`
	Exact    json.Number        `json:"exact" parquet:"-"`
	Endless  *node4             `json:"endless" parquet:"-"`
	Empty    struct{}           `json:"empty" parquet:"-"`
	Three    [3]int             `json:"three" parquet:"-"`
	Secret   string             `json:"-" parquet:"-"`
	Fraction []*float64         `json:"fraction" parquet:"-"`
}

// rest are the columns that the library has no tags for.
type rest struct {
	Seen  *string `parquet:"seen,optional"`
	Any   *string `parquet:"any,optional,json"`
	Huge  *string `parquet:"huge,optional,json"`
	Exact string  `parquet:"exact"`
	Self  *struct {
		Name string
		Next *string `parquet:"Next,optional,json"`
	} `parquet:"endless,optional"`
	Empty string `parquet:"empty,json"`
	Three []int  `parquet:"three,list"`
}

func TestSchema(t *testing.T) {
	t.Parallel()
	file, _ := build(t, crawl.Feed{Items: []any{&all{}}})
	require.Equal(t, strings.TrimSpace(`
message item {
	optional binary seen (STRING);
	required binary name (STRING);
	optional binary maybe (STRING);
	required int32 small (INT(8,true));
	required int64 whole (INT(64,true));
	required int32 byte (INT(8,false));
	required int64 large (INT(64,false));
	required double real;
	required float short;
	required boolean flag;
	optional int64 perhaps (INT(64,true));
	required int64 quoted (INT(64,true));
	required int64 when (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	optional binary blob;
	optional group words (LIST) {
		repeated group list {
			required binary element (STRING);
		}
	}
	optional group sizes (LIST) {
		repeated group list {
			required group element {
				required int32 w (INT(32,true));
				optional binary u (STRING);
			}
		}
	}
	optional group grid (LIST) {
		repeated group list {
			optional group element (LIST) {
				repeated group list {
					required int64 element (INT(64,true));
				}
			}
		}
	}
	optional group prices (MAP) {
		repeated group key_value {
			required binary key (STRING);
			required double value;
		}
	}
	required group size {
		required int32 w (INT(32,true));
		optional binary u (STRING);
	}
	optional group pointer {
		required int32 w (INT(32,true));
		optional binary u (STRING);
	}
	optional binary any (JSON);
	optional binary raw (JSON);
	optional binary huge (JSON);
	required binary exact (STRING);
	optional group endless {
		required binary Name (STRING);
		optional binary Next (JSON);
	}
	required binary empty (JSON);
	required group three (LIST) {
		repeated group list {
			required int64 element (INT(64,true));
		}
	}
	optional group fraction (LIST) {
		repeated group list {
			optional double element;
		}
	}
}`), schemaOf(t, file))
	require.Empty(t, back[all](t, file), "no items, and yet the columns are there")
}

// TestBack writes items of every kind of field, and reads them back.
func TestBack(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", `"`, "null", "{}", "\x00", "a,b", "\u2028<&>"}))
	sizes := rapid.Custom(func(t *rapid.T) size { return size{rapid.Int32().Draw(t, "w"), text.Draw(t, "u")} })
	reals := rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) })
	rapid.Check(t, func(t *rapid.T) {
		draw := func() *all {
			a := &all{
				Name: text.Draw(t, "name"), Small: rapid.Int8().Draw(t, "small"), Whole: rapid.Int64().Draw(t, "whole"), Byte: rapid.Uint8().Draw(t, "byte"),
				Large: rapid.Uint64().Draw(t, "large"), Real: reals.Draw(t, "real"), Short: rapid.Float32Range(-1e9, 1e9).Draw(t, "short"), Flag: rapid.Bool().Draw(t, "flag"),
				Quoted: rapid.Int().Draw(t, "quoted"), When: time.UnixMicro(rapid.Int64Range(-8e15, 8e15).Draw(t, "when")).UTC(),
				Words: rapid.SampledFrom([][]string{nil, {}, {"a"}, {"", "b", ""}}).Draw(t, "words"), Sizes: rapid.SliceOfN(sizes, 0, 3).Draw(t, "sizes"),
				Grid: rapid.SliceOfN(rapid.SliceOfN(rapid.Int64(), 0, 2), 0, 3).Draw(t, "grid"), Size: sizes.Draw(t, "size"),
				Blob:   rapid.SampledFrom([][]byte{nil, {}, {0, 255}}).Draw(t, "blob"),
				Prices: rapid.SampledFrom([]map[string]float64{nil, {"a": 1}, {"": 0.5, "ü": -1}}).Draw(t, "prices"),
				Raw:    json.RawMessage(rapid.SampledFrom([]string{`{"a":[1]}`, `"x"`, `12`}).Draw(t, "raw")),
			}
			if rapid.Bool().Draw(t, "with pointers") {
				a.Maybe, a.Perhaps, a.Pointer, a.Dated = new(text.Draw(t, "maybe")), new(rapid.Int().Draw(t, "perhaps")), new(sizes.Draw(t, "pointer")), new(Dated)
			}
			return a
		}
		var items []any
		var want []all
		for range rapid.IntRange(1, 5).Draw(t, "items") {
			a := draw()
			items = append(items, a)
			want = append(want, *a)
		}
		file, _ := buildWith(t, Options{RowGroupRows: rapid.IntRange(1, 3).Draw(t, "rows")}, crawl.Feed{}, items...)
		got := back[all](t, file)
		for i := range want {
			want[i].Dated, want[i].Grid = nil, nil
			if len(want[i].Words) == 0 { // the library tells an empty list from none no more than Go does
				want[i].Words = got[i].Words
				require.Empty(t, got[i].Words)
			}
			if len(want[i].Sizes) == 0 {
				want[i].Sizes = got[i].Sizes
				require.Empty(t, got[i].Sizes)
			}
			if len(want[i].Blob) == 0 {
				want[i].Blob = got[i].Blob
				require.Empty(t, got[i].Blob)
			}
			if len(want[i].Prices) == 0 {
				want[i].Prices = got[i].Prices
				require.Empty(t, got[i].Prices)
			}
		}
		require.Equal(t, want, got)
	})
}

func TestRest(t *testing.T) {
	t.Parallel()
	file, _ := build(t, crawl.Feed{},
		&all{Dated: &Dated{"now"}, Any: []any{1, "x"}, Huge: big.NewInt(7), Exact: "1.50", Endless: &node4{"a", &node4{"b", nil}}, Three: [3]int{1, 2, 3}},
		&all{Any: "text", Exact: "0"})
	got := back[rest](t, file)
	require.Len(t, got, 2)
	require.Equal(t, []any{"now", `[1,"x"]`, "7", "1.50", "{}", []int{1, 2, 3}}, []any{*got[0].Seen, *got[0].Any, *got[0].Huge, got[0].Exact, got[0].Empty, got[0].Three})
	require.Equal(t, "a", got[0].Self.Name)
	require.JSONEq(t, `{"Name":"b","Next":null}`, *got[0].Self.Next)
	require.Equal(t, []any{(*string)(nil), `"text"`, (*string)(nil), "0", []int{0, 0, 0}}, []any{got[1].Seen, *got[1].Any, got[1].Huge, got[1].Exact, got[1].Three})
	require.Nil(t, got[1].Self)
}

// TestOldTimes keeps times that the library's own reader has no nanoseconds for.
func TestOldTimes(t *testing.T) {
	t.Parallel()
	type item struct{ When time.Time }
	file, _ := build(t, crawl.Feed{}, item{}, item{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)})
	type row struct {
		When int64 `parquet:"When,timestamp(microsecond)"`
	}
	require.Equal(t, []row{{time.Time{}.UnixMicro()}, {253402300799_999999}}, back[row](t, file))
}

// TestEmptyLists tells no list, an empty one and one with nothing in it apart.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	type item struct{ L [][]*int }
	file, _ := build(t, crawl.Feed{}, item{}, item{[][]*int{}}, item{[][]*int{nil, {}, {nil, new(5)}}}, item{[][]*int{{new(6)}}})
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	rows := f.RowGroups()[0].Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 5)
	n, err := rows.ReadRows(buf)
	if !errors.Is(err, io.EOF) {
		require.NoError(t, err)
	}
	var got []string
	for _, row := range buf[:n] {
		line := ""
		for _, v := range row {
			line += fmt.Sprintf(" %v/%d/%d", v, v.RepetitionLevel(), v.DefinitionLevel())
		}
		got = append(got, line)
	}
	require.Equal(t, []string{" <null>/0/0", " <null>/0/1", " <null>/0/2 <null>/1/3 <null>/1/4 5/2/5", " 6/0/5"}, got)
}

func TestMaps(t *testing.T) {
	t.Parallel()
	file, logs := build(t, crawl.Feed{},
		map[string]any{"a": 1, "f": 1, "s": "x", "l": []any{}, "o": map[string]any{"x": 1}, "w": 1, "j": []int{1}, "n": nil, "b": true, "e": map[string]any{}},
		map[string]any{"a": 2, "f": 1.5, "l": []any{1, nil}, "o": map[string]any{"y": "z"}, "w": "two", "j": "text", "big": json.Number("123456789012345678901234567890")},
		map[string]any{"a": nil, "z": []any{map[string]any{"q": 1}}},
	)
	require.Equal(t, strings.TrimSpace(`
message item {
	optional int64 a (INT(64,true));
	optional boolean b;
	optional binary e (JSON);
	optional double f;
	optional binary j (JSON);
	optional group l (LIST) {
		repeated group list {
			optional int64 element (INT(64,true));
		}
	}
	optional binary n (STRING);
	optional group o {
		optional int64 x (INT(64,true));
		optional binary y (STRING);
	}
	optional binary s (STRING);
	optional binary w (STRING);
	optional binary big (STRING);
	optional group z (LIST) {
		repeated group list {
			optional group element {
				optional int64 q (INT(64,true));
			}
		}
	}
}`), schemaOf(t, file))
	type row struct {
		A   *int64   `parquet:"a,optional"`
		F   *float64 `parquet:"f,optional"`
		J   *string  `parquet:"j,optional,json"`
		W   *string  `parquet:"w,optional"`
		Big *string  `parquet:"big,optional"`
	}
	require.Equal(t, []row{
		{A: new(int64(1)), F: new(1.0), J: new("[1]"), W: new("1")},
		{A: new(int64(2)), F: new(1.5), J: new(`"text"`), W: new("two"), Big: new("123456789012345678901234567890")},
		{},
	}, back[row](t, file))
	var warned []string
	for _, e := range logs.All() {
		warned = append(warned, fmt.Sprint(e.ContextMap()["field"], ": ", e.ContextMap()["values"]))
	}
	require.Equal(t, []string{
		"j: lists and texts, or too large numbers: written as JSON",
		"w: integers and texts, or too large numbers: written as text",
	}, warned)
}

// TestLargeIntegers warns of integers that become less exact, whichever comes first.
func TestLargeIntegers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		items []any
		warns int
	}{
		{[]any{map[string]any{"n": 1 << 53}, map[string]any{"n": 0.5}}, 0},
		{[]any{map[string]any{"n": 1<<53 + 1}, map[string]any{"n": 0.5}}, 1},
		{[]any{map[string]any{"n": 0.5}, map[string]any{"n": -1<<53 - 1}}, 1},
		{[]any{map[string]any{"n": 1 << 60}}, 0},
	} {
		_, logs := build(t, crawl.Feed{}, c.items...)
		require.Equal(t, c.warns, logs.FilterField(zap.String("values", "integers beyond 2^53 and fractions: written as floating-point numbers, which are less exact")).Len(), c.items)
	}
}

// TestMayBeMissing has a null where JSON may leave a field out.
func TestMayBeMissing(t *testing.T) {
	t.Parallel()
	type Embedded struct{ Text string }
	type item struct {
		*Embedded
		When  time.Time `json:",omitzero"`
		Count *int
	}
	file, _ := build(t, crawl.Feed{}, &item{}, &item{Embedded: &Embedded{"x"}, When: time.Unix(1, 0), Count: new(2)})
	require.Equal(t, "message item {\n\toptional binary Text (STRING);\n\toptional int64 When (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));\n\toptional int64 Count (INT(64,true));\n}",
		schemaOf(t, file))
	type row struct {
		Text  *string
		When  *int64 `parquet:",timestamp(microsecond)"`
		Count *int64
	}
	require.Equal(t, []row{{}, {new("x"), new(int64(1_000_000)), new(int64(2))}}, back[row](t, file))
}

// TestManyKeys keeps objects whose keys are data as JSON, and of items with too many fields the rest.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	many := make(map[string]any)
	for i := range 2001 {
		many[fmt.Sprint("k", i)] = i
	}
	file, logs := build(t, crawl.Feed{}, map[string]any{"o": many})
	require.Equal(t, "message item {\n\toptional binary o (JSON);\n}", schemaOf(t, file))
	require.Equal(t, 1, logs.Len())

	file, logs = build(t, crawl.Feed{}, map[string]any{"other_fields": 7, "o": 1}, many, map[string]any{"k1": 5, "z": "\"", "y": []int{1}})
	type row struct {
		Own   *int64  `parquet:"other_fields,optional"`
		One   *int64  `parquet:"k1,optional"`
		Other *string `parquet:"other_fields_,optional,json"`
	}
	require.Equal(t, []row{{Own: new(int64(7))}, {One: new(int64(1)), Other: new(`{"k997":997,"k998":998,"k999":999}`)}, {One: new(int64(5)), Other: new(`{"y":[1],"z":"\""}`)}},
		back[row](t, file))
	require.Equal(t, 1, logs.FilterMessageSnippet("too many different fields").Len())
	file, logs = build(t, crawl.Feed{Fields: []string{"k999"}}, many)
	require.Equal(t, "message item {\n\toptional int64 k999 (INT(64,true));\n}", schemaOf(t, file))
	require.Zero(t, logs.Len())
	file, _ = build(t, crawl.Feed{Fields: []string{"k2000", "none"}, Rename: map[string]string{"none": "nothing"}}, map[string]any{"k2000": 1})
	require.Equal(t, "message item {\n\toptional int64 k2000 (INT(64,true));\n\toptional binary nothing (STRING);\n}", schemaOf(t, file))
}

func TestChosen(t *testing.T) {
	t.Parallel()
	file, _ := build(t, crawl.Feed{Fields: []string{"u", "w"}, Rename: map[string]string{"w": "Breite"}}, &size{Width: 3})
	require.Equal(t, "message item {\n\toptional binary u (STRING);\n\trequired int32 Breite (INT(32,true));\n}", schemaOf(t, file))
	for _, c := range []struct {
		feed crawl.Feed
		want string
	}{
		{crawl.Feed{Items: []any{size{}}, Fields: []string{"nothing"}}, `parquet.size: the items have no field "nothing"`},
		{crawl.Feed{Fields: []string{"a", "b"}, Rename: map[string]string{"a": "b"}}, `two columns are called "b": give one of them another name`},
		{crawl.Feed{Fields: []string{"a", "a"}, Items: []any{map[string]any{}}}, `two columns are called "a": give one of them another name`},
		{crawl.Feed{Items: []any{size{}}, Rename: map[string]string{"w": "u"}}, `parquet.size: two columns are called "u": give one of them another name`},
		{crawl.Feed{Items: []any{size{}, &size{}, Dated{}}}, "a Parquet file has items of one type, and this one has parquet.size, not parquet.Dated: give each type a feed of its own by its types: size, and Dated"},
		{crawl.Feed{Items: []any{struct{}{}}}, "struct {} has no fields that could be columns"},
		{crawl.Feed{Compress: "lzma"}, `compress is "lzma": a Parquet file wants zstd, snappy, gzip or none`},
		{crawl.Feed{Compress: "gzip", Level: 10}, "level is 10: gzip has 1 to 9"},
	} {
		_, err := Format(c.feed)
		require.EqualError(t, err, c.want)
	}
	enc, err := Format(crawl.Feed{})
	require.NoError(t, err)
	_, err = enc.Record(nil, &size{})
	require.NoError(t, err)
	_, err = enc.Record(nil, map[string]any{})
	require.EqualError(t, err, "a Parquet file has items of one type, and this one has parquet.size, not map[string]interface {}: give each type a feed of its own by its types: size, and map")
	_, err = enc.Record(nil, (*size)(nil))
	require.EqualError(t, err, "item of type *parquet.size: it has no fields: in JSON it is null")
	_, err = enc.Record(nil, &size{})
	require.NoError(t, err, "the others go on")
}

// TestNoItems makes a file that readers take.
func TestNoItems(t *testing.T) {
	t.Parallel()
	file, _ := build(t, crawl.Feed{})
	require.Equal(t, "message item {\n\toptional binary empty (STRING);\n}", schemaOf(t, file))
	require.Empty(t, back[struct{}](t, file))
}

// TestOlderRecords takes items of a run whose program had fewer fields, and others.
func TestOlderRecords(t *testing.T) {
	t.Parallel()
	list := spool(t, crawl.Feed{}, &size{Width: 1})
	list = append(list, []byte(`{"old":true}`), []byte(`{"w":null,"u":"cm"}`))
	enc, err := Format(crawl.Feed{})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, enc.(crawl.FeedBuilder).Build(&out, each(list)))
	require.Equal(t, []size{{Width: 1}, {}, {Unit: "cm"}}, back[size](t, out.Bytes()))
	type dated struct{ When time.Time }
	type row struct {
		When int64 `parquet:",timestamp(microsecond)"`
	}
	dates := append(spool(t, crawl.Feed{}, &dated{}), []byte(`{}`))
	var old bytes.Buffer
	require.NoError(t, enc.(crawl.FeedBuilder).Build(&old, each(dates)))
	require.Equal(t, []row{{time.Time{}.UnixMicro()}, {time.Time{}.UnixMicro()}}, back[row](t, old.Bytes()), "the zero value")
}

// TestMisfits leaves out what does not fit: the type of a field has changed between two runs of a job.
func TestMisfits(t *testing.T) {
	t.Parallel()
	type item struct {
		Int   int
		Maybe *uint8
		Real  float32
		Flag  bool
		When  time.Time
		Blob  []byte
		List  []int
		Map   map[string]int
		Size  size
		Text  string
		Any   struct{}
	}
	type row struct {
		Int   int64
		Maybe *uint8
		Real  float32
		Flag  bool
		When  int64          `parquet:",timestamp(microsecond)"`
		Blob  *string        `parquet:",optional"`
		List  []int64        `parquet:",optional,list"`
		Map   map[string]int `parquet:",optional"`
		Size  size
		Text  string
		Any   string `parquet:",json"`
	}
	list := append(spool(t, crawl.Feed{}, &item{Int: 1}),
		[]byte(`{"Int":"x","Maybe":256,"Real":1e39,"Flag":"yes","When":5,"Blob":"?","List":{"a":1},"Map":[1],"Size":"large","Text":{"a":1},"Any":0}`),
		[]byte(`{"Int":1.5,"Maybe":"x","List":[1,"x",3],"Map":{"a":1,"b":null,"c":[]},"Size":{"w":[]},"Text":1}`))
	enc, err := Format(crawl.Feed{})
	require.NoError(t, err)
	core, logs := observer.New(zap.WarnLevel)
	require.NoError(t, enc.(crawl.FeedPreparer).Prepare(&crawl.Env{Log: zap.New(core)}))
	var out bytes.Buffer
	require.NoError(t, enc.(crawl.FeedBuilder).Build(&out, each(list)))
	zero := time.Time{}.UnixMicro()
	require.Equal(t, []row{
		{Int: 1, When: zero, Any: "{}"},
		{When: zero, Text: `{"a":1}`, Any: "0"},
		{When: zero, List: []int64{1, 0, 3}, Map: map[string]int{"a": 1, "b": 0, "c": 0}, Text: "1", Any: "null"},
	}, back[row](t, out.Bytes()))
	var told []string
	for _, e := range logs.All() {
		m := e.ContextMap()
		told = append(told, fmt.Sprint(m["field"], " ", m["column"], " ", m["values"], " ", m["first"], ": ", m["error"]))
	}
	require.Equal(t, []string{
		`Blob bytes 1 "?": illegal base64 data at input byte 0`,
		`Flag bool 1 "yes": it is neither true nor false`,
		`Int int 2 "x": strconv.ParseInt: parsing "x": invalid syntax`,
		`List list 1 {"a":1}: it is no list`,
		`List[] int 1 "x": strconv.ParseInt: parsing "x": invalid syntax`,
		`Map map 1 [1]: it is no object`,
		`Map[] int 1 []: strconv.ParseInt: parsing "[]": invalid syntax`,
		`Maybe uint 2 256: strconv.ParseUint: parsing "256": value out of range`,
		`Real float 1 1e39: strconv.ParseFloat: parsing "1e39": value out of range`,
		`Size group 1 "large": it is no object`,
		`Size.w int 1 []: strconv.ParseInt: parsing "[]": invalid syntax`,
		`When time 1 5: parsing time "5" as "2006-01-02T15:04:05.999999999Z07:00": cannot parse "5" as "2006"`,
	}, told)
}

// TestOddItems makes a file whatever is among the items: it is their only place.
func TestOddItems(t *testing.T) {
	t.Parallel()
	type row struct {
		N *string  `parquet:"n,optional"`
		F *float64 `parquet:"f,optional"`
	}
	file, logs := build(t, crawl.Feed{}, map[string]any{"n": 1.5, "f": json.Number("1e-999")}, map[string]any{"n": json.Number("1e999")})
	require.Equal(t, []row{{N: new("1.5"), F: new(0.0)}, {N: new("1e999")}}, back[row](t, file))
	require.Equal(t, 1, logs.FilterField(zap.String("values", "numbers and texts, or too large numbers: written as text")).Len())

	// Names that meet.
	type names struct {
		A *int64 `parquet:"a,optional"`
		B *int64 `parquet:"b,optional"`
		D *int64 `parquet:"d,optional"`
		C *int64 `parquet:"c,optional"`
	}
	file, logs = build(t, crawl.Feed{Rename: map[string]string{"a": "b", "c": "d", "e": "c"}}, map[string]any{"a": 1, "b": 2, "c": 3, "e": 4})
	require.Equal(t, []names{{new(int64(1)), new(int64(2)), new(int64(3)), new(int64(4))}}, back[names](t, file))
	require.Equal(t, 1, logs.FilterMessageSnippet("one name").Len())

	// Levels: more than the format has.
	var deep any = 1
	for range 300 {
		deep = map[string]any{"a": []any{deep}}
	}
	file, logs = build(t, crawl.Feed{}, map[string]any{"a": deep, "n": 1})
	require.Equal(t, 10, strings.Count(schemaOf(t, file), "LIST"))
	require.Equal(t, 1, logs.FilterField(zap.String("values", "more than 20 levels of objects and lists: written as JSON")).Len())

	// Columns: objects with many fields each.
	wide := make(map[string]any)
	for i := range 20 {
		inner := make(map[string]any)
		for j := range 150 {
			inner[fmt.Sprint("k", j)] = j
		}
		wide[fmt.Sprint("o", i)] = inner
	}
	file, logs = build(t, crawl.Feed{}, wide, map[string]any{"last": 1})
	require.Less(t, strings.Count(schemaOf(t, file), "\n"), 2100)
	require.Equal(t, 7, strings.Count(schemaOf(t, file), "(JSON)"))
	require.Contains(t, schemaOf(t, file), "int64 last")
	require.Equal(t, 7, logs.FilterField(zap.String("values", "objects, when there are 2000 columns already: written as JSON")).Len())
}

// TestQuotedTexts has no quotation marks that the tag's option string has added.
func TestQuotedTexts(t *testing.T) {
	t.Parallel()
	type item struct {
		Text  string      `json:",string"`
		Maybe *string     `json:",string"`
		Exact json.Number `json:",string"`
		Own   marked      `json:",string"`
		Plain string
	}
	file, _ := build(t, crawl.Feed{}, &item{Text: `a"b`, Maybe: new("c"), Exact: "1.50", Plain: `"d"`}, &item{Text: "5", Exact: "0"})
	type row struct {
		Text  string
		Maybe *string
		Exact string
		Own   string
		Plain string
	}
	require.Equal(t, []row{{`a"b`, new("c"), "1.50", `"x"`, `"d"`}, {"5", nil, "0", `"x"`, ""}}, back[row](t, file))
}

// marked has quotation marks of its own.
type marked string

func (marked) MarshalText() ([]byte, error) { return []byte(`"x"`), nil }

// TestFailures passes on what the disk says, on both sides.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, items := range [][]any{{&size{}}, {map[string]any{"a": 1}}} {
		enc, err := Format(crawl.Feed{})
		require.NoError(t, err)
		list := spool(t, crawl.Feed{}, items...)
		broken := func(yield func([]byte, error) bool) {
			if yield(list[0], nil) {
				yield(nil, io.ErrUnexpectedEOF)
			}
		}
		require.ErrorIs(t, enc.(crawl.FeedBuilder).Build(io.Discard, broken), io.ErrUnexpectedEOF)
		require.ErrorIs(t, enc.(crawl.FeedBuilder).Build(fullDisk{}, each(list)), errFull)
	}
}

var errFull = errors.New("the disk is full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestCodecs(t *testing.T) {
	t.Parallel()
	items := make([]any, 1000)
	for i := range items {
		items[i] = &size{Width: int32(i), Unit: "a unit that is the same everywhere"}
	}
	sizes := make(map[string]int)
	for _, codec := range []string{"none", "snappy", "gzip", "zstd", ""} {
		file, _ := buildWith(t, Options{Codec: codec}, crawl.Feed{}, items...)
		require.Len(t, back[size](t, file), 1000)
		sizes[codec] = len(file)
	}
	require.Less(t, sizes["zstd"], sizes["none"])
	require.Less(t, sizes["snappy"], sizes["none"])
	require.Equal(t, sizes["zstd"], sizes[""])
	for level := range 20 {
		file, _ := buildWith(t, Options{Codec: "gzip"}, crawl.Feed{Compress: "zstd", Level: level}, items...)
		require.Len(t, back[size](t, file), 1000)
	}
}

func TestRowGroups(t *testing.T) {
	t.Parallel()
	items := make([]any, 1000)
	for i := range items {
		items[i] = &size{Width: int32(i), Unit: strings.Repeat("x", 100)}
	}
	for _, c := range []struct {
		o    Options
		want int
	}{{Options{}, 1}, {Options{RowGroupRows: 100}, 10}, {Options{RowGroupRows: 333}, 4}, {Options{RowGroupBytes: 12_000}, 10}} {
		file, _ := buildWith(t, c.o, crawl.Feed{}, items...)
		f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
		require.NoError(t, err)
		require.Len(t, f.RowGroups(), c.want)
		rows := back[size](t, file)
		require.Len(t, rows, 1000)
		require.EqualValues(t, 999, rows[999].Width)
	}
}

// book is an item as crawls make them: 400 bytes of JSON.
type book struct {
	URL         string    `json:"url"`
	Title       string    `json:"title"`
	Price       float64   `json:"price"`
	Stock       int       `json:"stock"`
	Seen        time.Time `json:"seen"`
	Description string    `json:"description"`
	Tags        []string  `json:"tags"`
}

func bookOf(i int) *book {
	return &book{
		URL: fmt.Sprintf("https://shop.example/catalogue/book-%d/index.html", i), Title: fmt.Sprint("The book number ", i), Price: float64(i%9999) / 100, Stock: i % 20,
		Seen: time.Unix(1_700_000_000+int64(i), 0).UTC(), Description: describe(i), Tags: []string{"novel", fmt.Sprint("shelf ", i%500)},
	}
}

// describe is about 150 bytes of text that does not compress well.
func describe(i int) string {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	b := []byte("Words that say what it is about:")
	for range 20 {
		b = append(b, ' ')
		b = strconv.AppendUint(b, r.Uint64N(1<<20), 36)
	}
	return string(b)
}

// TestMemory builds a large file in little memory. TULLE_PARQUET_ITEMS is how many items it has.
func TestMemory(t *testing.T) {
	items := 60_000
	if s := os.Getenv("TULLE_PARQUET_ITEMS"); s != "" {
		_, err := fmt.Sscan(s, &items)
		require.NoError(t, err)
	}
	for _, maps := range []bool{false, true} {
		enc, err := Format(crawl.Feed{})
		require.NoError(t, err)
		item := func(i int) any {
			if !maps {
				return bookOf(i)
			}
			b := bookOf(i)
			return map[string]any{"url": b.URL, "title": b.Title, "price": b.Price, "stock": b.Stock, "description": b.Description, "tags": b.Tags}
		}
		head, err := enc.Begin(item(0))
		require.NoError(t, err)
		var peak, base, total uint64
		records := func(yield func([]byte, error) bool) {
			if !yield(head, nil) {
				return
			}
			var buf []byte
			var m runtime.MemStats
			total = 0
			for i := range items {
				if buf, err = enc.Record(buf[:0], item(i)); !yield(buf, err) {
					return
				}
				total += uint64(len(buf))
				if i%2000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				}
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		base, peak = m.HeapAlloc, m.HeapAlloc
		b, err := Format(crawl.Feed{})
		require.NoError(t, err)
		start := time.Now()
		var out counting
		require.NoError(t, b.(crawl.FeedBuilder).Build(&out, records))
		t.Logf("%T: %d items, %d MB of JSON, %d MB of Parquet, %.1f MB over baseline, %v", item(0), items, total>>20, out>>20, float64(peak-base)/(1<<20), time.Since(start))
		require.Less(t, peak-base, uint64(64<<20))
	}
}

type counting int64

func (c *counting) Write(b []byte) (int, error) {
	*c += counting(len(b))
	return len(b), nil
}

func BenchmarkBuild(b *testing.B) {
	list := [][]byte{}
	enc, err := Format(crawl.Feed{})
	require.NoError(b, err)
	head, err := enc.Begin(bookOf(0))
	require.NoError(b, err)
	list = append(list, head)
	for i := range b.N {
		record, err := enc.Record(nil, bookOf(i))
		require.NoError(b, err)
		list = append(list, record)
	}
	b.ResetTimer()
	b.ReportAllocs()
	require.NoError(b, enc.(crawl.FeedBuilder).Build(io.Discard, each(list)))
}
