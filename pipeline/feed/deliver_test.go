package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// counted is a format that is made at its end: how many records there are, then the records.
type counted struct {
	head string
	fail error
}

var _ crawl.FeedBuilder = (*counted)(nil)

func (c *counted) Begin(first any) ([]byte, error) { return []byte(c.head), nil }
func (*counted) Between() []byte                   { return nil }
func (*counted) End() []byte                       { return nil }

func (*counted) Record(dst []byte, item any) ([]byte, error) {
	if item == "bad" {
		return dst, errors.New("a bad item")
	}
	return fmt.Append(dst, item), nil
}

func (c *counted) Build(w io.Writer, records iter.Seq2[[]byte, error]) error {
	n := 0
	for _, err := range records { // once to count
		if err != nil {
			return err
		}
		n++
	}
	fmt.Fprintf(w, "%d records:", n)
	for r, err := range records {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, " %s", r)
	}
	fmt.Fprintln(w, ".")
	return c.fail
}

func withCounted(env *crawl.Env, c *counted) {
	if env.Settings.Parts.Formats == nil {
		env.Settings.Parts.Formats = make(map[string]crawl.FeedFormat)
	}
	env.Settings.Parts.Formats["counted"] = func(crawl.Feed) (crawl.FeedEncoder, error) { return &counted{c.head, c.fail}, nil }
}

// bucket is a store that remembers each Put, and can be made to fail or to hang.
type bucket struct {
	store.Memory

	mu      sync.Mutex
	uri     string                  // Guarded by mu: what it was opened with.
	puts    []string                // Guarded by mu: name, size and type.
	fail    func(name string) error // Guarded by mu: asked at each Put.
	hang    bool                    // Guarded by mu: Put waits for the end of its context.
	closed  int                     // Guarded by mu.
	unready error
}

func (b *bucket) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	b.mu.Lock()
	fail, hang := b.fail, b.hang
	b.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if fail != nil {
		if err := fail(name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts = append(b.puts, fmt.Sprintf("%s %d %s", name, len(text), meta.ContentType))
	return b.Memory.Put(ctx, name, bytes.NewReader(text), meta)
}

func (b *bucket) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *bucket) Probe(context.Context) error { return b.unready }

func (b *bucket) text(t testing.TB, name string) string {
	t.Helper()
	r, err := b.Open(t.Context(), name)
	require.NoError(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func withBucket(env *crawl.Env, b *bucket) {
	env.Settings.Parts.Stores = map[string]crawl.OpenStore{"s3": func(_ context.Context, uri string, _ *crawl.Env) (crawl.Store, error) {
		b.uri = uri
		return b, nil
	}, "ftp": func(_ context.Context, uri string, _ *crawl.Env) (crawl.Store, error) {
		b.uri = uri
		return b, nil
	}}
}

// remoteEnv is an environment with a bucket and a folder for what is on its way.
func remoteEnv(t testing.TB) (env *crawl.Env, b *bucket, temp string, logs func(message string) int) {
	t.Helper()
	env, observed := environment(t)
	b, temp = new(bucket), t.TempDir()
	env.Settings.FeedExport.TempDir = temp
	env.Settings.FeedExport.UploadTimeout = time.Hour
	withBucket(env, b)
	withCounted(env, new(counted))
	return env, b, temp, func(message string) int { return observed.FilterMessage(message).Len() }
}

// TestRemote sends feeds to a store when they are complete.
func TestRemote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, kind string }{
		{"f.jsonl", "application/x-ndjson"}, {"f.json", "application/json"}, {"f.csv", "text/csv; charset=utf-8"}, {"f.xml", "application/xml"},
		{"f.jsonl.gz", "application/gzip"}, {"f.json.zst", "application/zstd"},
	} {
		env, b, temp, _ := remoteEnv(t)
		var closed []crawl.FeedResult
		env.Settings.Trace.FeedClosed = func(f crawl.FeedResult) { closed = append(closed, f) }
		s := start(t, env, crawl.Feed{URI: "s3://bucket/a/b/" + c.file})
		require.Equal(t, "s3://bucket/a/b", b.uri)
		write(t, s, lamp, chair)
		require.Empty(t, b.puts)
		require.NoError(t, s.Close())
		want := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), strings.TrimSuffix(strings.TrimSuffix(c.file, ".gz"), ".zst"))}, lamp, chair)
		got := b.text(t, c.file)
		require.Equal(t, want, unpacked(t, got))
		require.Equal(t, []string{fmt.Sprintf("%s %d %s", c.file, len(got), c.kind)}, b.puts)
		require.Equal(t, 1, b.closed)
		require.Empty(t, files(t, temp), "nothing is left")
		require.EqualValues(t, 1, env.Stats.Int("feedexport/success_count/S3FeedStorage"))
		result := crawl.FeedResult{
			Feed: "s3://bucket/a/b/" + c.file, URI: "s3://bucket/a/b/" + c.file, Format: formatName(&crawl.Feed{URI: c.file}), Items: 2, Bytes: int64(len(got)),
		}
		require.Equal(t, []crawl.FeedResult{result}, closed)
		require.Equal(t, []crawl.FeedResult{result}, s.Results())
	}
}

