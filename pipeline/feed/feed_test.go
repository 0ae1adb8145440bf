package feed

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Dated is embedded in products.
type Dated struct {
	Seen string `json:"seen,omitempty"`
	note string //nolint:unused // an unexported field is no column
}

type product struct {
	*Dated
	Name   string            `json:"name"`
	Price  float64           `json:"price"`
	Stock  *int              `json:"stock,omitempty"`
	Tags   []string          `json:"tags"`
	Specs  map[string]string `json:"specs,omitempty"`
	Plain  bool
	Secret string `json:"-"`
}

var (
	lamp  = &product{Name: `Lamp "Ines", <b>&</b>`, Price: 1e21, Tags: []string{"a", "b"}, Specs: map[string]string{"Höhe": "12 cm"}, Secret: "no"}
	chair = &product{Dated: &Dated{Seen: "today"}, Name: "Stuhl\nzwei", Price: 0.5, Stock: new(3), Plain: true}
)

const (
	lampJSON  = `{"name":"Lamp \"Ines\", <b>&</b>","price":1e+21,"tags":["a","b"],"specs":{"Höhe":"12 cm"},"Plain":false}`
	chairJSON = `{"seen":"today","name":"Stuhl\nzwei","price":0.5,"stock":3,"tags":null,"Plain":true}`
	head      = "seen,name,price,stock,tags,specs,Plain\n"
	lampCSV   = `,"Lamp ""Ines"", <b>&</b>",1e+21,,"a,b","{""Höhe"":""12 cm""}",false` + "\n"
	chairCSV  = "today,\"Stuhl\nzwei\",0.5,3,,,true\n"
)

func environment(t testing.TB) (*crawl.Env, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	return &crawl.Env{Spider: &crawl.Spider{Name: "shop"}, Settings: &crawl.Settings{}, Stats: crawl.NewStats(), Log: zap.New(core)}, logs
}

// start opens feeds as a crawl does.
func start(t testing.TB, env *crawl.Env, feeds ...crawl.Feed) *Feeds {
	t.Helper()
	s, err := Open(t.Context(), env, feeds)
	require.NoError(t, err)
	p, err := s.Stage().Pipeline.(crawl.Opener).Open(t.Context(), env)
	require.NoError(t, err)
	require.Same(t, s, p)
	return s
}

func write(t testing.TB, s *Feeds, items ...any) {
	t.Helper()
	for _, item := range items {
		out, err := s.Process(t.Context(), item)
		require.NoError(t, err)
		require.Equal(t, item, out)
	}
}

