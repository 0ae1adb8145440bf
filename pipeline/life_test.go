package pipeline

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

func TestLifeIsAContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		l := &life{Context: context.WithValue(context.WithoutCancel(t.Context()), key{}, 7)}
		require.Equal(t, 7, l.Value(key{}))
		require.NoError(t, l.Err())
		child, cancel := context.WithTimeout(l, time.Hour)
		defer cancel()
		var calls atomic.Int64
		count := func() { calls.Add(1) }
		stops := make([]func() bool, 5)
		for i := range stops {
			if i%2 == 0 {
				stops[i] = context.AfterFunc(l, count)
			} else {
				stops[i] = l.AfterFunc(count)
			}
		}
		require.True(t, stops[1]())
		require.True(t, stops[4]())
		require.False(t, stops[1](), "it was stopped before")
		l.end()
		l.end()
		synctest.Wait()
		require.EqualValues(t, 3, calls.Load())
		require.False(t, stops[0](), "it was called")
		require.False(t, stops[3](), "it was called")
		require.ErrorIs(t, l.Err(), context.Canceled)
		require.ErrorIs(t, context.Cause(l), context.Canceled)
		<-l.Done()
		require.ErrorIs(t, child.Err(), context.Canceled)
		require.False(t, l.AfterFunc(count)())
		synctest.Wait()
		require.EqualValues(t, 4, calls.Load(), "of a life that has ended, at once")

		early := &life{Context: t.Context()}
		done := early.Done()
		early.end()
		<-done
	})
}

// closing is the Kind of a FilesPipeline that has something to close.
type closing struct {
	Kind
	closed *int
}

func (k closing) Unwrap() Kind { return k.Kind }
func (k closing) Close() error { *k.closed++; return nil }

// around is a Kind around another one that adds nothing.
type around struct{ Kind }

func (k around) Unwrap() Kind { return k.Kind }

// A Kind that is wrapped is still asked whether what has expired has changed (E7), still has its hooks, and is closed.
func TestWrapperIsWhatItsKindIs(t *testing.T) {
	t.Parallel()
	closed := 0
	s := new(store.Memory)
	b := newBench(t, crawl.Settings{Files: crawl.FilesSettings{Expires: time.Nanosecond}}, map[string]http.HandlerFunc{
		"/x": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			if r.Header.Get("If-None-Match") == `"1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = io.WriteString(w, "x")
		},
	})
	run := func(want ...string) {
		files := &FilesPipeline{Store: s, MediaFailed: func(context.Context, *crawl.Request, error, any) (crawl.File, error) {
			return crawl.File{Status: "rescued"}, nil
		}}
		c, err := Open(t.Context(), b.Env, []crawl.Stage{{Pipeline: &MediaPipeline{OpenKind: func(ctx context.Context, env *crawl.Env) (Kind, error) {
			k, err := files.OpenKind(ctx, env)
			return around{closing{around{k}, &closed}}, err
		}}}})
		require.NoError(t, err)
		book := &Book{FileURLs: urls("/x", "/404")}
		b.must(c, book)
		require.NoError(t, c.Close())
		require.Len(t, book.Files, 2)
		require.Equal(t, want, []string{book.Files[0].Status, book.Files[1].Status})
	}
	run("downloaded", "rescued")
	run("uptodate", "rescued")
	require.Equal(t, 2, closed)
	require.Equal(t, 2, b.site.asked[site+"/x"])
}