// TestRemoteRefused is found before the crawl.
func TestRemoteRefused(t *testing.T) {
	t.Parallel()
	env, b, temp, _ := remoteEnv(t)
	for _, c := range []struct{ uri, want string }{
		{"s3://bucket", "feed s3://bucket: no file is named behind the host or bucket"},
		{"s3://bucket/a/con.json", `feed s3://bucket/a/con.json: bad name: "con.json" `},
		{"S4://bucket/x.json", `feed S4://bucket/x.json: no feed target "s4"; there are "-", "file", "ftp", "s3"`},
		{"s3://bucket/x.json.gz.gz", `feed s3://bucket/x.json.gz.gz: no format "gz"; there are "counted", "csv", "json", "jsonl", "xml"`},
		{"s3://bucket/x.counted.gz", "feed s3://bucket/x.counted.gz: counted compresses what is in it: leave .gz out of the name; compress says how"},
		{"ftp://user:secret@host/x.yaml", `feed ftp://user:***@host/x.yaml: no format "yaml"`},
	} {
		_, err := Open(t.Context(), env, []crawl.Feed{{URI: c.uri}})
		require.ErrorContains(t, err, c.want)
	}
	b.unready = errors.New("read only")
	_, err := Open(t.Context(), env, []crawl.Feed{{URI: "s3://bucket/x.json"}})
	require.EqualError(t, err, "feed s3://bucket/x.json: nothing can be written there: read only")
	b.unready = nil
	_, err = Open(t.Context(), env, []crawl.Feed{{URI: "s3://bucket/%(name)s.json"}, {URI: "s3://bucket/shop.json", Format: "csv"}})
	require.EqualError(t, err, "feed s3://bucket/shop.json: this file is another feed's already")
	require.Empty(t, files(t, temp))
}

// TestUploadFails keeps the file and says where, and how to send it.
func TestUploadFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ uri, how string }{
		{"s3://bucket/f.jsonl", "send it with: aws s3 cp '%s' 's3://bucket/f.jsonl'"},
		{"ftp://user:secret@host/f.jsonl", "send it with: curl --ftp-create-dirs -T '%s' 'ftp://user:***@host/f.jsonl'"},
	} {
		temp := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			env, b, _, logs := remoteEnv(t)
			env.Settings.FeedExport.TempDir = temp
			b.fail = func(string) error { return errors.New("no such bucket") }
			s := start(t, env, crawl.Feed{URI: c.uri})
			write(t, s, lamp)
			began := time.Now()
			err := s.Close()
			require.Equal(t, 15*time.Second, time.Since(began), "1 + 2 + 4 + 8")
			kept := files(t, temp)
			require.Len(t, kept, 2)
			name := filepath.Join(temp, kept[1])
			shown := redacted(c.uri)
			require.EqualError(t, err, "feed "+shown+": upload: no such bucket: the items are kept in "+name+"; "+fmt.Sprintf(c.how, name))
			require.Equal(t, lampJSON+"\n", read(t, name))
			require.Equal(t, 4, logs("feed is not uploaded: it is tried again"))
			require.EqualValues(t, 1, env.Stats.Int("feedexport/failed_count/"+storageName(scheme(c.uri))))
			require.ErrorContains(t, s.Results()[0].Err, "no such bucket")
		})
	}
}

// TestNoTempDir names the setting, before anything is crawled.
func TestNoTempDir(t *testing.T) {
	t.Parallel()
	env, _, temp, _ := remoteEnv(t)
	env.Settings.FeedExport.TempDir = filepath.Join(temp, "none")
	s, err := Open(t.Context(), env, []crawl.Feed{{URI: "s3://bucket/f.jsonl"}})
	if err == nil {
		_, err = s.Open(t.Context(), env)
	}
	require.ErrorContains(t, err, "feed s3://bucket/f.jsonl: feed_export.temp_dir: ")
}