// run writes items to one feed, from its opening to its end.
func run(t *testing.T, conf crawl.Feed, items ...any) string {
	t.Helper()
	env, _ := environment(t)
	s := start(t, env, conf)
	write(t, s, items...)
	require.NoError(t, s.Close())
	return read(t, conf.URI)
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

func TestFormats(t *testing.T) {
	t.Parallel()
	m := map[string]any{"b": "x", "a": []any{1, "y", nil}, "c": map[string]any{"d": 1}, "é": "ü"}
	for _, c := range []struct {
		name  string
		conf  crawl.Feed
		items []any
		want  string
	}{
		{"lines", crawl.Feed{URI: "f.jsonl"}, []any{lamp, chair}, lampJSON + "\n" + chairJSON + "\n"},
		{"lines by another name", crawl.Feed{URI: "f.jl"}, []any{lamp}, lampJSON + "\n"},
		{"no lines", crawl.Feed{URI: "f.jsonl"}, nil, ""},
		{"lines of maps", crawl.Feed{URI: "f.NDJSON"}, []any{m}, `{"a":[1,"y",null],"b":"x","c":{"d":1},"é":"ü"}` + "\n"},
		{"fields of lines", crawl.Feed{URI: "f.jsonl", Fields: []string{"Plain", "name", "nothing", "stock"}}, []any{chair, lamp},
			`{"Plain":true,"name":"Stuhl\nzwei","stock":3}` + "\n" + `{"Plain":false,"name":"Lamp \"Ines\", <b>&</b>"}` + "\n"},
		{"no field named", crawl.Feed{URI: "f.jsonl", Fields: []string{}}, []any{chair}, chairJSON + "\n"},
		{"array", crawl.Feed{URI: "f.json"}, []any{lamp, chair}, "[\n" + lampJSON + ",\n" + chairJSON + "\n]\n"},
		{"empty array", crawl.Feed{URI: "f.json"}, nil, "[\n]\n"},
		{"fields of an array", crawl.Feed{URI: "f.json", Fields: []string{"tags", "<n>"}}, []any{lamp, map[string]any{"<n>": 1}},
			"[\n" + `{"tags":["a","b"]}` + ",\n" + `{"<n>":1}` + "\n]\n"},
		{"table", crawl.Feed{URI: "f.csv"}, []any{lamp, chair}, head + lampCSV + chairCSV},
		{"empty table", crawl.Feed{URI: "f.csv"}, nil, ""},
		{"empty table with fields", crawl.Feed{URI: "f.csv", Fields: []string{"b", "a"}}, nil, "b,a\n"},
		{"table of maps", crawl.Feed{URI: "f.csv"}, []any{m, map[string]any{"b": true, "new": 1}}, "a,b,c,é\n\"1,y,\",x,\"{\"\"d\"\":1}\",ü\n,true,,\n"},
		{"fields of a table", crawl.Feed{URI: "f.csv", Fields: []string{"price", "name"}}, []any{chair}, "price,name\n0.5,\"Stuhl\nzwei\"\n"},
		{"one empty cell", crawl.Feed{URI: "f.csv", Fields: []string{"nothing"}}, []any{chair}, "nothing\n\"\"\n"},
		{"format against the name", crawl.Feed{URI: "f.txt", Format: "csv", Fields: []string{"price"}}, []any{chair}, "price\n0.5\n"},
		{"lists of lists", crawl.Feed{URI: "f.csv"}, []any{map[string]any{"l": [][]int{{1}, {2}}, "n": []float64{1, 1e30}}}, "l,n\n\"[[1],[2]]\",\"1,1e+30\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.conf.URI = filepath.Join(t.TempDir(), c.conf.URI)
			require.Equal(t, c.want, run(t, c.conf, c.items...))

			// Over something longer, and as a URL.
			require.NoError(t, os.WriteFile(c.conf.URI, bytes.Repeat([]byte("old\n"), 1000), 0o600))
			file := c.conf.URI
			c.conf.Overwrite = true
			if runtime.GOOS != "windows" {
				c.conf.URI = "file://" + c.conf.URI
			}
			env, _ := environment(t)
			s := start(t, env, c.conf)
			write(t, s, c.items...)
			require.NoError(t, s.Close())
			require.Equal(t, c.want, read(t, file))
			require.EqualValues(t, 1, env.Stats.Int("feedexport/success_count/FileFeedStorage"))
		})
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file, before string
		fields             []string
		want               string // after lamp
	}{
		{name: "lines", file: "f.jsonl", before: chairJSON + "\n", want: chairJSON + "\n" + lampJSON + "\n"},
		{name: "lines, the last one cut", file: "f.jsonl", before: chairJSON + "\n{\"na", want: chairJSON + "\n{\"na\n" + lampJSON + "\n"},
		{name: "array", file: "f.json", before: "[\n" + chairJSON + "\n]\n", want: "[\n" + chairJSON + ",\n" + lampJSON + "\n]\n"},
		{name: "array, one line", file: "f.json", before: "[{}]", want: "[{},\n" + lampJSON + "\n]\n"},
		{name: "array, empty", file: "f.json", before: " [ ]\n", want: " [\n" + lampJSON + "\n]\n"},
		{name: "array, long", file: "f.json", before: "[\"" + strings.Repeat("x", 9000) + "\"\t\n]", want: "[\"" + strings.Repeat("x", 9000) + "\",\n" + lampJSON + "\n]\n"},
		{name: "nothing", file: "f.json", before: "", want: "[\n" + lampJSON + "\n]\n"},
		{name: "table", file: "f.csv", before: "price,name,colour\n1,x,red\n", want: "price,name,colour\n1,x,red\n" + `1e+21,"Lamp ""Ines"", <b>&</b>",` + "\n"},
		{name: "table, the same fields asked", file: "f.csv", before: "price\n", fields: []string{"price"}, want: "price\n1e+21\n"},
		{name: "table, the last line cut", file: "f.csv", before: "Plain,price\ntrue,0.", want: "Plain,price\ntrue,0.\nfalse,1e+21\n"},
		{name: "table of a spreadsheet", file: "f.csv", before: "\ufeffprice,Plain\r\n", want: "\ufeffprice,Plain\r\n1e+21,false\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conf := crawl.Feed{URI: filepath.Join(t.TempDir(), c.file), Fields: c.fields}
			require.NoError(t, os.WriteFile(conf.URI, []byte(c.before), 0o600))
			if c.before != "" {
				require.Equal(t, c.before, run(t, conf), "no item, no change")
				conf.SkipEmpty = true
				require.Equal(t, c.before, run(t, conf), "nor with SkipEmpty")
			}
			require.Equal(t, c.want, run(t, conf, lamp))
		})
	}
}

