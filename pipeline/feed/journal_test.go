package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
)

// job is a job's state, and its folder, for runs that come one after the other.
type job struct {
	t     testing.TB
	dir   string
	state map[string][]byte
}

func newJob(t testing.TB) *job {
	t.Helper()
	return &job{t: t, dir: filepath.Join(t.TempDir(), "job"), state: make(map[string][]byte)}
}

func (j *job) env() (*crawl.Env, *observer.ObservedLogs) {
	env, logs := environment(j.t)
	env.State = maps.Clone(j.state)
	env.Settings.Job.Dir = j.dir
	return env, logs
}

// start opens feeds as a crawl with the job does.
func (j *job) start(feeds ...crawl.Feed) *jobRun {
	j.t.Helper()
	env, _ := j.env()
	return &jobRun{j: j, s: start(j.t, env, feeds...)}
}

// refused is the error of opening a feed.
func (j *job) refused(conf crawl.Feed) string {
	j.t.Helper()
	env, _ := j.env()
	_, err := Open(j.t.Context(), env, []crawl.Feed{conf})
	require.Error(j.t, err)
	return err.Error()
}

// at is the stored position of the only feed.
func (j *job) at() (p position) {
	j.t.Helper()
	require.Len(j.t, j.state, 1)
	for _, v := range j.state {
		require.NoError(j.t, json.Unmarshal(v, &p))
	}
	return p
}

// jobRun is one process of a job.
type jobRun struct {
	j *job
	s *Feeds
}

// page is what was kept with a page, by feed.
type page map[crawl.Journal]*bytes.Buffer

// page sends the items of a page through the stage.
func (r *jobRun) page(items ...any) page {
	r.j.t.Helper()
	kept := page{}
	ctx := crawl.WithPageKeeper(r.j.t.Context(), func(to crawl.Journal, record []byte) error {
		if kept[to] == nil {
			kept[to] = new(bytes.Buffer)
		}
		kept[to].Write(record)
		return nil
	})
	for _, item := range items {
		out, err := r.s.Process(ctx, item)
		require.NoError(r.j.t, err)
		require.Equal(r.j.t, item, out)
	}
	return kept
}

// append has the feeds write what was kept, and returns what is to be committed.
func (r *jobRun) append(pages ...page) (state map[string][]byte, err error) {
	state = make(map[string][]byte)
	for _, f := range r.s.feeds {
		var lines []io.Reader
		for _, p := range pages {
			if p[f] != nil {
				lines = append(lines, bytes.NewReader(p[f].Bytes()))
			}
		}
		if lines == nil {
			continue
		}
		key, value, err := f.Append(lines)
		if err != nil {
			return nil, err
		}
		if key != "" {
			state[key] = value
		}
	}
	return state, nil
}

func (r *jobRun) commit(pages ...page) {
	r.j.t.Helper()
	state, err := r.append(pages...)
	require.NoError(r.j.t, err)
	maps.Copy(r.j.state, state)
	for _, f := range r.s.feeds {
		if _, ok := state[f.key]; ok {
			any(f).(crawl.CommitWatcher).Committed()
		}
	}
}

func (r *jobRun) close() {
	r.j.t.Helper()
	require.NoError(r.j.t, r.s.Close())
}

// crash ends the process: nothing is closed properly.
func (r *jobRun) crash() {
	r.j.t.Helper()
	r.s.stopTicking()
	r.s.uploads.cancel()
	r.s.uploads.wg.Wait()
	for _, f := range r.s.feeds {
		if f.part != nil {
			require.NoError(r.j.t, f.file.Close())
		}
		require.NoError(r.j.t, f.closeStore())
	}
}