// TestUploadIsTriedAgain succeeds when the target is back.
func TestUploadIsTriedAgain(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		env, b, _, _ := remoteEnv(t)
		env.Settings.FeedExport.TempDir = temp
		tries := 0
		b.fail = func(string) error {
			if tries++; tries < 3 {
				return errors.New("connection reset")
			}
			return nil
		}
		s := start(t, env, crawl.Feed{URI: "s3://bucket/f.jsonl"})
		write(t, s, lamp)
		require.NoError(t, s.Close())
		require.Equal(t, 3, tries)
		require.Equal(t, lampJSON+"\n", b.text(t, "f.jsonl"))
	})
	require.Empty(t, files(t, temp))
}

// TestUploadHangs is given up: the end of a crawl has a limit, and a shorter one when somebody wants it to end.
func TestUploadHangs(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]time.Duration{"limit": 10 * time.Minute, "hurry": hurried} {
		temp := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			env, b, _, logs := remoteEnv(t)
			env.Settings.FeedExport = crawl.FeedExportSettings{TempDir: temp, UploadTimeout: 10 * time.Minute}
			b.hang = true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := Open(ctx, env, []crawl.Feed{{URI: "s3://bucket/f.jsonl"}})
			require.NoError(t, err)
			_, err = s.Open(ctx, env)
			require.NoError(t, err)
			write(t, s, lamp)
			if name == "hurry" {
				cancel()
			}
			began := time.Now()
			err = s.Close()
			require.Equal(t, limit, time.Since(began))
			require.ErrorContains(t, err, "feed s3://bucket/f.jsonl: upload: given up when the crawl ended: context canceled: the items are kept in "+temp)
			require.GreaterOrEqual(t, logs("the crawl is over but for feeds on their way"), int(limit/tellEvery)-1)
			require.Equal(t, 1, logs("feeds took too long to get to their places: their items are kept"))
		})
		require.Len(t, files(t, temp), 2)
	}
}

// TestBuilt makes files of their records.
func TestBuilt(t *testing.T) {
	t.Parallel()
	env, b, temp, _ := remoteEnv(t)
	withCounted(env, &counted{head: "head"})
	var out bytes.Buffer
	env.Settings.Stdout = &out
	name := filepath.Join(t.TempDir(), "deep", "f.counted")
	feeds := []crawl.Feed{{URI: name}, {URI: "s3://bucket/f.counted"}, {URI: "-", Format: "counted"}}
	s := start(t, env, feeds...)
	write(t, s, "a", "b")
	_, err := s.Process(t.Context(), "bad")
	require.ErrorContains(t, err, "a bad item")
	write(t, s, strings.Repeat("c", 1<<20))
	require.NoFileExists(t, name)
	require.NoError(t, s.Close())
	want := "4 records: head a b " + strings.Repeat("c", 1<<20) + ".\n"
	require.Equal(t, want, read(t, name))
	require.Equal(t, want, b.text(t, "f.counted"))
	require.Equal(t, want, out.String())
	require.Empty(t, files(t, temp))
	require.Len(t, files(t, filepath.Dir(name)), 1, "nothing beside it")
	require.EqualValues(t, 3, s.Results()[0].Items)
	require.EqualValues(t, len(want), s.Results()[0].Bytes)

	// Not over what is there, unless it is wanted.
	_, err = Open(t.Context(), env, feeds[:1])
	require.EqualError(t, err, "feed "+name+": format counted cannot be appended to; overwrite it (-O)")
	feeds[0].Overwrite = true
	s = start(t, env, feeds[0])
	require.Equal(t, want, read(t, name), "it stays until the new one is there")
	require.NoError(t, s.Close())
	require.Equal(t, "0 records:.\n", read(t, name))
	feeds[0].SkipEmpty = true
	s = start(t, env, feeds[0])
	require.NoError(t, s.Close())
	require.True(t, s.Results()[0].Skipped)

	// A folder that was made for a crawl which does not start is removed.
	deep := filepath.Join(t.TempDir(), "a")
	_, err = Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(deep, "b", "f.counted")}, {URI: "x.unknown"}})
	require.Error(t, err)
	require.NoDirExists(t, deep)
	require.Empty(t, files(t, temp))
	_, err = Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(deep, "f.counted")}, {URI: filepath.Join(deep, "x", "..", "f.counted")}})
	require.ErrorContains(t, err, "this file is another feed's already")
}