func TestAppendThreeTimes(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl", "f.json", "f.csv", "f.xml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			whole := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)}, lamp, chair, lamp)
			parts := crawl.Feed{URI: filepath.Join(t.TempDir(), file)}
			for _, item := range []any{lamp, chair, lamp} {
				run(t, parts, item)
			}
			require.Equal(t, whole, read(t, parts.URI))
		})
	}
}

// TestValidAfterEveryItem reads the file between the items.
func TestValidAfterEveryItem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, _ := environment(t)
	array, lines, rows := filepath.Join(dir, "a.json"), filepath.Join(dir, "l.jsonl"), filepath.Join(dir, "t.csv")
	s := start(t, env, crawl.Feed{URI: array}, crawl.Feed{URI: lines}, crawl.Feed{URI: rows})
	for n := range 20 {
		var got []map[string]any
		require.NoError(t, json.Unmarshal([]byte(read(t, array)), &got))
		require.Len(t, got, n)
		require.Equal(t, n, strings.Count(read(t, lines), "\n"))
		table, err := csv.NewReader(strings.NewReader(read(t, rows))).ReadAll()
		require.NoError(t, err)
		require.Len(t, table, min(n, 1)+n)
		write(t, s, map[string]any{"n": n, "text": strings.Repeat("x", 100-5*n)})
	}
	require.NoError(t, s.Close())
}

func TestSkipEmpty(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl", "f.json", "f.csv", "f.xml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			conf := crawl.Feed{URI: filepath.Join(dir, "new", "deep", file), SkipEmpty: true, Overwrite: true}
			env, _ := environment(t)
			require.NoError(t, start(t, env, conf).Close())
			require.Empty(t, files(t, dir), "nor folders")

			want := run(t, conf, lamp)
			require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)}, lamp), want)

			// What an earlier crawl has found is not what this one has.
			require.NoError(t, start(t, env, conf).Close())
			require.NoFileExists(t, conf.URI)
		})
	}
}

// files are the paths below a folder, relative to it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if name != dir {
			rel, _ := filepath.Rel(dir, name)
			list = append(list, rel)
		}
		return err
	}))
	return list
}