// TestExactlyOnce kills a job between any two steps, with what the disk may then hold, and goes on. The file must be that of a run which nobody killed.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	groups := [][]any{{lamp, chair}, {chair}, {lamp, lamp, chair}}
	before := map[string]string{
		"f.jsonl": chairJSON + "\n{\"cut", "f.json": "[\n" + chairJSON + "\n]\n", "f.csv": "price,name\n1,x\n",
		"f.xml": `<?xml version="1.0" encoding="utf-8"?>` + "\n<items>\n<item><n>1</n></item>\n</items>\n",
	}
	// What a crash may make of what was written after the last commit. keep is how much of the file is safe.
	damages := map[string]func(b []byte, keep int) []byte{
		"all is there":    func(b []byte, _ int) []byte { return b },
		"nothing is":      func(b []byte, keep int) []byte { return b[:keep] },
		"one byte is":     func(b []byte, keep int) []byte { return b[:min(keep+1, len(b))] },
		"three bytes are": func(b []byte, keep int) []byte { return b[:min(keep+3, len(b))] }, // as many as an array's end has
		"half of it is":   func(b []byte, keep int) []byte { return b[:(keep+len(b))/2] },
		"garbage":         func(b []byte, keep int) []byte { return append(b[:keep:keep], bytes.Repeat([]byte{0}, 9999)...) },
		"garbage behind":  func(b []byte, _ int) []byte { return append(b, "]]\n\x00\x00"...) },
	}
	for _, file := range []string{"f.jsonl", "f.json", "f.csv", "f.xml", "f.jsonl.gz", "f.json.gz", "f.csv.gz", "f.xml.gz", "f.jsonl.zst", "f.json.zst", "f.csv.zst"} {
		bare := strings.TrimSuffix(strings.TrimSuffix(file, ".gz"), ".zst")
		for _, mode := range []string{"new", "append", "overwrite"} {
			if mode == "append" && (before[bare] == "" || bare != file && bare != "f.jsonl" && bare != "f.csv") {
				continue
			}
			t.Run(file+" "+mode, func(t *testing.T) {
				t.Parallel()
				read := func(t testing.TB, name string) string {
					t.Helper()
					return unpacked(t, read(t, name))
				}
				begin := func() (*job, crawl.Feed) {
					j := newJob(t)
					conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file), Overwrite: mode == "overwrite"}
					if mode != "new" {
						require.NoError(t, os.WriteFile(conf.URI, []byte(packed(t, file, before[bare])), 0o600))
					}
					return j, conf
				}
				j, conf := begin()
				r := j.start(conf)
				for _, g := range groups {
					r.commit(r.page(g...))
				}
				r.close()
				want := read(t, conf.URI)
				switch mode {
				case "append":
					require.True(t, strings.HasPrefix(want, strings.TrimSuffix(strings.TrimSuffix(before[bare], "\n]\n"), "\n</items>\n")), want)
				default:
					require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), bare)}, slices.Concat(groups...)...), want)
				}
				for name, damage := range damages {
					for dies := range groups {
						j, conf := begin()
						r := j.start(conf)
						for k, g := range groups {
							if k != dies {
								r.commit(r.page(g...))
								continue
							}
							at := r.s.feeds[0].at.offset
							_, err := r.append(r.page(g...), r.page(lamp))
							require.NoError(t, err)
							r.crash()
							b, err := os.ReadFile(conf.URI)
							require.NoError(t, err)
							require.NoError(t, os.WriteFile(conf.URI, damage(b, int(at)), 0o600))
							r = j.start(conf)
							r.commit(r.page(g...))
						}
						r.close()
						require.Equal(t, want, read(t, conf.URI), "%s, group %d", name, dies)
						require.EqualValues(t, 6, j.at().Items)

						// The finished job is started once more.
						j.start(conf).close()
						require.Equal(t, want, read(t, conf.URI))
					}
				}
			})
		}
	}
}

// TestPosition is what the state holds.
func TestPosition(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "a", "..", "f.json")}
	r := j.start(conf)
	r.commit(r.page(lamp), r.page(chair))
	r.close()
	text := "[\n" + lampJSON + ",\n" + chairJSON
	require.Equal(t, text+"\n]\n", read(t, conf.URI))
	key := crawl.FeedPrefix + filepath.ToSlash(filepath.Clean(conf.URI))
	require.JSONEq(t, fmt.Sprintf(`{"bytes":%d,"items":2,"crc":%d,"format":"json"}`, len(text), 3080379857), string(j.state[key]))
}