// TestBuildFails leaves what was there.
func TestBuildFails(t *testing.T) {
	t.Parallel()
	env, _, temp, _ := remoteEnv(t)
	withCounted(env, &counted{fail: errors.New("two schemas")})
	name := filepath.Join(t.TempDir(), "f.counted")
	require.NoError(t, os.WriteFile(name, []byte("old"), 0o600))
	s := start(t, env, crawl.Feed{URI: name, Overwrite: true})
	write(t, s, "a")
	err := s.Close()
	kept := files(t, temp)
	require.Len(t, kept, 2)
	require.EqualError(t, err, "feed "+name+": make the file: two schemas: the records of "+name+" are kept in "+filepath.Join(temp, kept[1]))
	require.Equal(t, "old", read(t, name))
	require.Len(t, files(t, filepath.Dir(name)), 1)
}

// TestBatches are put in their places as soon as they are full.
func TestBatches(t *testing.T) {
	t.Parallel()
	env, b, temp, _ := remoteEnv(t)
	dir := t.TempDir()
	uris := []string{dir + "/l%(batch_id)02d.jsonl", dir + "/%(batch_id)d/a.json.gz", dir + "/t%(batch_id)d.csv", dir + "/%(batch_id)d/c.counted", "s3://bucket/%(batch_id)d/f.json"}
	var feeds []crawl.Feed
	for _, uri := range uris {
		feeds = append(feeds, crawl.Feed{URI: uri, BatchItems: 2})
	}
	var mu sync.Mutex
	var closed []crawl.FeedResult
	env.Settings.Trace.FeedClosed = func(f crawl.FeedResult) {
		mu.Lock()
		defer mu.Unlock()
		closed = append(closed, f)
	}
	s := start(t, env, feeds...)
	write(t, s, lamp, chair)
	require.Equal(t, lampJSON+"\n"+chairJSON+"\n", read(t, dir+"/l01.jsonl"))
	require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+"\n]\n", unpacked(t, read(t, dir+"/1/a.json.gz")))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(closed) == 5
	}, 5*time.Second, time.Millisecond)
	require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+"\n]\n", b.text(t, "1/f.json"), "the crawl goes on")
	require.NoFileExists(t, dir+"/l02.jsonl", "no item, no file")
	write(t, s, chair, chair, lamp)
	require.NoError(t, s.Close())
	require.Equal(t, lampJSON+"\n", read(t, dir+"/l03.jsonl"))
	require.Equal(t, head+lampCSV, read(t, dir+"/t3.csv"), "each has its columns")
	require.Equal(t, head+chairCSV+chairCSV, read(t, dir+"/t2.csv"))
	require.Equal(t, fmt.Sprintf("2 records: %v %v.\n", chair, chair), read(t, dir+"/2/c.counted"))
	require.Equal(t, "[\n"+lampJSON+"\n]\n", b.text(t, "3/f.json"))
	require.Empty(t, files(t, temp))
	require.Len(t, closed, 15)
	for i, r := range s.Results() {
		require.Equal(t, uris[i], r.Feed)
		require.EqualValues(t, 5, r.Items)
		require.Equal(t, 3, r.Batch)
		require.NoError(t, r.Err)
	}

	// A batch that cannot be begun ends the crawl.
	require.NoError(t, os.MkdirAll(dir+"/x2.csv", 0o755))
	s = start(t, env, crawl.Feed{URI: dir + "/x%(batch_id)d.csv", BatchItems: 1})
	write(t, s, lamp) // the next begins with its first item
	_, err := s.Process(t.Context(), lamp)
	requireReason(t, err, ReasonFailed)
	require.EqualError(t, s.Close(), "feed "+dir+"/x%(batch_id)d.csv: "+dir+"/x2.csv: open "+dir+"/x2.csv: is a directory")
}

// TestBatchTime ends batches by the clock, also when no item comes.
func TestBatchTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		env, _ := environment(t)
		s := start(t, env, crawl.Feed{URI: dir + "/%(batch_time)s.json", BatchTime: time.Minute, BatchItems: 3, SkipEmpty: true})
		time.Sleep(10 * time.Minute)
		require.Empty(t, s.Results()[0].Items)
		for range 7 { // three fill a batch, and two begin at the same instant
			write(t, s, lamp)
		}
		time.Sleep(30 * time.Second)
		write(t, s, chair)
		time.Sleep(31 * time.Second)
		require.Equal(t, 3, s.Results()[0].Batch)
		write(t, s, lamp)
		require.NoError(t, s.Close())
		names := files(t, dir)
		require.Equal(t, []string{"2000-01-01T00-00-00.000000.json", "2000-01-01T00-10-00.000000.json", "2000-01-01T00-10-00.000001.json", "2000-01-01T00-11-01.000000.json"}, names)
		require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+"\n]\n", read(t, filepath.Join(dir, names[2])))
	})
}