// TestNothingIsTouched opens feeds of which the last one is wrong.
func TestNothingIsTouched(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		bad  crawl.Feed
		want string
	}{
		{"no format", crawl.Feed{URI: "x.doc"}, `feed x.doc: no format "doc"; there are "csv", "json", "jsonl", "xml", "yaml"`},
		{"no target", crawl.Feed{URI: "s3://bucket/x.json"}, `feed s3://bucket/x.json: no feed target "s3"; there are "-", "file", "ram"; ` +
			`for "s3" import github.com/tulle-go/tulle/pipeline/store/s3, and put its Open into Parts.Stores`},
		{"not linked", crawl.Feed{URI: "x.parquet"}, `feed x.parquet: no format "parquet"; there are "csv", "json", "jsonl", "xml", "yaml"; ` +
			`for "parquet" import github.com/tulle-go/tulle/pipeline/feed/parquet, and put its Format into Parts.Formats`},
		{"another machine", crawl.Feed{URI: "file://x.json"},
			"feed file://x.json: x.json would be another machine: write file:///path, or the path alone, which may be relative"},
		{"a target's name", crawl.Feed{URI: "sftp:/x.csv"},
			"feed sftp:/x.csv: sftp: looks like a target and not like a file's name: write sftp://… for a target, or ./sftp:/x.csv for a file of that name"},
		{"a bucket's name", crawl.Feed{URI: "s3:bucket/x.csv"},
			"feed s3:bucket/x.csv: s3: looks like a target and not like a file's name: write s3://… for a target, or ./s3:bucket/x.csv for a file of that name"},
		{"a target's unknown name", crawl.Feed{URI: `S3+x:\\host\x.csv`},
			`feed S3+x:\\host\x.csv: S3+x: looks like a target and not like a file's name: write s3+x://… for a target, or ./S3+x:\\host\x.csv for a file of that name`},
		{"a file without its slash", crawl.Feed{URI: "file:x.csv"},
			"feed file:x.csv: file: looks like a target and not like a file's name: write file://… for a target, or ./file:x.csv for a file of that name"},
		{"a folder", crawl.Feed{URI: "DIR", Format: "json"}, "feed DIR: open DIR: is a directory"},
		{"below a file", crawl.Feed{URI: "DIR/old.jsonl/x.json"}, "feed DIR/old.jsonl/x.json: mkdir DIR/old.jsonl: not a directory"},
		{"no array", crawl.Feed{URI: "DIR/old.jsonl", Format: "json"}, "feed DIR/old.jsonl: the file is no JSON array: overwrite it (-O), or append to another file"},
		{"no table", crawl.Feed{URI: "DIR/quote.csv"}, "feed DIR/quote.csv: the file's first line is no CSV: overwrite it (-O), or append to another file: " +
			`line 1: bare " in the cell "a \"b"`},
		{"twice", crawl.Feed{URI: "DIR/deep/../new.json"}, "feed DIR/deep/../new.json: this file is another feed's already"},
		{"other columns", crawl.Feed{URI: "DIR/over2.csv", Fields: []string{"name", "price"}}, `feed DIR/over2.csv: the file begins with "price", and this feed would ` +
			`begin with "name,price": choose the same fields, overwrite it (-O), or append to another file`},
		{"another format", crawl.Feed{URI: "DIR/over2.csv", Format: "jsonl"},
			"feed DIR/over2.csv: the file begins as a table or another text does, and this feed writes jsonl: overwrite it (-O), or append to another file"},
		{"lines in a table", crawl.Feed{URI: "DIR/lines.jsonl", Format: "csv"},
			"feed DIR/lines.jsonl: the file begins as jsonl does, and this feed writes csv: overwrite it (-O), or append to another file"},
		{"not compressed", crawl.Feed{URI: "DIR/lines.jsonl", Compress: "gzip"},
			"feed DIR/lines.jsonl: the file begins as jsonl does, and this feed writes jsonl in gzip: overwrite it (-O), or append to another file"},
		{"not to be appended", crawl.Feed{URI: "DIR/old.yaml"}, "feed DIR/old.yaml: format yaml cannot be appended to; overwrite it (-O)"},
		{"stdout twice", crawl.Feed{URI: "-", Format: "csv"}, "feed -: standard output is another feed's already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := func(s string) string { return strings.ReplaceAll(s, "DIR", dir) }
			for _, name := range []string{"old.jsonl", "old.yaml", "over.csv"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("old\n"), 0o600))
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "quote.csv"), []byte("a \"b\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "over2.csv"), []byte("price\n1\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "lines.jsonl"), []byte("{}\n"), 0o600))
			before := files(t, dir)

			env, _ := environment(t)
			env.Settings.Parts.Formats = map[string]crawl.FeedFormat{"yaml": func(crawl.Feed) (crawl.FeedEncoder, error) { return yaml{}, nil }}
			env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"ram": nil}
			var out bytes.Buffer
			env.Settings.Stdout = &out
			c.bad.URI = path(c.bad.URI)
			_, err := Open(t.Context(), env, []crawl.Feed{
				{URI: filepath.Join(dir, "over.csv"), Overwrite: true}, {URI: filepath.Join(dir, "new.json")}, {URI: "-"},
				{URI: filepath.Join(dir, "deep/er/new.csv")}, c.bad,
			})
			require.EqualError(t, err, path(c.want))
			require.Equal(t, before, files(t, dir))
			require.Equal(t, "old\n", read(t, filepath.Join(dir, "over.csv")))
			require.Zero(t, out.Len())
		})
	}
}