func TestRefused(t *testing.T) {
	t.Parallel()
	long := map[string]any{"text": strings.Repeat("x", 9000)}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, conf *crawl.Feed)
		want   string
	}{
		{"shorter", func(t *testing.T, conf *crawl.Feed) { require.NoError(t, os.Truncate(conf.URI, 9000)) },
			"the file has 9000 bytes, and this job has left 9012 in it: put the file back as it was, or start a new job in another folder"},
		{"missing", func(t *testing.T, conf *crawl.Feed) { require.NoError(t, os.Remove(conf.URI)) },
			"the file has 0 bytes, and this job has left 9012 in it: put the file back as it was, or start a new job in another folder"},
		{"changed", func(t *testing.T, conf *crawl.Feed) {
			b := []byte(read(t, conf.URI))
			b[8000]++
			require.NoError(t, os.WriteFile(conf.URI, b, 0o600))
		}, "the file has 9012 bytes, but the first 9012 are not those that this job has left in it: put the file back as it was, or start a new job in another folder"},
		{"another format", func(_ *testing.T, conf *crawl.Feed) { conf.Format = "csv" },
			"this job has written it as jsonl, and not as csv: go on with that format, or start a new job in another folder"},
	} {
		for _, overwrite := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, overwrite), func(t *testing.T) {
				t.Parallel()
				j := newJob(t)
				dir := t.TempDir()
				conf := crawl.Feed{URI: filepath.Join(dir, "f.jsonl"), Overwrite: overwrite}
				r := j.start(conf)
				r.commit(r.page(long))
				r.close()
				c.damage(t, &conf)
				before := files(t, dir)
				require.Equal(t, "feed "+conf.URI+": "+c.want, j.refused(conf))
				require.Equal(t, before, files(t, dir), "nothing was made")
			})
		}
	}

	t.Run("no appender", func(t *testing.T) {
		t.Parallel()
		env, _ := newJob(t).env()
		env.Settings.Parts.Formats = map[string]crawl.FeedFormat{"yaml": func(crawl.Feed) (crawl.FeedEncoder, error) { return yaml{}, nil }}
		name := filepath.Join(t.TempDir(), "f.yaml")
		_, err := Open(t.Context(), env, []crawl.Feed{{URI: name, Overwrite: true}})
		require.EqualError(t, err, "feed "+name+": format yaml cannot be appended to, and a job must be able to")
		require.NoFileExists(t, name)
	})
	t.Run("unreadable position", func(t *testing.T) {
		t.Parallel()
		j := newJob(t)
		name := filepath.Join(t.TempDir(), "f.json")
		j.state[crawl.FeedPrefix+filepath.ToSlash(name)] = []byte("{")
		require.Equal(t, "feed "+name+": read its position in the job: unexpected end of JSON input", j.refused(crawl.Feed{URI: name}))
	})
}

// TestNothingAppended is a job whose pages have not been done yet, or have no items.
func TestNothingAppended(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"f.jsonl": "", "f.json": "[\n]\n", "f.csv": "name\n"} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file), Overwrite: true, Fields: []string{"name"}}
		require.NoError(t, os.WriteFile(conf.URI, []byte("what was there"), 0o600))
		r := j.start(conf)
		require.Equal(t, want, read(t, conf.URI))
		dropped := r.page(map[string]any{"name": "x"})
		require.Len(t, dropped, 1)
		require.Equal(t, want, read(t, conf.URI), "an item is not written before its page is done")
		state, err := r.append(page{r.s.feeds[0]: new(bytes.Buffer)})
		require.NoError(t, err)
		require.Empty(t, state)
		r.close()
		require.Equal(t, want, read(t, conf.URI))

		r = j.start(conf)
		r.commit(r.page(map[string]any{"name": "y"}))
		r.close()
		require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file), Fields: conf.Fields}, map[string]any{"name": "y"}), read(t, conf.URI))
	}
}