// TestJobKeepsWhatIsBuiltOrSent kills a job between any two commits, with and without what was on its way having arrived, in files of their own and in batches.
func TestJobKeepsWhatIsBuiltOrSent(t *testing.T) {
	t.Parallel()
	pages := [][]any{{"1", "2", "3"}, {"4"}, {"5", "6", "7", "8", "9"}, {"10"}}
	all := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}
	for _, uri := range []string{"DIR/f.counted", "DIR/%(time)s.counted", "DIR/b%(batch_id)d.counted", "DIR/b%(batch_time)s.jsonl", "s3://bucket/f.jsonl.gz", "s3://bucket/%(batch_id)d.counted",
		"s3://bucket/b-%(batch_time)s.json", "DIR/b%(batch_id)d.jsonl.gz", "DIR/%(batch_id)d/f.csv", "s3://bucket/%(batch_time)s-%(time)s.csv.zst"} {
		t.Run(strings.NewReplacer("%", "", "(", "", ")", "").Replace(uri), func(t *testing.T) { // its folders have the name
			t.Parallel()
			for dies := range len(pages) + 1 {
				for _, how := range []string{"before the commit", "after the commit", "at the end"} {
					temp, dir, b := t.TempDir(), t.TempDir(), new(bucket)
					j := newJob(t)
					conf := crawl.Feed{URI: strings.ReplaceAll(uri, "DIR", dir)}
					if strings.Contains(uri, "batch_") {
						conf.BatchItems = 2
					}
					boot := func() *jobRun {
						env, _ := j.env()
						env.Settings.FeedExport.TempDir = temp
						withBucket(env, b)
						withCounted(env, &counted{head: "h"})
						return &jobRun{j: j, s: start(t, env, conf)}
					}
					item := func(v any) any {
						if strings.HasSuffix(uri, ".counted") {
							return v
						}
						return map[string]any{"n": v}
					}
					r := boot()
					for n, p := range pages {
						var items []any
						for _, v := range p {
							items = append(items, item(v))
						}
						if n == dies {
							kept := r.page(items...)
							switch how {
							case "before the commit":
								_, err := r.append(kept)
								require.NoError(t, err)
							case "after the commit":
								r.commit(kept)
							}
							r.crash()
							r = boot()
							if how == "after the commit" {
								continue
							}
						}
						r.commit(r.page(items...))
					}
					if dies == len(pages) {
						switch how {
						case "at the end":
							r.close()
							r = boot() // a finished job that is started again
						default:
							r.crash() // all is committed, and nothing is in its place
							env, _ := j.env()
							env.Settings.FeedExport.TempDir = temp
							withBucket(env, b)
							withCounted(env, &counted{head: "h"})
							s, err := Complete(t.Context(), env, []crawl.Feed{conf})
							require.NoError(t, err)
							r = &jobRun{j: j, s: s}
						}
					}
					r.close()
					got := collect(t, uri, dir, b)
					slices.SortFunc(got, func(a, b string) int { return len(a)*100 + strings.Compare(a, b) - len(b)*100 })
					require.Equal(t, all, got, "killed %s of page %d", how, dies)
					require.Empty(t, files(t, temp))
					if conf.BatchItems > 0 && !strings.Contains(uri, "/f.csv") {
						names := files(t, dir)
						if b.uri != "" {
							names = slices.Collect(maps.Keys(puts(b)))
						}
						require.Len(t, names, 5, "killed %s of page %d", how, dies)
					}
				}
			}
		})
	}
}

// puts are the names that a bucket has.
func puts(b *bucket) map[string]bool {
	names := make(map[string]bool)
	for _, p := range b.puts {
		name, _, _ := strings.Cut(p, " ")
		names[name] = true
	}
	return names
}

// collect reads the numbers that all files of a feed hold.
func collect(t *testing.T, uri, dir string, b *bucket) (all []string) {
	t.Helper()
	texts := make(map[string]string)
	if b.uri != "" {
		for name := range puts(b) {
			texts[name] = b.text(t, name)
		}
	} else {
		for _, name := range files(t, dir) {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
				texts[name] = read(t, filepath.Join(dir, name))
			}
		}
	}
	for name, text := range texts {
		text = unpacked(t, text)
		if strings.HasSuffix(name, ".counted") {
			before, after, ok := strings.Cut(strings.TrimSuffix(text, ".\n"), " records: h")
			require.True(t, ok, text)
			numbers := strings.Fields(after)
			require.Equal(t, before, fmt.Sprint(len(numbers)+1))
			all = append(all, numbers...)
			continue
		}
		all = append(all, strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })...)
	}
	return all
}