// yaml is a format that can't be appended to.
type yaml struct{}

func (yaml) Begin(any) ([]byte, error) { return []byte("---\n"), nil }
func (yaml) Between() []byte           { return nil }
func (yaml) End() []byte               { return []byte("...\n") }
func (yaml) Record(dst []byte, item any) ([]byte, error) {
	return fmt.Appendf(dst, "- %v\n", item), nil
}

func TestArrays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"[", "]", "{}", `{"a":[1]`, `{"a":[1]}`, "[1", "x]", "\n\n", `"]"`} {
		_, err := new(jsonArray).Append(strings.NewReader(text), int64(len(text)))
		require.Error(t, err, text)
	}
}

func TestLinkedFormat(t *testing.T) {
	t.Parallel()
	env, _ := environment(t)
	env.Settings.Parts.Formats = map[string]crawl.FeedFormat{
		"yaml": func(crawl.Feed) (crawl.FeedEncoder, error) { return yaml{}, nil },
		"bad":  func(crawl.Feed) (crawl.FeedEncoder, error) { return nil, errors.New("no key") },
	}
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.yaml")}
	s := start(t, env, conf)
	write(t, s, 1, 2)
	require.NoError(t, s.Close())
	require.Equal(t, "---\n- 1\n- 2\n...\n", read(t, conf.URI))

	_, err := Open(t.Context(), env, []crawl.Feed{{URI: "x", Format: "bad"}})
	require.EqualError(t, err, "feed x: no key")
	require.NoFileExists(t, "x")
}

func TestStdout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format, none, two string
		skip              bool
	}{
		{"", "", lampJSON + "\n" + chairJSON + "\n", false},
		{"json", "[\n]\n", "[\n" + lampJSON + ",\n" + chairJSON + "\n]\n", false},
		{"json", "", "[\n" + lampJSON + ",\n" + chairJSON + "\n]\n", true},
		{"csv", "", head + lampCSV + chairCSV, false},
	} {
		for _, uri := range []string{"-", "stdout:"} {
			var none, two bytes.Buffer
			env, _ := environment(t)
			env.Settings.Stdout = &none
			require.NoError(t, start(t, env, crawl.Feed{URI: uri, Format: c.format, SkipEmpty: c.skip}).Close())
			require.Equal(t, c.none, none.String(), c.format)

			env.Settings.Stdout = &two
			s := start(t, env, crawl.Feed{URI: uri, Format: c.format, SkipEmpty: c.skip})
			require.Zero(t, two.Len(), "nothing before the first item")
			write(t, s, lamp, chair)
			require.NoError(t, s.Close())
			require.Equal(t, c.two, two.String(), c.format)
			require.EqualValues(t, 2, env.Stats.Int("feedexport/success_count/StdoutFeedStorage"))
		}
	}
}

// TestDevice writes to what cannot be read or cut.
func TestDevice(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	env, logs := environment(t)
	good := filepath.Join(t.TempDir(), "good.jsonl")
	s := start(t, env, crawl.Feed{URI: "/dev/full", Format: "csv"}, crawl.Feed{URI: "/dev/null", Format: "json"}, crawl.Feed{URI: good})
	for range 3 {
		_, err := s.Process(t.Context(), lamp)
		var stop *crawl.CloseSpiderError
		require.ErrorAs(t, err, &stop)
		require.Equal(t, ReasonFailed, stop.Reason)
	}
	require.Equal(t, 1, logs.FilterMessage("feed cannot be written").Len(), "said once")
	err := s.Close()
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.EqualError(t, err, "feed /dev/full: write /dev/full: no space left on device")
	require.Equal(t, strings.Repeat(lampJSON+"\n", 3), read(t, good), "others get what is in flight")
	require.EqualValues(t, 1, env.Stats.Int("feedexport/failed_count/FileFeedStorage"))
	require.EqualValues(t, 2, env.Stats.Int("feedexport/success_count/FileFeedStorage"))
}

