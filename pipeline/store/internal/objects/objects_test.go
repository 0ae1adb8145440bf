package objects_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	stored := time.Date(2026, 11, 21, 1, 2, 3, 456789012, time.UTC)
	for _, rec := range []objects.Record{
		{},
		{Stored: stored},
		{Meta: crawl.Meta{Checksum: "1", Width: 2, Height: 3, ContentType: "image/jpeg"}},
		{Meta: crawl.Meta{ContentType: "application/octet-stream"}},
		{Meta: crawl.Meta{ContentType: "binary/octet-stream"}},
		{Meta: crawl.Meta{ContentType: "text/plain; name=\"é\""}},
		{Meta: crawl.Meta{ContentType: " text/plain"}},
		{Meta: crawl.Meta{ETag: "W/\"a  b\t%41\x00\"", FinalURL: "https://ü.example/ %"}},
		{Meta: crawl.Meta{Thumbs: map[string]crawl.Thumb{"é": {Path: "thumbs/é/日本 .jpg", Width: 1, Height: 2}}}},
	} {
		m := rec.Metadata(1900)
		for name, value := range m {
			require.True(t, objects.IsRecord(strings.ToUpper(name)))
			require.False(t, strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }), value)
		}
		require.Equal(t, rec, objects.ReadRecord(m, rec.ContentType()))
		upper := make(map[string]string)
		for name, value := range m {
			upper[strings.ToUpper(name)] = value
		}
		require.Equal(t, rec, objects.ReadRecord(upper, rec.ContentType()))
	}
}

func TestRecordOfOthers(t *testing.T) {
	t.Parallel()
	rec := objects.ReadRecord(map[string]string{"width": "7", "tulle-height": "x", "tulle-thumbs": "{", "tulle-etag": "%zz", "tulle-stored": "now"}, "text/html")
	require.Equal(t, objects.Record{Meta: crawl.Meta{ContentType: "text/html"}}, rec)
}

func TestKey(t *testing.T) {
	t.Parallel()
	a, err := objects.ParseAddress("s3://bucket/"+strings.Repeat("p/", 10), store.CheckName)
	require.NoError(t, err)
	require.Equal(t, "bucket", a.Bucket)
	require.Equal(t, strings.Repeat("p/", 9)+"p", a.Prefix)
	key, err := a.Key("full/a")
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("p/", 10)+"full/a", key)
	_, err = a.Key("../a")
	require.ErrorIs(t, err, store.ErrName)
	_, err = a.Key(strings.Repeat("x/", 510) + "x")
	require.ErrorIs(t, err, store.ErrName)
}

// TestUpload cuts sources of every length around the sizes of buffers, however they yield what they have.
func TestUpload(t *testing.T) {
	t.Parallel()
	b := objects.NewBuffers()
	block := make([]byte, 65537)
	for i := range block {
		block[i] = byte(i * 31 >> 3)
	}
	all := strings.Repeat(string(block), 2*objects.PartSize/len(block)+1)
	for _, size := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 256<<10 + 2, objects.PartSize - 1, objects.PartSize, objects.PartSize + 1, 2 * objects.PartSize, 2*objects.PartSize + 5} {
		want := all[:size]
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.DataErrReader, iotest.HalfReader} {
			up, err := b.Begin(t.Context(), wrap(strings.NewReader(want)))
			require.NoError(t, err)
			var got []byte
			for {
				got = append(got, up.Part...)
				if up.Last {
					break
				}
				require.Len(t, up.Part, objects.PartSize)
				require.NoError(t, up.Next())
				require.NotEmpty(t, up.Part)
			}
			up.Close()
			require.True(t, want == string(got), "%d bytes", size)
		}
	}
}

func TestUploadErrors(t *testing.T) {
	t.Parallel()
	b := objects.NewBuffers()
	broken := errors.New("broken")
	for _, size := range []int{0, 1000, 256 << 10, 300 << 10, objects.PartSize} {
		_, err := b.Begin(t.Context(), io.MultiReader(strings.NewReader(strings.Repeat("x", size)), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken)
		_, err = b.Begin(t.Context(), io.MultiReader(strings.NewReader(strings.Repeat("x", size)), iotest.ErrReader(io.ErrUnexpectedEOF)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	up, err := b.Begin(t.Context(), io.MultiReader(strings.NewReader(strings.Repeat("x", objects.PartSize+1)), iotest.ErrReader(broken)))
	require.NoError(t, err)
	require.ErrorIs(t, up.Next(), broken)
	up.Close()
}

// Four large files are in memory at once; others wait, and give up when they are told to.
func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	b := objects.NewBuffers()
	large := func() io.Reader { return strings.NewReader(strings.Repeat("x", 300<<10)) }
	var held []*objects.Upload
	for range 4 {
		up, err := b.Begin(t.Context(), large())
		require.NoError(t, err)
		held = append(held, up)
	}
	small, err := b.Begin(t.Context(), strings.NewReader("small"))
	require.NoError(t, err)
	small.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := b.Begin(ctx, large()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	cancel()
	wg.Wait()
	for _, up := range held {
		up.Close()
	}
	up, err := b.Begin(t.Context(), large())
	require.NoError(t, err)
	up.Close()
}
