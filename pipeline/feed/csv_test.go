package feed

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

// Part is nested in what rows are made of.
type Part struct {
	Name  string
	Sizes []int `json:"sizes,omitempty"`
}

// Row has a field of each kind.
type Row struct {
	*Dated
	Text     string    `json:"text"`
	Optional *string   `json:"optional"`
	Whole    int64     `json:"whole"`
	Large    uint64    `json:"large"`
	Real     float64   `json:"real"`
	Flag     bool      `json:"flag"`
	Perhaps  *bool     `json:"perhaps,omitempty"`
	Quoted   int       `json:"quoted,string"`
	Twice    *string   `json:"twice,string"`
	When     time.Time `json:"when"`
	Blob     []byte    `json:"blob"`
	Words    []string  `json:"words"`
	Numbers  []float64 `json:"numbers"`
	Times    []time.Time
	Pointers []*string
	Grid     [][]int
	Parts    []Part
	Part     Part
	Pointer  *Part
	Map      map[string]string
	Any      any
	Raw      json.RawMessage
	Huge     *big.Int
	Exact    json.Number
	Three    [3]string
}

// texts are what makes CSV hard.
var texts = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", `""`, `"`, `"a"`, "a,b", ",", "[1]", "[", "null", "12", "-5", "1e9", "true", "{}", "=1+1", "'=1", "'", "''", "@x",
	"a\nb", "a\r\nb", "\r", " a ", "\t", "\ufeffx", `\.`, "a;b", "a\tb", "＝1"}))

func optional[T any](t *rapid.T, g *rapid.Generator[T], name string) *T {
	if rapid.Bool().Draw(t, name+" is there") {
		return new(g.Draw(t, name))
	}
	return nil
}

func list[T any](t *rapid.T, g *rapid.Generator[T], name string) []T {
	n := rapid.IntRange(-1, 3).Draw(t, name+"'s length")
	if n < 0 {
		return nil
	}
	return rapid.SliceOfN(g, n, n).Draw(t, name)
}

func drawRow(t *rapid.T) Row {
	times := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	reals := rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) })
	parts := rapid.Custom(func(t *rapid.T) Part {
		return Part{Name: texts.Draw(t, "part"), Sizes: rapid.SampledFrom([][]int{nil, {1}, {2, 3}}).Draw(t, "sizes")}
	})
	r := Row{
		Text: texts.Draw(t, "text"), Optional: optional(t, texts, "optional"), Whole: rapid.Int64().Draw(t, "whole"), Large: rapid.Uint64().Draw(t, "large"),
		Real: reals.Draw(t, "real"), Flag: rapid.Bool().Draw(t, "flag"), Perhaps: optional(t, rapid.Bool(), "perhaps"), Quoted: rapid.Int().Draw(t, "quoted"),
		Twice: optional(t, texts, "twice"), When: times.Draw(t, "when"), Blob: list(t, rapid.Byte(), "blob"), Words: list(t, texts, "words"),
		Numbers: list(t, reals, "numbers"), Times: list(t, times, "times"), Grid: list(t, rapid.SliceOfN(rapid.Int(), 1, 2), "grid"), Parts: list(t, parts, "parts"),
		Part: parts.Draw(t, "part"), Pointer: optional(t, parts, "pointer"), Three: [3]string(rapid.SliceOfN(texts, 3, 3).Draw(t, "three")),
		Any:   rapid.SampledFrom([]any{nil, 1.5, true, "", "x", "12", `"`, `"12"`, "null", "[", []any{"a", nil}, []any{}, map[string]any{"a": 1.0}, []any{""}}).Draw(t, "any"),
		Exact: "12345678901234567890.00100",
	}
	for _, s := range r.Words {
		r.Pointers = append(r.Pointers, optional(t, rapid.Just(s), "pointer's text"))
	}
	if rapid.Bool().Draw(t, "embedded") {
		r.Dated = &Dated{Seen: "s" + texts.Draw(t, "seen")}
	}
	if rapid.Bool().Draw(t, "map") {
		r.Map = rapid.MapOfN(texts, texts, 0, 2).Draw(t, "the map")
	}
	if rapid.Bool().Draw(t, "raw") {
		r.Raw = json.RawMessage(rapid.SampledFrom([]string{`1.50`, `"x"`, `"1"`, `{"a":[]}`, `""`, `[]`, `false`}).Draw(t, "the raw"))
	}
	if rapid.Bool().Draw(t, "huge") {
		r.Huge = new(big.Int).Exp(big.NewInt(-7), big.NewInt(99), nil)
	}
	return r
}