// TestFullDisk is a disk that takes a part of a record.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"jsonl": lampJSON + "\n",
		"json":  "[\n" + lampJSON + "\n]\n",
		"csv":   head + lampCSV,
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			env, _ := environment(t)
			disk := &disk{limit: int64(len(want)) + 20}
			env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"disk": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) { return disk, nil }}
			s := start(t, env, crawl.Feed{URI: "disk://x", Format: format})
			write(t, s, lamp)
			_, err := s.Process(t.Context(), chair)
			require.ErrorAs(t, err, new(*crawl.CloseSpiderError))
			require.Equal(t, want, string(disk.b), "whole again")
			require.ErrorIs(t, s.Close(), syscall.ENOSPC)
			require.Equal(t, want, string(disk.b))
		})
	}
}

// disk is a file on a disk with room for limit bytes.
type disk struct {
	crawl.FeedFile
	b     []byte
	limit int64
}

func (d *disk) Size() (int64, error) { return int64(len(d.b)), nil }
func (d *disk) Close() error         { return nil }
func (d *disk) Truncate(n int64) error {
	d.b = d.b[:n]
	return nil
}

func (d *disk) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

func (d *disk) WriteAt(b []byte, off int64) (int, error) {
	fits := min(int64(len(b)), d.limit-off)
	d.b = append(d.b[:off], b[:fits]...)
	if fits < int64(len(b)) {
		return int(fits), syscall.ENOSPC
	}
	return len(b), nil
}

// TestReaderGone is `| head`.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	env, logs := environment(t)
	env.Settings.Stdout = w
	file := filepath.Join(t.TempDir(), "f.json")
	s := start(t, env, crawl.Feed{URI: "-", Format: "json"}, crawl.Feed{URI: file})
	write(t, s, lamp)
	require.NoError(t, r.Close())
	for range 2 {
		_, err := s.Process(t.Context(), chair)
		var stop *crawl.CloseSpiderError
		require.ErrorAs(t, err, &stop)
		require.Equal(t, ReasonReaderGone, stop.Reason)
	}
	require.NoError(t, s.Close())
	require.Zero(t, logs.Len())
	require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+",\n"+chairJSON+"\n]\n", read(t, file))
}

// TestBadItem cannot be encoded; the feed goes on.
func TestBadItem(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"f.jsonl": "{}\n" + lampJSON + "\n", "f.json": "[\n" + lampJSON + "\n]\n", "f.csv": head + lampCSV} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			env, _ := environment(t)
			conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file)}
			if file == "f.jsonl" {
				require.NoError(t, os.WriteFile(conf.URI, []byte("{}"), 0o600))
			}
			s := start(t, env, conf)
			_, err := s.Process(t.Context(), &product{Price: math.NaN()})
			require.EqualError(t, err, "feed "+conf.URI+": item of type *feed.product: json: unsupported value: NaN")
			write(t, s, lamp)
			_, err = s.Process(t.Context(), &product{Price: math.NaN()})
			require.Error(t, err)
			require.NoError(t, s.Close())
			require.Equal(t, want, read(t, conf.URI))
		})
	}
}

type selfWritten struct{ A, B int }

func (selfWritten) MarshalJSON() ([]byte, error) { return []byte(`{"z":1,"y":2}`), nil }

type Loop struct {
	*Loop
	Name string
	Text string `json:",omitempty"`
}