// TestCompleteLeavesFeedsAlone is a finished job whose feeds have all in their places: stores are not asked, and files may have gone.
func TestCompleteLeavesFeedsAlone(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	env, b, _, _ := remoteEnv(t)
	env.State, env.Settings.Job.Dir = maps.Clone(j.state), j.dir
	feeds := []crawl.Feed{{URI: "s3://bucket/f.jsonl"}, {URI: filepath.Join(t.TempDir(), "f.jsonl")}, {URI: "s3://bucket/f.counted"}}
	r := &jobRun{j: j, s: start(t, env, feeds...)}
	r.commit(r.page(lamp))
	r.close()
	require.Len(t, b.puts, 2)
	env, _, _, _ = remoteEnv(t)
	env.State, env.Settings.Job.Dir = maps.Clone(j.state), j.dir
	withBucket(env, b)
	(&jobRun{j: j, s: start(t, env, feeds...)}).close() // a run that has found nothing more
	require.Len(t, b.puts, 2, "what is there is not sent again")
	require.NoError(t, os.Remove(feeds[1].URI))
	b.uri = ""
	env, _, _, _ = remoteEnv(t)
	env.State, env.Settings.Job.Dir = maps.Clone(j.state), j.dir
	withBucket(env, b)
	s, err := Complete(t.Context(), env, feeds)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Empty(t, b.uri)
	require.Empty(t, s.Results())
}

// TestTornSpool is a record that was cut: it cannot come to pass in what is committed, and is said.
func TestTornSpool(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "spool")
	b := binary.BigEndian.AppendUint32(nil, 3)
	b = append(b, "abc"...)
	for cut := range b {
		require.NoError(t, os.WriteFile(name, append(bytes.Clone(b), b[:cut]...), 0o600))
		var got []string
		var failed error
		for r, err := range records(name) {
			got, failed = append(got, string(r)), err
		}
		require.Equal(t, "abc", got[0])
		if cut == 0 {
			require.NoError(t, failed)
		} else {
			require.ErrorIs(t, failed, io.ErrUnexpectedEOF)
		}
	}
}

// TestPlacedAfterItsCommit is a full batch whose last page was not committed: it is in no place, and another page gets there first in the next process, with an item as long.
func TestPlacedAfterItsCommit(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"s3://bucket/%(batch_id)d.jsonl", "DIR/%(batch_id)d.counted"} {
		for first := range 2 { // items of the batch that were committed
			j, dir, b := newJob(t), t.TempDir(), new(bucket)
			boot := func() *jobRun {
				env, _ := j.env()
				withBucket(env, b)
				withCounted(env, new(counted))
				return &jobRun{j: j, s: start(t, env, crawl.Feed{URI: strings.ReplaceAll(uri, "DIR", dir), BatchItems: 2})}
			}
			r := boot()
			items := []any{map[string]any{"n": 1}, map[string]any{"n": 2}, map[string]any{"n": 3}}
			for _, item := range items[:first] {
				r.commit(r.page(item))
			}
			_, err := r.append(r.page(items[first:2]...))
			require.NoError(t, err)
			r.s.uploads.wg.Wait()
			require.Empty(t, placedBatches(t, dir, b))
			r.crash()
			r = boot()
			r.commit(r.page(items[2]))
			if first == 1 {
				r.s.uploads.wg.Wait()
				require.Equal(t, []string{"1 3"}, placedBatches(t, dir, b), "as soon as it is committed")
			}
			r.commit(r.page(items[first:2]...))
			r.close()
			want := []string{"1 3", "2"}
			if first == 0 {
				want = []string{"2", "3 1"}
			}
			require.Equal(t, want, placedBatches(t, dir, b), "%s, %d committed", uri, first)
		}
	}
}

// placedBatches are the numbers in each of a feed's files, sorted.
func placedBatches(t *testing.T, dir string, b *bucket) []string {
	t.Helper()
	var texts []string
	for name := range puts(b) {
		texts = append(texts, b.text(t, name))
	}
	for _, name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		if info.Mode().IsRegular() {
			texts = append(texts, read(t, filepath.Join(dir, name)))
		}
	}
	for i, text := range texts {
		text = strings.TrimPrefix(unpacked(t, text), `<?xml version="1.0" encoding="utf-8"?>`)
		if before, after, ok := strings.Cut(text, " records:"); ok {
			require.Equal(t, before, fmt.Sprint(strings.Count(text, "n:")))
			text = after
		}
		texts[i] = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }), " ")
	}
	slices.Sort(texts)
	return texts
}