// TestCSVBack writes items of every kind of field, and reads them back as they were, whatever stands in them and however the table is written; and encoding/csv finds
// the same cells, apart from the ends of lines, which it changes.
func TestCSVBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		conf := crawl.CSVFeed{
			Delimiter: rapid.SampledFrom([]string{"", ";", "\t", "|", "·"}).Draw(t, "delimiter"), CRLF: rapid.Bool().Draw(t, "crlf"),
			BOM: rapid.Bool().Draw(t, "bom"), GuardFormulas: rapid.Bool().Draw(t, "guard"),
		}
		want := make([]Row, rapid.IntRange(1, 4).Draw(t, "rows"))
		enc, err := newTable(crawl.Feed{CSV: conf})
		require.NoError(t, err)
		var file []byte
		for i := range want {
			want[i] = drawRow(t)
			if i == 0 {
				file, err = enc.Begin(&want[i])
				require.NoError(t, err)
			}
			file, err = enc.Record(file, &want[i])
			require.NoError(t, err)
		}
		var got []Row
		for row, err := range ReadCSV[Row](strings.NewReader(string(file)), conf) {
			require.NoError(t, err, "%s", file)
			got = append(got, row)
		}
		require.Equal(t, want, got, "%s", file)

		other := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(file), bom)))
		if conf.Delimiter != "" {
			other.Comma = []rune(conf.Delimiter)[0]
		}
		cells, err := other.ReadAll()
		require.NoError(t, err, "%s", file)
		require.Len(t, cells, 1+len(want))
		if !conf.GuardFormulas {
			for i, row := range cells[1:] {
				require.Equal(t, strings.ReplaceAll(want[i].Text, "\r\n", "\n"), row[slices.Index(cells[0], "text")])
			}
		}
	})
}

// TestCSVCells are the rules of csv_cell.go, one by one.
func TestCSVCells(t *testing.T) {
	t.Parallel()
	type one struct {
		V any
	}
	type words struct {
		V []string
	}
	type maybe struct {
		V *string
	}
	for _, c := range []struct {
		item any
		want string
	}{
		{words{[]string{"a", "b"}}, `a,b`},
		{words{[]string{"a", ""}}, `a,`},
		{words{nil}, ``},
		{words{[]string{}}, `[]`},
		{words{[]string{""}}, `[""]`},
		{words{[]string{"a,b", "c"}}, `["a,b","c"]`},
		{words{[]string{"[a", "c"}}, `["[a","c"]`},
		{maybe{nil}, ``},
		{maybe{new("")}, `""`},
		{maybe{new(`"x"`)}, `"\"x\""`},
		{maybe{new("12")}, `12`},
		{one{nil}, ``},
		{one{"x"}, `x`},
		{one{"12"}, `"12"`},
		{one{12}, `12`},
		{one{[]int{1, 2}}, `[1,2]`},
		{struct{ V float64 }{1e21}, `1e+21`},
		{struct{ V int64 }{math.MinInt64}, `-9223372036854775808`},
		{struct{ V []bool }{[]bool{true, false}}, `true,false`},
		{struct{ V []Part }{[]Part{{Name: "<a>"}}}, `[{"Name":"<a>"}]`},
		{struct{ V []byte }{[]byte("hi")}, `aGk=`},
		{map[string]any{"V": "12"}, `12`},
		{map[string]any{"V": ""}, ``},
		{map[string]any{"V": []any{"a", 1, nil}}, `a,1,`},
		{map[string]any{"V": []string{"a,b"}}, `["a,b"]`},
		{map[string]any{"V": map[string]int{"a": 1}}, `{"a":1}`},
	} {
		enc, err := newTable(crawl.Feed{})
		require.NoError(t, err)
		file, err := enc.Begin(c.item)
		require.NoError(t, err)
		file, err = enc.Record(file, c.item)
		require.NoError(t, err)
		rows, err := csv.NewReader(strings.NewReader(string(file))).ReadAll()
		require.NoError(t, err)
		require.Equal(t, [][]string{{"V"}, {c.want}}, rows, "%T %v", c.item, c.item)
	}
}

