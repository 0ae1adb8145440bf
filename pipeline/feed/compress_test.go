package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// unpacked is what a file holds whose first bytes say how it is compressed. It must be whole: standard library and zstd read it to its end.
func unpacked(t testing.TB, text string) string {
	t.Helper()
	switch {
	case strings.HasPrefix(text, "\x1f\x8b"):
		z, err := gzip.NewReader(strings.NewReader(text))
		require.NoError(t, err)
		b, err := io.ReadAll(z)
		require.NoError(t, err)
		return string(b)
	case strings.HasPrefix(text, "\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(strings.NewReader(text))
		require.NoError(t, err)
		defer z.Close()
		b, err := io.ReadAll(z)
		require.NoError(t, err)
		return string(b)
	}
	return text
}

// packed is a text as other programs compress it, by the end of a file's name.
func packed(t testing.TB, file, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch path.Ext(file) {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".zst":
		z, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		w = z
	default:
		return text
	}
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// TestPacker reads what is there after each of many flushes, with ends of several lengths.
func TestPacker(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{gzipped, zstded} {
		for _, level := range []int{0, 1, 9} {
			p, err := newPacker(kind, level)
			require.NoError(t, err)
			r := rand.New(rand.NewPCG(1, 2))
			var file, text bytes.Buffer
			check := func() {
				for _, end := range []string{"", "\n]\n", strings.Repeat("end", 80)} {
					got := unpacked(t, file.String()+string(p.closing([]byte(end), false)))
					require.Equal(t, text.String()+end, got)
				}
			}
			check()
			for range 200 {
				for range r.IntN(4) {
					b := []byte(strings.Repeat(fmt.Sprint(r.IntN(1000)), r.IntN(3000)))
					text.Write(b)
					n, err := p.Write(b)
					require.NoError(t, err)
					require.Equal(t, len(b), n)
				}
				require.NoError(t, p.flush())
				file.Write(p.out.Bytes())
				p.out.Reset()
				check()
			}
			require.Less(t, file.Len(), text.Len()/10)

			// Another process goes on behind what is there.
			next, err := newPacker(kind, level)
			require.NoError(t, err)
			next.goOn(p.member)
			p = next
			check()
			text.WriteString("more")
			_, err = p.Write([]byte("more"))
			require.NoError(t, err)
			require.NoError(t, p.flush())
			file.Write(p.out.Bytes())
			p.out.Reset()
			check()
		}
	}
	_, err := newPacker(gzipped, 12)
	require.EqualError(t, err, "level is 12: gzip has 1 to 9")
	_, err = newPacker("bzip2", 0)
	require.EqualError(t, err, `compress is "bzip2": want gzip, zstd or none`)
}

// TestCompressed writes feeds in all formats, and reads them while they grow: whatever is flushed is whole records.
func TestCompressed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl.gz", "f.json.gz", "f.csv.gz", "f.xml.gz", "f.jsonl.zst", "f.json.zst", "f.csv.ZSTD", "f.xml.zst"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			plain := strings.TrimSuffix(file, path.Ext(file))
			want := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), plain)}, lamp, chair)
			require.Equal(t, want, unpacked(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)}, lamp, chair)))
			empty := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), plain)})
			got := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)})
			require.NotEmpty(t, got, "a compressed file of nothing is a file")
			require.Equal(t, empty, unpacked(t, got))

			none := filepath.Join(t.TempDir(), file)
			require.Equal(t, want, run(t, crawl.Feed{URI: none, Format: strings.TrimPrefix(path.Ext(plain), "."), Compress: "none"}, lamp, chair))

			var out bytes.Buffer
			env, _ := environment(t)
			env.Settings.Stdout = &out
			s := start(t, env, crawl.Feed{URI: "-", Format: strings.TrimPrefix(path.Ext(plain), "."), Compress: gzipped})
			write(t, s, lamp, chair)
			require.NoError(t, s.Close())
			require.Equal(t, want, unpacked(t, out.String()))
		})
	}
}

// TestCompressedWhileItGrows reads the file a second after each item, as somebody would after kill -9.
func TestCompressedWhileItGrows(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl.gz", "f.json.zst"} {
		name := filepath.Join(t.TempDir(), file)
		synctest.Test(t, func(t *testing.T) {
			env, _ := environment(t)
			s := start(t, env, crawl.Feed{URI: name})
			for n := range 30 {
				write(t, s, map[string]any{"n": n, "text": strings.Repeat("x", 100)})
				time.Sleep(flushEvery + time.Millisecond)
				text := unpacked(t, read(t, name))
				require.Equal(t, n+1, strings.Count(text, `"n"`))
				if strings.HasPrefix(file, "f.json.") {
					require.True(t, json.Valid([]byte(text)))
				}
			}
			require.NoError(t, s.Close())
		})
	}
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		name := filepath.Join(t.TempDir(), "f.jsonl.gz")
		env, _ := environment(t)
		s := start(t, env, crawl.Feed{URI: name})
		r := rand.New(rand.NewPCG(1, 2))
		seen := 0
		for n := range 3000 {
			write(t, s, map[string]any{"n": n, "text": r.Uint64(), "more": strings.Repeat("x", 500)})
			if n%100 == 0 {
				if b := read(t, name); len(b) > 0 {
					text := unpacked(t, b)
					require.True(t, text == "" || strings.HasSuffix(text, "\n"), "whole records")
					seen = strings.Count(text, "\n")
				}
			}
		}
		require.Greater(t, seen, 2000, "what is much is not kept back for a second")
		require.NoError(t, s.Close())
		require.Equal(t, 3000, strings.Count(unpacked(t, read(t, name)), "\n"))
	})
}