// TestColumnsInAJob are fixed by the first item that was encoded, though its page may never be done, and stay when the job goes on.
func TestColumnsInAJob(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.csv")}
	r := j.start(conf)
	_, err := r.s.Process(t.Context(), map[string]any{"bad": math.NaN()})
	require.Error(t, err)
	r.page(map[string]any{"a": 1, "b": "x"})
	r.commit(r.page(map[string]any{"b": "y", "c": 2}))
	require.Equal(t, "a,b\n,y\n", read(t, conf.URI))
	r.crash()

	r = j.start(conf)
	r.commit(r.page(map[string]any{"c": 1, "b": "z"}), r.page(map[string]any{"a": 5}))
	r.close()
	require.Equal(t, "a,b\n,y\n,z\n5,\n", read(t, conf.URI))
}

// TestWithoutAPage is an item in a job that no page keeps.
func TestWithoutAPage(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.json")}
	r := j.start(conf)
	write(t, r.s, lamp)
	r.commit(r.page(chair))
	require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+"\n]\n", read(t, conf.URI))
	require.EqualValues(t, 2, j.at().Items)
	r.close()
}

// TestEmptyInAJob is SkipEmpty.
func TestEmptyInAJob(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	dir := t.TempDir()
	conf := crawl.Feed{URI: filepath.Join(dir, "deep", "f.json"), SkipEmpty: true}
	for range 2 {
		r := j.start(conf)
		r.page(lamp)
		r.close()
		require.Empty(t, files(t, dir))
	}
	r := j.start(conf)
	r.commit(r.page(lamp))
	r.close()
	r = j.start(conf)
	r.page(lamp)
	r.close()
	require.Equal(t, "[\n"+lampJSON+"\n]\n", read(t, conf.URI), "another run has found something")
}

// TestUndoInAJob opens feeds for a crawl that does not start.
func TestUndoInAJob(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	dir := t.TempDir()
	conf := crawl.Feed{URI: filepath.Join(dir, "f.jsonl"), Overwrite: true}
	r := j.start(conf)
	r.commit(r.page(lamp))
	_, err := r.append(r.page(chair))
	require.NoError(t, err)
	r.crash()
	before := read(t, conf.URI)

	env, _ := j.env()
	s, err := Open(t.Context(), env, []crawl.Feed{conf, {URI: filepath.Join(dir, "new", "f.csv")}})
	require.NoError(t, err)
	require.NoError(t, s.Undo())
	require.Equal(t, before, read(t, conf.URI))
	require.Equal(t, []string{"f.jsonl"}, files(t, dir))
}

// TestUntouched is a finished job that is started again.
func TestUntouched(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl", "f.json", "f.csv", "f.xml"} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file), Overwrite: true}
		r := j.start(conf)
		r.commit(r.page(lamp))
		r.close()
		then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		require.NoError(t, os.Chtimes(conf.URI, then, then))
		j.start(conf).close()
		info, err := os.Stat(conf.URI)
		require.NoError(t, err)
		require.True(t, then.Equal(info.ModTime()), file)
	}
}

// TestStartIsForgotten lets another crawl append to the file of a job that has not written to it yet.
func TestStartIsForgotten(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	name := func(s string) string { return filepath.Join(j.dir, s) }
	a, b := crawl.Feed{URI: name("../a.jsonl")}, crawl.Feed{URI: name("../b.jsonl")}
	r := j.start(a)
	require.FileExists(t, name(startsFile))
	r.close()
	require.NoFileExists(t, name(startsFile))
	run(t, a, chair)

	r = j.start(a, b)
	_, err := r.append(page{r.s.feeds[1]: r.page(lamp)[r.s.feeds[1]]})
	require.NoError(t, err)
	r.close() // without the commit: b has a line too many, a has not
	run(t, a, chair)
	r = j.start(a, b)
	r.commit(r.page(lamp))
	r.close()
	require.Equal(t, chairJSON+"\n"+chairJSON+"\n"+lampJSON+"\n", read(t, a.URI))
	require.Equal(t, lampJSON+"\n", read(t, b.URI))

	require.NoError(t, os.WriteFile(name(startsFile), []byte("{"), 0o600))
	require.Equal(t, "read where the job's feeds began: unexpected end of JSON input", j.refused(a))
}