// TestBatchesAfterAnyCrash kills jobs at random moments, and pages find other items, or none, when they are asked again. The files are those of a run without a crash that
// has found what was committed: no batch of other items stays, and none is missing.
func TestBatchesAfterAnyCrash(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"s3://bucket/%(batch_id)d.jsonl", "s3://bucket/%(batch_time)s.counted", "DIR/%(batch_id)d/f.counted", "DIR/b%(batch_id)d.jsonl", "DIR/%(batch_id)d/f.json",
		"DIR/b-%(batch_time)s.csv", "DIR/b%(batch_id)d.xml.gz"} {
		t.Run(strings.NewReplacer("%", "", "(", "", ")", "", "/", "").Replace(uri), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 9))
				j, dir, b := newJob(t), t.TempDir(), new(bucket)
				size := 1 + r.IntN(3)
				boot := func() *jobRun {
					env, _ := j.env()
					withBucket(env, b)
					withCounted(env, new(counted))
					return &jobRun{j: j, s: start(t, env, crawl.Feed{URI: strings.ReplaceAll(uri, "DIR", dir), BatchItems: size})}
				}
				run, next := boot(), 0
				var committed, history []string
				for range 2 + r.IntN(8) {
					var items []any
					var numbers []string
					for range 1 + r.IntN(2*size+1) {
						next++
						items, numbers = append(items, map[string]any{"n": next}), append(numbers, fmt.Sprint(next))
					}
					kept := run.page(items...)
					switch r.IntN(4) {
					case 0: // between the writing and the commit
						_, err := run.append(kept)
						require.NoError(t, err)
						run.s.uploads.wg.Wait()
						history = append(history, fmt.Sprint(numbers, "lost"))
					case 1: // between the commit and what follows from it
						state, err := run.append(kept)
						require.NoError(t, err)
						maps.Copy(j.state, state)
						committed = append(committed, numbers...)
						history = append(history, fmt.Sprint(numbers, "killed"))
					default:
						run.commit(kept)
						committed = append(committed, numbers...)
						history = append(history, fmt.Sprint(numbers))
						continue
					}
					run.crash()
					run = boot()
				}
				run.close()
				if r.IntN(2) == 0 && (len(committed) > 0 || !strings.Contains(uri, "time")) {
					boot().close() // the finished job is started again
				}
				want := []string{}
				for batch := range slices.Chunk(committed, size) {
					want = append(want, strings.Join(batch, " "))
				}
				if len(want) == 0 {
					want = []string{""} // a feed without items is a file too
				}
				slices.Sort(want)
				require.Equal(t, want, placedBatches(t, dir, b), "seed %d, batches of %d: %s", seed, size, strings.Join(history, ", "))
				folders := make(map[string]bool)
				for _, name := range files(t, dir) {
					folders[filepath.Dir(name)] = true
				}
				for _, name := range files(t, dir) {
					info, err := os.Stat(filepath.Join(dir, name))
					require.NoError(t, err)
					require.True(t, !info.IsDir() || folders[name], "an empty folder is left: %s", name)
				}
			}
		})
	}
}

// TestStoppedBeforeTheFirstItem is a job that was stopped in good order, and has left a file without items in its place. It goes on.
func TestStoppedBeforeTheFirstItem(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.counted", "%(batch_id)d.counted"} {
		j, dir := newJob(t), t.TempDir()
		boot := func() *jobRun {
			env, _ := j.env()
			withCounted(env, new(counted))
			conf := crawl.Feed{URI: filepath.Join(dir, file)}
			if strings.Contains(file, "batch") {
				conf.BatchItems = 2
			}
			return &jobRun{j: j, s: start(t, env, conf)}
		}
		boot().close()
		require.Equal(t, []string{""}, placedBatches(t, dir, new(bucket)))
		r := boot()
		r.commit(r.page(map[string]any{"n": 1}))
		r.close()
		require.Equal(t, []string{"1"}, placedBatches(t, dir, new(bucket)))
	}
}

// TestBatchThatWasThere is cut back to what it was if what was appended to it was not committed.
func TestBatchThatWasThere(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"%(batch_id)d.jsonl", "%(batch_id)d.json", "%(batch_id)d.csv.gz"} {
		j, dir := newJob(t), t.TempDir()
		conf := crawl.Feed{URI: filepath.Join(dir, file), BatchItems: 1}
		second := filepath.Join(dir, strings.ReplaceAll(file, "%(batch_id)d", "2"))
		run(t, crawl.Feed{URI: second}, chair)
		before := unpacked(t, read(t, second))
		r := j.start(conf)
		_, err := r.append(r.page(lamp, lamp, lamp))
		require.NoError(t, err)
		require.NotEqual(t, before, unpacked(t, read(t, second)))
		require.Len(t, files(t, dir), 3)
		r.crash()
		j.start(conf).close()
		require.Equal(t, before, unpacked(t, read(t, second)))
		require.Len(t, files(t, dir), 2)
	}
}