// TestAppendCompressed goes on behind members of others.
func TestAppendCompressed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl.gz", "f.csv.gz", "f.jsonl.zst", "f.csv.zst"} {
		plain := strings.TrimSuffix(file, path.Ext(file))
		dir := t.TempDir()
		want := run(t, crawl.Feed{URI: filepath.Join(dir, plain)}, lamp, chair, lamp)
		conf := crawl.Feed{URI: filepath.Join(dir, file)}
		text := run(t, crawl.Feed{URI: filepath.Join(dir, "first-"+plain)}, lamp)
		require.NoError(t, os.WriteFile(conf.URI, []byte(packed(t, file, text)), 0o600))
		for range 2 {
			run(t, conf)
		}
		require.Equal(t, packed(t, file, text), read(t, conf.URI), "no item, no change")
		run(t, conf, chair)
		run(t, conf, lamp)
		require.Equal(t, want, unpacked(t, read(t, conf.URI)))

		whole := read(t, conf.URI)
		require.NoError(t, os.WriteFile(conf.URI, []byte(whole[:len(whole)-3]), 0o600))
		env, _ := environment(t)
		_, err := Open(t.Context(), env, []crawl.Feed{conf})
		require.ErrorContains(t, err, "feed "+conf.URI+": the file is not whole, and what is appended could not be read: overwrite it (-O), or append to another file: ")
	}
	// A feed without items is begun anew: it may be what a crawl left that was killed at its start.
	for _, file := range []string{"f.json.gz", "f.json.zst", "f.xml.gz"} {
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file)}
		run(t, conf)
		require.NotEmpty(t, read(t, conf.URI))
		run(t, conf, lamp)
		require.Contains(t, unpacked(t, read(t, conf.URI)), "Lamp", file)
	}
	name := filepath.Join(t.TempDir(), "f.json.gz")
	run(t, crawl.Feed{URI: name}, lamp)
	env, _ := environment(t)
	_, err := Open(t.Context(), env, []crawl.Feed{{URI: name}})
	require.EqualError(t, err, "feed "+name+": format json cannot be appended to when it is compressed: its end would have to be taken away; overwrite it (-O), or write jsonl")
	_, err = Open(t.Context(), env, []crawl.Feed{{URI: name, Format: "csv", Compress: "zstd"}})
	require.EqualError(t, err, "feed "+name+": the file begins as gzip does, and this feed writes csv in zstd: overwrite it (-O), or append to another file")
}

// TestFullDiskCompressed leaves what was flushed before.
func TestFullDiskCompressed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"f.jsonl.gz", "f.json.zst"} {
		env, _ := environment(t)
		place := &disk{limit: 1 << 20}
		env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"disk": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) { return place, nil }}
		s := start(t, env, crawl.Feed{URI: "disk://x/" + file})
		write(t, s, lamp)
		s.feeds[0].tick(time.Now())
		want := run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), strings.TrimSuffix(file, path.Ext(file)))}, lamp)
		require.Equal(t, want, unpacked(t, string(place.b)))
		place.limit = int64(len(place.b)) + 3
		write(t, s, chair)
		s.feeds[0].tick(time.Now())
		require.Equal(t, want, unpacked(t, string(place.b)), "whole again")
		_, err := s.Process(t.Context(), chair)
		requireReason(t, err, ReasonFailed)
		require.ErrorIs(t, s.Close(), syscall.ENOSPC)
		require.Equal(t, want, unpacked(t, string(place.b)))
	}
}

// TestFullDiskSaysWhatIsLost counts the items that were compressed and are in no file.
func TestFullDiskSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	env, _ := environment(t)
	place := &disk{limit: 1 << 20}
	env.Settings.Parts.Targets = map[string]crawl.FeedTarget{"disk": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) { return place, nil }}
	s := start(t, env, crawl.Feed{URI: "disk://x/f.jsonl.gz"})
	write(t, s, lamp)
	s.feeds[0].tick(time.Now())
	place.limit = int64(len(place.b)) + 3
	write(t, s, chair, chair)
	err := s.Close()
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.EqualError(t, err, "feed disk://x/f.jsonl.gz: no space left on device; items that may be lost, since they were compressed and not yet written: 2")
}