// TestAnotherName is a file that is named in another way when the job goes on, and one that is not named any more.
func TestAnotherName(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	dir := t.TempDir()
	first, gone := crawl.Feed{URI: filepath.Join(dir, "f.jsonl")}, crawl.Feed{URI: filepath.Join(dir, "gone.jsonl")}
	r := j.start(first, gone)
	r.commit(r.page(lamp))
	r.close()
	link := filepath.Join(dir, "link.jsonl")
	if err := os.Symlink(first.URI, link); err != nil {
		t.Skip("no symbolic links here")
	}
	env, logs := j.env()
	r = &jobRun{j: j, s: start(t, env, crawl.Feed{URI: link, Overwrite: true})}
	r.commit(r.page(chair))
	r.close()
	require.Equal(t, lampJSON+"\n"+chairJSON+"\n", read(t, first.URI))
	require.Len(t, j.state, 2, "no new key")
	require.Equal(t, 1, logs.Len())
	require.Equal(t, map[string]any{"feed": filepath.ToSlash(gone.URI)}, logs.All()[0].ContextMap())
}

// frames yields n records of the given size, without holding them.
type frames struct {
	n    int
	one  []byte
	rest []byte
}

func newFrames(n, size int) *frames {
	one := binary.AppendUvarint(nil, uint64(size))
	one = append(one, bytes.Repeat([]byte("x"), size-1)...)
	return &frames{n: n, one: append(one, '\n')}
}

func (f *frames) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.n == 0 {
			return 0, io.EOF
		}
		f.n--
		f.rest = f.one
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// TestConstantMemory appends pages of many records and of large ones. It is not parallel: it counts what the whole process allocates.
func TestConstantMemory(t *testing.T) {
	for _, c := range []struct{ n, size int }{{100_000, 100}, {10, 1 << 20}} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")}
		r := j.start(conf)
		lines := []io.Reader{newFrames(c.n, c.size), newFrames(c.n, c.size)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		key, value, err := r.s.feeds[0].Append(lines)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		j.state[key] = value
		require.EqualValues(t, 2*c.n, j.at().Items)
		require.EqualValues(t, 2*c.n*c.size, j.at().Bytes)
		r.close()
		info, err := os.Stat(conf.URI)
		require.NoError(t, err)
		require.EqualValues(t, 2*c.n*c.size, info.Size())
	}
}

// TestAppendFails is an Append that does not come to its end.
func TestAppendFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the spool broke")
	many := make([]any, 800) // more than is written at once
	for i := range many {
		many[i] = lamp
	}
	for _, c := range []struct {
		name string
		tear func(b []byte) io.Reader
		want string
	}{
		{"error", func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b[:len(b)-50]), errorReader{broken}) }, broken.Error()},
		{"cut record", func(b []byte) io.Reader { return bytes.NewReader(b[:len(b)-1]) }, "read what was kept with a page: unexpected EOF"},
		{"cut length", func(b []byte) io.Reader { return bytes.NewReader(append(b, 0x80)) }, "read what was kept with a page: unexpected EOF"},
		{"bad length", func(b []byte) io.Reader { return bytes.NewReader(append(b, bytes.Repeat([]byte{0xff}, 10)...)) },
			"read what was kept with a page: binary: varint overflows a 64-bit integer"},
		{"huge length", func(b []byte) io.Reader { return bytes.NewReader(binary.AppendUvarint(b, math.MaxUint64)) },
			"read what was kept with a page: unexpected EOF"},
	} {
		for _, file := range []string{"f.jsonl", "f.json", "f.csv", "f.xml"} {
			t.Run(c.name+" "+file, func(t *testing.T) {
				t.Parallel()
				j := newJob(t)
				conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file)}
				for k := range 2 { // first with nothing in the feed, then with something
					r := j.start(conf)
					before := read(t, conf.URI)
					f := r.s.feeds[0]
					good := r.page(chair)[f].Bytes()
					torn := r.page(many...)[f].Bytes()
					_, _, err := f.Append([]io.Reader{bytes.NewReader(good), c.tear(torn)})
					require.EqualError(t, err, "feed "+conf.URI+": "+c.want)
					requireReason(t, err, ReasonFailed)
					require.Equal(t, before, read(t, conf.URI), "whole again")

					_, _, again := f.Append(nil)
					require.EqualError(t, again, err.Error(), "it is for good")
					_, err = r.s.Process(t.Context(), lamp)
					requireReason(t, err, ReasonFailed)
					require.NoError(t, r.s.Close(), "it has been said")
					require.EqualValues(t, 1, r.s.env.Stats.Int("feedexport/failed_count/FileFeedStorage"))

					r = j.start(conf)
					r.commit(r.page(chair))
					r.close()
					require.EqualValues(t, k+1, j.at().Items)
				}
				require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)}, chair, chair), read(t, conf.URI))
			})
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	var stop *crawl.CloseSpiderError
	require.ErrorAs(t, err, &stop)
	require.Equal(t, reason, stop.Reason)
}

