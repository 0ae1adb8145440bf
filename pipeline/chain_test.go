package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// probe is a stage that writes down what happens to it.
type probe struct {
	name    string
	notes   *notes
	openErr error
}

type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (p *probe) Process(context.Context, any) (any, error) { return nil, errNotOpen }

func (p *probe) Open(context.Context, *crawl.Env) (crawl.Pipeline, error) {
	if p.openErr != nil {
		return nil, p.openErr
	}
	p.notes.add("open " + p.name)
	return &openProbe{p}, nil
}

type openProbe struct{ p *probe }

func (o *openProbe) Process(_ context.Context, item any) (any, error) {
	return fmt.Sprint(item, o.p.name), nil
}

func (o *openProbe) Flush(context.Context) error {
	o.p.notes.add("flush " + o.p.name)
	if o.p.name == "broken" {
		return errors.New("disk full")
	}
	return nil
}

func (o *openProbe) Close() error {
	o.p.notes.add("close " + o.p.name)
	if o.p.name == "broken" {
		return errors.New("not closed")
	}
	return nil
}

func TestChainRunsStagesInTheirOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	var n notes
	c, err := Open(t.Context(), b.Env, []crawl.Stage{
		{Order: 300, Pipeline: &probe{name: "d", notes: &n}},
		{Order: 100, Pipeline: &probe{name: "a", notes: &n}},
		{Order: 200, Pipeline: &probe{name: "b", notes: &n}},
		{Order: 200, Pipeline: &probe{name: "c", notes: &n}},
	})
	require.NoError(t, err)
	out, err := c.Process(t.Context(), "-")
	require.NoError(t, err)
	require.Equal(t, "-abcd", out)
	require.True(t, c.Flushes())
	require.NoError(t, c.Flush(t.Context()))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "a second time changes nothing")
	require.Equal(t, []string{
		"open a", "open b", "open c", "open d", "flush a", "flush b", "flush c", "flush d", "close d", "close c", "close b", "close a",
	}, n.lines)
}

func TestChainLeavesOutWhatIsNotConfigured(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	var n notes
	c := b.open(&probe{openErr: crawl.NotConfigured("probe.store is empty"), notes: &n}, &probe{name: "x", notes: &n})
	require.Equal(t, "-x", b.must(c, "-"))
	require.Len(t, b.warnings(), 1)
	require.Equal(t, "item pipeline is disabled", b.warnings()[0].Message)
	require.Equal(t, map[string]any{"stage": "pipeline.probe", "reason": "probe.store is empty"}, fieldsOf(b.warnings()[0]))
}

func TestChainOpenFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	var n notes
	_, err := Open(t.Context(), b.Env, []crawl.Stage{
		{Pipeline: &probe{name: "a", notes: &n}},
		{Pipeline: &probe{name: "broken", notes: &n}},
		{Name: "third", Pipeline: &probe{openErr: errors.New("no disk"), notes: &n}},
		{Pipeline: &probe{name: "never", notes: &n}},
	})
	require.EqualError(t, err, "open item pipeline third: no disk\nclose item pipeline pipeline.probe: not closed")
	require.Equal(t, []string{"open a", "open broken", "close broken", "close a"}, n.lines)

	_, err = Open(t.Context(), b.Env, []crawl.Stage{{Name: "empty"}})
	require.EqualError(t, err, "open item pipeline empty: the stage has no Pipeline")
}

func TestChainErrorsNameTheirStage(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	broken := errors.New("broken")
	drop := Each(func(context.Context, *Book) (*Book, error) { return nil, crawl.DropItem("no price") })
	c := b.open(drop, Each(func(context.Context, map[string]any) (map[string]any, error) { return nil, broken }))
	_, err := b.process(c, &Book{})
	require.EqualError(t, err, "pipeline.Each[*pipeline.Book]: item dropped: no price")
	var dropped *crawl.DropItemError
	require.ErrorAs(t, err, &dropped)
	_, err = b.process(c, map[string]any{})
	require.ErrorIs(t, err, broken)

	require.False(t, c.Flushes())
	require.NoError(t, c.Flush(t.Context()))
	c, err = Open(t.Context(), b.Env, []crawl.Stage{{Pipeline: &probe{name: "broken", notes: new(notes)}}})
	require.NoError(t, err)
	require.EqualError(t, c.Flush(t.Context()), "flush item pipeline pipeline.probe: disk full")
}