func TestColumns(t *testing.T) {
	t.Parallel()
	type clash struct {
		Dated
		Seen int `json:"seen"`
	}
	for _, c := range []struct {
		item any
		want []string
	}{
		{lamp, []string{"seen", "name", "price", "stock", "tags", "specs", "Plain"}},
		{*lamp, []string{"seen", "name", "price", "stock", "tags", "specs", "Plain"}},
		{clash{}, []string{"seen"}},
		{selfWritten{}, []string{"z", "y"}},
		{&Loop{}, []string{"Name", "Text"}},
		{map[string]any{"b": 1, "a": 2}, []string{"a", "b"}},
		{map[string]int{"b": 1, "a": 2}, []string{"a", "b"}},
	} {
		b, err := json.Marshal(c.item)
		require.NoError(t, err)
		require.Equal(t, c.want, fieldNames(c.item, b), "%T", c.item)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 200
	dir := t.TempDir()
	env, _ := environment(t)
	array, rows := filepath.Join(dir, "f.json"), filepath.Join(dir, "f.csv")
	s := start(t, env, crawl.Feed{URI: array}, crawl.Feed{URI: rows})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.Process(t.Context(), map[string]any{"id": w*each + i, "text": strings.Repeat("é", i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())

	var got []struct {
		ID   int
		Text string
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, array)), &got))
	table, err := csv.NewReader(strings.NewReader(read(t, rows))).ReadAll()
	require.NoError(t, err)
	require.Len(t, table, workers*each+1)
	ids := make(map[int]bool)
	for _, g := range got {
		ids[g.ID] = true
		require.Equal(t, strings.Repeat("é", g.ID%each), g.Text)
	}
	require.Len(t, ids, workers*each)
	for _, row := range table[1:] {
		id, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("é", id%each), row[1])
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, format := range []string{"jsonl", "json", "csv", "xml", "jsonl.gz", "jsonl.zst", "csv.gz"} {
		b.Run(format, func(b *testing.B) {
			env, _ := environment(b)
			s := start(b, env, crawl.Feed{URI: filepath.Join(b.TempDir(), "f."+format)})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Process(b.Context(), lamp); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// TestFilesWithColons are files: a colon alone is no target's.
func TestFilesWithColons(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for uri, name := range map[string]string{
		"10:30.jsonl": "10:30.jsonl", "shop:lamps.jsonl": "shop:lamps.jsonl", "./sftp:x.jsonl": "sftp:x.jsonl", "file:" + filepath.ToSlash(dir) + "/a.jsonl": "a.jsonl", "File://" + filepath.ToSlash(dir) + "/b.jsonl": "b.jsonl",
	} {
		if runtime.GOOS == "windows" && strings.Contains(name, ":") {
			continue
		}
		env, _ := environment(t)
		s := start(t, env, crawl.Feed{URI: uri})
		write(t, s, lamp)
		require.NoError(t, s.Close())
		require.Equal(t, lampJSON+"\n", read(t, filepath.Join(dir, name)), uri)
	}
}

// TestLaterBatchIsThere is found before the crawl, if the first name does not say when the batch begins.
func TestLaterBatchIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []string{"2", "3"} {
		run(t, crawl.Feed{URI: filepath.Join(dir, n+".jsonl")}, lamp)
		run(t, crawl.Feed{URI: filepath.Join(dir, n+".json.gz")}, lamp)
	}
	run(t, crawl.Feed{URI: filepath.Join(dir, "3.csv")}, lamp)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "2.counted"), []byte("old"), 0o600))
	before := files(t, dir)
	env, _, temp, _ := remoteEnv(t)
	for file, want := range map[string]string{
		"%(batch_id)d.json.gz": "/2.json.gz: format json cannot be appended to when it is compressed: its end would have to be taken away; overwrite it (-O), or write jsonl",
		"%(batch_id)d.counted": "/2.counted: format counted cannot be appended to; overwrite it (-O)",
		"%(batch_id)d.jsonl":   "",
		"%(batch_id)d.csv":     "", // there is no second one
	} {
		conf := crawl.Feed{URI: filepath.Join(dir, file), BatchItems: 1}
		for range 2 {
			s, err := Open(t.Context(), env, []crawl.Feed{conf})
			if want == "" || conf.Overwrite {
				require.NoError(t, err)
				require.NoError(t, s.Undo())
			} else {
				require.EqualError(t, err, "feed "+conf.URI+": "+dir+want)
			}
			require.Equal(t, before, files(t, dir))
			require.Empty(t, files(t, temp))
			conf.Overwrite = true
		}
	}
}