// stubborn is a full disk that does not let a file be cut either.
type stubborn struct {
	*file
	room int64
}

func (s *stubborn) WriteAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) <= s.room {
		return s.file.WriteAt(b, off)
	}
	n, err := s.file.WriteAt(b[:max(0, s.room-off)], off)
	return n, errors.Join(err, syscall.ENOSPC)
}

func (*stubborn) Truncate(int64) error { return syscall.EIO }

// TestFullDiskInAJob leaves a record in part. The next opening takes it away.
func TestFullDiskInAJob(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"f.jsonl", "f.json", "f.csv", "f.xml"} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), name)}
		r := j.start(conf)
		r.commit(r.page(chair))
		f := r.s.feeds[0]
		f.rw = &stubborn{f.file.(*file), f.at.offset + 20}
		_, err := r.append(r.page(lamp))
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorIs(t, err, syscall.EIO)
		requireReason(t, err, ReasonFailed)
		r.close()
		require.Len(t, read(t, conf.URI), int(f.at.offset+20))

		r = j.start(conf)
		r.commit(r.page(lamp))
		r.close()
		require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), name)}, chair, lamp), read(t, conf.URI))
	}
}

// TestPipeInAJob is standard output: written when pages are done, and without a position.
func TestPipeInAJob(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"jsonl": lampJSON + "\n" + chairJSON + "\n", "json": "[\n" + lampJSON + ",\n" + chairJSON + "\n]\n", "csv": head + lampCSV + chairCSV,
	} {
		j := newJob(t)
		var out bytes.Buffer
		env, _ := j.env()
		env.Settings.Stdout = &out
		r := &jobRun{j: j, s: start(t, env, crawl.Feed{URI: "-", Format: format})}
		first, second := r.page(lamp), r.page(chair)
		require.Zero(t, out.Len())
		r.commit(first)
		require.True(t, strings.HasPrefix(want, out.String()) && out.Len() > 0)
		r.commit(second)
		r.close()
		require.Equal(t, want, out.String())
		require.Empty(t, j.state)
		require.NoDirExists(t, j.dir, "there is nothing to note")
	}
}

// TestReaderGoneInAJob is `| head`. The pages whose items nobody has read are not committed.
func TestReaderGoneInAJob(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	j := newJob(t)
	env, logs := j.env()
	env.Settings.Stdout = out
	r := &jobRun{j: j, s: start(t, env, crawl.Feed{URI: "-"})}
	r.commit(r.page(lamp))
	require.NoError(t, in.Close())
	_, err = r.append(r.page(chair))
	require.ErrorIs(t, err, syscall.EPIPE)
	requireReason(t, err, ReasonReaderGone)
	_, err = r.s.Process(t.Context(), chair)
	requireReason(t, err, ReasonReaderGone)
	r.close()
	require.Zero(t, logs.Len())
}

// TestKeepFails is a page that cannot keep a record.
func TestKeepFails(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")}
	r := j.start(conf)
	ctx := crawl.WithPageKeeper(t.Context(), func(crawl.Journal, []byte) error { return syscall.ENOSPC })
	_, err := r.s.Process(ctx, lamp)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.False(t, errors.As(err, new(*crawl.CloseSpiderError)), "the feed itself is well")
	r.commit(r.page(lamp))
	r.close()
	require.Equal(t, lampJSON+"\n", read(t, conf.URI))
}

