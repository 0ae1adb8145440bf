package crawl

import (
	"context"

	"go.uber.org/zap"
)

// Env is what a part of the crawl is given when it is opened. All fields are set, and none may be changed.
type Env struct {
	Spider   *Spider
	Settings *Settings // effective, defaults filled in
	Stats    *Stats
	Log      *zap.Logger
	// Fetcher is the engine's own downloader, through all middlewares and host limits, ahead of the pages that wait. It is a [Submitter] too.
	// Middlewares are given one that works only once the crawl runs.
	Fetcher Fetcher
	// Stop ends the crawl with a reason, as [CloseSpider] does. It returns at once, may be called from anywhere, and more than once: the first reason counts.
	Stop func(reason string)
	// Limiter changes what slots allow while the crawl runs.
	Limiter Limiter
	// Pixels bounds work on pictures.
	Pixels Gate
	// Spool takes bodies from the wire.
	Spool *Spool
	// State is what the job has stored, as it was when it was opened; nil if the crawl has no job. Middlewares are opened before it: they implement [Stateful].
	State map[string][]byte
}

type envKey struct{}

// EnvOf is the environment of the crawl in whose callback, Start, pipeline stage or hook it is called: a spider finds its logger and its stats there. Outside of a
// crawl, as in crawltest.Call, its logger writes nothing and its stats are read by nobody; it is never nil, and Log and Stats are always set.
func EnvOf(ctx context.Context) *Env {
	if env, ok := ctx.Value(envKey{}).(*Env); ok {
		return env
	}
	return &Env{Spider: &Spider{}, Settings: &Settings{}, Stats: NewStats(), Log: zap.NewNop(), Stop: func(string) {}}
}

// WithEnv is for those who call spiders and stages: the engine and test harnesses.
func WithEnv(ctx context.Context, env *Env) context.Context {
	return context.WithValue(ctx, envKey{}, env)
}

// A Limiter changes how much the slots of a crawl are asked, and how often, within what is theirs to say. It is safe for concurrent use.
type Limiter interface {
	// Floor is what the settings and the slot's robots.txt allow at most. The least Delay is that.
	Floor(slot string) Limits
	// Limit changes what a slot allows from its next download on. Zero fields leave what was; what is less strict than Floor, or negative, is Floor's. HoldUntil holds
	// until then in any case. It may be called again and again: what is told last counts.
	Limit(slot string, l Limits)
}

// A Gate runs CPU-bound work under a bound: one worker per processor, and a budget of weight that is in work at once.
type Gate interface {
	// Do runs f on the calling goroutine when there is room, and returns its error. It returns ctx's error if that ends first. weight is in the gate's unit
	// (pixels, for Env.Pixels); what is heavier than the whole budget runs alone.
	Do(ctx context.Context, weight int64, f func() error) error
}
