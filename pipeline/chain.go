package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// Chain is the stages of a crawl, open and in their order: what the engine sends items through. Its Process may be called from many goroutines.
type Chain struct {
	stages []stage
	places chan struct{} // one for each item that may be inside a Process
}

type stage struct {
	name     string
	pipeline crawl.Pipeline
}

// Open sorts stages by their Order, stages of equal order as they are listed, and opens those that are [crawl.Opener]s. A stage that is [crawl.NotConfigured] is
// left out with a warning. After any other error the stages that were open are closed again.
func Open(ctx context.Context, env *crawl.Env, stages []crawl.Stage) (*Chain, error) {
	sorted := slices.Clone(stages)
	slices.SortStableFunc(sorted, func(a, b crawl.Stage) int { return cmp.Compare(a.Order, b.Order) })
	c := &Chain{places: make(chan struct{}, max(env.Settings.ConcurrentStages, 1))}
	for _, s := range sorted {
		name := stageName(s)
		p, err := open(ctx, env, s.Pipeline)
		var off *crawl.NotConfiguredError
		switch {
		case errors.As(err, &off):
			env.Log.Warn("item pipeline is disabled", zap.String("stage", name), zap.String("reason", off.Reason))
		case err != nil:
			return nil, errors.Join(fmt.Errorf("open item pipeline %s: %w", name, err), c.Close())
		default:
			c.stages = append(c.stages, stage{name: name, pipeline: p})
		}
	}
	return c, nil
}

func open(ctx context.Context, env *crawl.Env, p crawl.Pipeline) (crawl.Pipeline, error) {
	if p == nil {
		return nil, errors.New("the stage has no Pipeline")
	}
	o, ok := p.(crawl.Opener)
	if !ok {
		return p, nil
	}
	p, err := o.Open(ctx, env)
	if err == nil && p == nil {
		err = errors.New("Open returned no pipeline, and no error")
	}
	return p, err
}

// stageName is what logs and errors call a stage: its Name, else its type.
func stageName(s crawl.Stage) string {
	if s.Name != "" {
		return s.Name
	}
	if named, ok := s.Pipeline.(fmt.Stringer); ok {
		return named.String()
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", s.Pipeline), "*")
}

// Process sends an item through the stages and returns what leaves the last one. An error says which stage it comes from. It waits while
// Settings.ConcurrentStages items are inside a stage; an item that is parked until its media is there is not counted.
func (c *Chain) Process(ctx context.Context, item any) (any, error) {
	if len(c.stages) == 0 {
		return item, nil
	}
	p := &place{places: c.places}
	if err := p.take(ctx); err != nil {
		return nil, err
	}
	defer p.give()
	ctx = context.WithValue(ctx, placeKey{}, p)
	for i := range c.stages {
		var err error
		if item, err = c.stages[i].pipeline.Process(ctx, item); err != nil || item == nil {
			return nil, c.stages[i].failed(err)
		}
	}
	return item, nil
}

// failed is the stage's error. It is apart from Process because the frames of a parked item should be small: see media.Process.
func (s *stage) failed(err error) error {
	if err == nil {
		err = errNoItem
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// Flushes reports whether a stage keeps items back, so that Flush must be called before their pages are acknowledged.
func (c *Chain) Flushes() bool {
	return slices.ContainsFunc(c.stages, func(s stage) bool {
		_, ok := s.pipeline.(crawl.Flusher)
		return ok
	})
}

// Flush makes every stage that keeps items back let go of them, in order. After an error, those behind it have not been asked.
func (c *Chain) Flush(ctx context.Context) error {
	for _, s := range c.stages {
		if f, ok := s.pipeline.(crawl.Flusher); ok {
			if err := f.Flush(ctx); err != nil {
				return fmt.Errorf("flush item pipeline %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// Close closes the stages that are io.Closers, the last one first, and returns all their errors. No Process may run, or be called afterwards.
func (c *Chain) Close() error {
	var errs []error
	for _, s := range slices.Backward(c.stages) {
		if closer, ok := s.pipeline.(io.Closer); ok {
			if err := closer.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close item pipeline %s: %w", s.name, err))
			}
		}
	}
	c.stages = nil
	return errors.Join(errs...)
}

// place is an item's among those that are inside a stage. It is owned by the goroutine that runs the Chain's Process.
type place struct {
	places chan struct{}
	held   bool
}

// take waits for a place. It returns why ctx ended if that comes first.
func (p *place) take(ctx context.Context) error {
	if p == nil {
		return nil
	}
	select {
	case p.places <- struct{}{}:
	default:
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.held = true
	return nil
}

// give lets somebody else have the place, until the next take.
func (p *place) give() {
	if p != nil && p.held {
		p.held = false
		<-p.places
	}
}

type placeKey struct{}

// placeOf is the place of the item whose Process was given ctx. It is nil, and of no effect, without a Chain around.
func placeOf(ctx context.Context) *place {
	p, _ := ctx.Value(placeKey{}).(*place)
	return p
}