// TestManyAtOnceInAJob encodes on many goroutines while another one appends.
func TestManyAtOnceInAJob(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 40
	j := newJob(t)
	conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.json")}
	r := j.start(conf)
	f := r.s.feeds[0]
	pages := make(chan []byte)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				var kept []byte
				ctx := crawl.WithPageKeeper(context.Background(), func(_ crawl.Journal, record []byte) error {
					kept = append(kept, record...)
					return nil
				})
				for k := range 2 {
					if _, err := r.s.Process(ctx, map[string]any{"id": (w*each+i)*2 + k, "text": strings.Repeat("é", i)}); err != nil {
						t.Error(err)
					}
				}
				pages <- kept
			}
		})
	}
	go func() {
		wg.Wait()
		close(pages)
	}()
	for p := range pages {
		key, value, err := f.Append([]io.Reader{bytes.NewReader(p)})
		require.NoError(t, err)
		j.state[key] = value
	}
	r.close()
	var got []struct {
		ID   int
		Text string
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, conf.URI)), &got))
	require.Len(t, got, 2*workers*each)
	ids := make(map[int]bool)
	for _, g := range got {
		ids[g.ID] = true
		require.Equal(t, strings.Repeat("é", g.ID/2%each), g.Text)
	}
	require.Len(t, ids, 2*workers*each)
	require.EqualValues(t, 2*workers*each, j.at().Items)
}

// BenchmarkAppend is a group of a hundred pages with an item each, to the disk.
func BenchmarkAppend(b *testing.B) {
	j := newJob(b)
	r := j.start(crawl.Feed{URI: filepath.Join(b.TempDir(), "f.json")})
	p := r.page(lamp)
	pages := slices.Repeat([]page{p}, 100)
	b.ReportAllocs()
	for b.Loop() {
		r.commit(pages...)
	}
	r.close()
}

// TestStartThatDoesNotHold is a feed whose first records were not committed, and whose file is not what it was when the job goes on.
func TestStartThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		change    string // what is in the file when the job goes on, if anything
		overwrite bool
		want      string
	}{
		{"overwritten now", "", true, lampJSON + "\n"},
		{"replaced", "{\"another\": \"file\"}\n{\"longer\": \"than the first\"}\n", false, "{\"another\": \"file\"}\n{\"longer\": \"than the first\"}\n" + lampJSON + "\n"},
		{"shorter", "{}\n", false, "{}\n" + lampJSON + "\n"},
	} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")}
		require.NoError(t, os.WriteFile(conf.URI, []byte("{}\n{}\n"), 0o600))
		r := j.start(conf)
		_, err := r.append(r.page(chair))
		require.NoError(t, err)
		r.crash()
		if c.change != "" {
			require.NoError(t, os.WriteFile(conf.URI, []byte(c.change), 0o600))
		}
		conf.Overwrite = c.overwrite
		r = j.start(conf)
		r.commit(r.page(lamp))
		r.close()
		require.Equal(t, c.want, read(t, conf.URI), c.name)
	}
}

// syncing is a file that says what is in it when it is synced.
type syncing struct {
	*file
	t      *testing.T
	synced []string
	err    error
}

func (s *syncing) Sync() error {
	s.synced = append(s.synced, read(s.t, s.Name()))
	return s.err
}

// TestSyncedBeforeItIsCommitted has the whole file synced before Append returns a position.
func TestSyncedBeforeItIsCommitted(t *testing.T) {
	t.Parallel()
	j := newJob(t)
	r := j.start(crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")})
	f := r.s.feeds[0]
	place := &syncing{file: f.file.(*file), t: t}
	f.file, f.rw = place, place
	r.commit(r.page(lamp), r.page(chair))
	require.Equal(t, []string{lampJSON + "\n" + chairJSON + "\n"}, place.synced)
	place.err = syscall.EIO
	_, err := r.append(r.page(lamp))
	require.ErrorIs(t, err, syscall.EIO)
	requireReason(t, err, ReasonFailed)
	r.close()
}