// TestCloseWithoutTheCommit is a queue that was closed and has not committed what the feed has written: nothing of it gets to its place, and the next run goes on.
func TestCloseWithoutTheCommit(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"s3://bucket/f.jsonl", "s3://bucket/%(batch_id)d.jsonl"} {
		j, b := newJob(t), new(bucket)
		conf := crawl.Feed{URI: uri}
		if strings.Contains(uri, "batch") {
			conf.BatchItems = 1
		}
		boot := func() *jobRun {
			env, _ := j.env()
			withBucket(env, b)
			return &jobRun{j: j, s: start(t, env, conf)}
		}
		r := boot()
		r.commit(r.page(map[string]any{"n": 1}))
		_, err := r.append(r.page(map[string]any{"n": 2}))
		require.NoError(t, err)
		require.ErrorContains(t, r.s.Close(), "the job's last commit has not come to its end: the items of s3://bucket/")
		require.NotContains(t, strings.Join(placedBatches(t, t.TempDir(), b), " "), "2")
		boot().close()
		require.Equal(t, []string{"1"}, placedBatches(t, t.TempDir(), b))
	}
}

// panicking is a place that panics, as what somebody has written may.
type panicking struct{ at string }

func (p panicking) Write(b []byte) (int, error) { return len(b), p.panic("write") }
func (p panicking) Sync() error                 { return p.panic("sync") }
func (p panicking) Close() error                { return p.panic("close") }

func (p panicking) panic(at string) error {
	if p.at == at {
		panic("boom at " + at)
	}
	return nil
}

// TestPlaceThatPanics fails the part and not the process: what it has got is kept.
func TestPlaceThatPanics(t *testing.T) {
	t.Parallel()
	env, b, temp, logs := remoteEnv(t)
	b.fail = func(string) error { panic("boom") }
	s := start(t, env, crawl.Feed{URI: "s3://bucket/f.jsonl"})
	write(t, s, lamp)
	err := s.Close()
	kept := files(t, temp)
	require.Len(t, kept, 2)
	name := filepath.Join(temp, kept[1])
	require.EqualError(t, err, "feed s3://bucket/f.jsonl: upload: panic: boom: the items are kept in "+name+"; send it with: aws s3 cp '"+name+"' 's3://bucket/f.jsonl'")
	require.Equal(t, lampJSON+"\n", read(t, name))
	require.ErrorAs(t, err, new(*crawl.PanicError))
	require.Zero(t, logs("feed is not uploaded: it is tried again"), "it would panic again")

	for _, at := range []string{"write", "close"} { // where what is built goes, from front to back
		env, _, temp, _ := remoteEnv(t)
		env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"own": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) { return panicking{at}, nil }}
		s := start(t, env, crawl.Feed{URI: "own://x", Format: "counted"})
		write(t, s, "a")
		require.ErrorContains(t, s.Close(), "feed own://x: ")
		require.ErrorContains(t, s.Results()[0].Err, "panic: boom at "+at)
		require.Len(t, files(t, temp), 2, "the records are kept")
	}
}

// TestTickThatPanics is a place that panics when the clock brings something to it, and one that does when a page's items come in a job.
func TestTickThatPanics(t *testing.T) {
	t.Parallel()
	env, _ := environment(t)
	env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"own": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) { return panicking{"write"}, nil }}
	s := start(t, env, crawl.Feed{URI: "own://x.jsonl.gz"})
	write(t, s, lamp)
	s.feeds[0].tick(time.Now())
	_, err := s.Process(t.Context(), lamp)
	requireReason(t, err, ReasonFailed)
	require.ErrorContains(t, s.Close(), "feed own://x.jsonl.gz: panic: boom at write")

	s = start(t, env, crawl.Feed{URI: "own://x.jsonl"})
	_, err = s.Process(t.Context(), lamp)
	requireReason(t, err, ReasonFailed)
	require.ErrorContains(t, s.Close(), "feed own://x.jsonl: panic: boom at write")

	j := newJob(t)
	inJob, _ := j.env()
	inJob.Settings.Parts.Targets = env.Settings.Parts.Targets
	r := &jobRun{j: j, s: start(t, inJob, crawl.Feed{URI: "own://x.jsonl"})}
	_, err = r.append(r.page(lamp))
	requireReason(t, err, ReasonFailed)
	require.ErrorContains(t, err, "feed own://x.jsonl: panic: boom at write")
	r.close()
}