func TestCSVOptions(t *testing.T) {
	t.Parallel()
	item := map[string]any{"=f": "=1+1", "a;b": -5, "text": "+49 30", "n": "-12.5", "at": "@x", "list": []string{"-a", "b"}, "quote": "'t"}
	conf := crawl.Feed{
		URI: filepath.Join(t.TempDir(), "f.csv"), Fields: []string{"=f", "a;b", "text", "n", "at", "list", "quote"}, Rename: map[string]string{"text": "-phone"},
		CSV: crawl.CSVFeed{Delimiter: ";", CRLF: true, BOM: true, GuardFormulas: true},
	}
	const head = "\ufeff'=f;\"a;b\";'-phone;n;at;list;quote\r\n"
	const row = "'=1+1;-5;'+49 30;-12.5;'@x;'-a,b;''t\r\n"
	require.Equal(t, head+row, run(t, conf, item))
	require.Equal(t, head+row+row, run(t, conf, item), "appended, with the columns of the file")
	for got, err := range ReadCSV[map[string]string](strings.NewReader(read(t, conf.URI)), conf.CSV) {
		require.NoError(t, err)
		require.Equal(t, map[string]string{"=f": "=1+1", "a;b": "-5", "-phone": "+49 30", "n": "-12.5", "at": "@x", "list": "-a,b", "quote": "'t"}, got)
	}
	for _, bad := range []string{"ab", "\"", "\n", "\xff"} {
		env, _ := environment(t)
		_, err := Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(t.TempDir(), "f.csv"), CSV: crawl.CSVFeed{Delimiter: bad}}})
		require.ErrorContains(t, err, fmt.Sprintf("the delimiter %q is not one character", bad))
	}
}

// TestCSVCut ends a last line that was cut short as the table's other lines end.
func TestCSVCut(t *testing.T) {
	t.Parallel()
	for end, conf := range map[string]crawl.CSVFeed{"\n": {}, "\r\n": {CRLF: true}} {
		uri := filepath.Join(t.TempDir(), "f.csv")
		require.NoError(t, os.WriteFile(uri, []byte("a,b"+end+"1,2"), 0o600))
		require.Equal(t, "a,b"+end+"1,2"+end+"3,4"+end, run(t, crawl.Feed{URI: uri, CSV: conf}, map[string]any{"a": 3, "b": 4}))
	}
}

// TestCSVItems takes the columns of all types that the spider says.
func TestCSVItems(t *testing.T) {
	t.Parallel()
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.csv"), Items: []any{Part{}, &Dated{}}}
	require.Equal(t, "Name,sizes,seen\n", run(t, conf), "no item, and yet the columns are known")
	require.Equal(t, "Name,sizes,seen\n,,now\na,\"1,2\",\n", run(t, conf, &Dated{Seen: "now"}, &Part{Name: "a", Sizes: []int{1, 2}}))
}

// TestCSVLost warns of fields that have no column, once each.
func TestCSVLost(t *testing.T) {
	t.Parallel()
	env, logs := environment(t)
	dir := t.TempDir()
	s := start(t, env, crawl.Feed{URI: filepath.Join(dir, "f.csv")}, crawl.Feed{URI: filepath.Join(dir, "g.csv"), Fields: []string{"a"}})
	write(t, s, map[string]any{"a": 1}, map[string]any{"a": 2, "b": 3, "c": nil}, map[string]any{"b": 4}, map[string]any{"b": 5, "d": 6})
	require.NoError(t, s.Close())
	require.Equal(t, "a\n1\n2\n\"\"\n\"\"\n", read(t, filepath.Join(dir, "f.csv")))
	require.EqualValues(t, 4, env.Stats.Int("feedexport/dropped_fields"), "where the fields were chosen nothing is lost")
	var names []any
	for _, e := range logs.FilterMessageSnippet("no columns for").All() {
		names = append(names, e.ContextMap()["fields"])
	}
	require.Equal(t, []any{[]any{"b"}, []any{"d"}}, names)
}

func TestReadCSVErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{"a,b\n1\n", "line 2: the row has 1 cells, and there are 2 columns"},
		{"whole\n\n1x\n", `line 3: column "whole": "1x" is no value of its field`},
		{"text\n\"a\nb", "line 2: a quoted cell is not closed"},
		{"text\n\"a\"b\n", `line 2: "b" stands behind a quoted cell`},
		{"text\na\"b\n", `line 2: bare " in the cell "a\"b"`},
		{"flag\n\"1\n\"\n", "line 3: json: cannot unmarshal number"},
		{"whole\n1.5\n", "line 2: json: cannot unmarshal number 1.5"},
	} {
		var errs []error
		for _, err := range ReadCSV[Row](strings.NewReader(c.file), crawl.CSVFeed{}) {
			errs = append(errs, err)
		}
		require.Len(t, errs, 1, c.file)
		require.ErrorContains(t, errs[0], c.want)
	}
	var names []string
	for row, err := range ReadCSV[Row](strings.NewReader("text,other\nx,1\n"+strings.Repeat("y", 10_000)+",\n\n\"\",\"\"\r\nlast,"), crawl.CSVFeed{}) {
		require.NoError(t, err)
		names = append(names, row.Text)
	}
	require.Equal(t, []string{"x", strings.Repeat("y", 10_000), "", "last"}, names)
	for range ReadCSV[Row](strings.NewReader(""), crawl.CSVFeed{}) {
		t.Error("there is nothing")
	}
}

// TestCSVEmptyFirst has items without fields before those that say what the columns are: they are left out, and the table is not.
func TestCSVEmptyFirst(t *testing.T) {
	t.Parallel()
	env, logs := environment(t)
	name := filepath.Join(t.TempDir(), "f.csv")
	s := start(t, env, crawl.Feed{URI: name})
	write(t, s, map[string]any{}, struct{}{}, map[string]any{"a": 1}, map[string]any{}, map[string]any{"a": 2})
	require.NoError(t, s.Close())
	require.Equal(t, "a\n1\n\"\"\n2\n", read(t, name))
	require.Equal(t, 2, logs.FilterMessageSnippet("an item without fields is left out of the table").Len())

	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "g.csv")}
	r := j.start(conf)
	r.commit(r.page(map[string]any{}))
	r.commit(r.page(map[string]any{"a": 1}))
	r.close()
	require.Equal(t, "a\n1\n", read(t, conf.URI))
}

// TestCSVFieldsInAJob refuses other fields than those that the job's table has, and tells of what is lost in columns that nobody chose.
func TestCSVFieldsInAJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, file := range []string{"f.csv", "f.csv.gz", "%(batch_id)d.csv"} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(dir, file), Fields: []string{"a"}}
		if strings.HasPrefix(file, "%") {
			conf.BatchItems = 2
		}
		r := j.start(conf)
		r.commit(r.page(map[string]any{"a": 1, "b": 2}))
		r.close()
		before := files(t, dir)
		conf.Fields = []string{"b"}
		other := crawl.Feed{URI: filepath.Join(dir, "other.jsonl")}
		env, _ := j.env()
		_, err := Open(t.Context(), env, []crawl.Feed{other, conf})
		require.EqualError(t, err, "feed "+conf.URI+`: this job has begun the file with "a", and the feed would begin with "b" now: choose the same fields, or start a new job in another folder`)
		require.Equal(t, before, files(t, dir), "nothing is touched")
		conf.Fields = []string{"a"}
		r = j.start(conf)
		r.commit(r.page(map[string]any{"a": 3, "b": 4}))
		r.close()
	}
	require.Equal(t, "a\n1\n3\n", read(t, filepath.Join(dir, "f.csv")))

	for _, file := range []string{"g.csv", "g.csv.gz"} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(dir, file)}
		r := j.start(conf)
		r.commit(r.page(map[string]any{"a": 1}))
		r.close()
		env, logs := j.env()
		r = &jobRun{j: j, s: start(t, env, conf)}
		r.commit(r.page(map[string]any{"a": 3, "b": 4}))
		r.close()
		require.Equal(t, 1, logs.FilterMessageSnippet("no columns for").Len(), file)
		require.EqualValues(t, 1, env.Stats.Int("feedexport/dropped_fields"), file)
	}
}