func TestChainWithoutStages(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	book := &Book{}
	require.Same(t, book, b.must(b.open(), book))
}

type nothing struct{}

func (nothing) Process(context.Context, any) (any, error) { return nil, nil }

func TestChainStageThatReturnsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	_, err := b.process(b.open(nothing{}), &Book{})
	require.ErrorIs(t, err, errNoItem)
}

// gatekeeper counts who is inside its Process, and lets them go when the test says so.
type gatekeeper struct {
	inside, most atomic.Int64
	entered      chan struct{}
	release      chan struct{}
}

func (g *gatekeeper) Process(_ context.Context, item any) (any, error) {
	n := g.inside.Add(1)
	for old := g.most.Load(); n > old && !g.most.CompareAndSwap(old, n); old = g.most.Load() {
	}
	g.entered <- struct{}{}
	<-g.release
	g.inside.Add(-1)
	return item, nil
}

func TestChainBoundsWhoIsInside(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{ConcurrentStages: 3}, nil)
	g := &gatekeeper{entered: make(chan struct{}, 20), release: make(chan struct{})}
	c := b.open(g)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _, _ = c.Process(b.ctx(), &Book{}) })
	}
	for range 3 {
		<-g.entered
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Process(cancelled, &Book{})
	require.ErrorIs(t, err, context.Canceled, "who waits for a place stops when the crawl does")
	close(g.release)
	wg.Wait()
	require.EqualValues(t, 3, g.most.Load())
}

// A panic of a stage must not keep its place.
func TestChainPlaceIsGivenBackAfterAPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{ConcurrentStages: 1}, nil)
	c := b.open(Each(func(context.Context, *Book) (*Book, error) { panic("user code") }))
	for range 3 {
		require.PanicsWithValue(t, "user code", func() { _, _ = c.Process(b.ctx(), &Book{}) })
	}
	require.Empty(t, c.places)
}

func TestEach(t *testing.T) {
	t.Parallel()
	type other struct{ Name string }
	b := newBench(t, crawl.Settings{}, nil)

	c := b.open(Each(func(_ context.Context, b *Book) (*Book, error) { return &Book{Title: b.Title + "!"}, nil }))
	require.Equal(t, &Book{Title: "x!"}, b.must(c, &Book{Title: "x"}))
	o := &other{Name: "x"}
	require.Same(t, o, b.must(c, o), "another type passes untouched")

	c = b.open(Each(func(_ context.Context, b Book) (Book, error) { return Book{Title: b.Title + "!"}, nil }))
	item := &Book{Title: "x"}
	require.Same(t, item, b.must(c, item), "a struct is changed where it is")
	require.Equal(t, "x!", item.Title)

	c = b.open(Each(func(_ context.Context, m map[string]any) (map[string]any, error) {
		m["seen"] = true
		return m, nil
	}))
	require.Equal(t, map[string]any{"seen": true}, b.must(c, map[string]any{}))

	c = b.open(Each(func(_ context.Context, item any) (any, error) { return fmt.Sprintf("%T", item), nil }))
	require.Equal(t, "*pipeline.Book", b.must(c, &Book{}))

	for _, stage := range []crawl.Pipeline{
		Each(func(context.Context, *Book) (*Book, error) { return nil, nil }),
		Each(func(context.Context, any) (any, error) { return nil, nil }),
	} {
		_, err := b.process(b.open(stage), &Book{})
		require.ErrorIs(t, err, errNoItem)
	}

	c = b.open(Each(func(context.Context, Book) (Book, error) { return Book{}, crawl.DropItem("x") }))
	item = &Book{Title: "as it was"}
	_, err := b.process(c, item)
	require.Error(t, err)
	require.Equal(t, "as it was", item.Title)
}
