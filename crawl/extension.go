package crawl

import "context"

// An Extension watches a crawl, and may end it: what Scrapy's extensions do. It is a value in Settings.Extensions, which is never written, so that several crawls may
// have the same one. A [Trace] is one that needs nothing of the crawl.
//
//	// budget ends a crawl that has taken too much from the wire.
//	type budget struct{ bytes int64 }
//
//	func (b budget) Open(_ context.Context, env *crawl.Env) (crawl.Trace, error) {
//		taken := new(atomic.Int64)
//		return crawl.Trace{ResponseReceived: func(r *crawl.Response) {
//			if taken.Add(r.Body.Size()) > b.bytes {
//				env.Stop("budget")
//			}
//		}}, nil
//	}
type Extension interface {
	// Open is called once a crawl, before its other parts are opened, in the order of Settings.Extensions. The hooks that it returns are called beside those of
	// Settings.Trace and of other extensions, and their panics are logged as the extension's. [NotConfigured] leaves it out; any other error keeps the crawl from starting.
	//
	// ctx ends when the crawl has ended, or could not start: goroutines that an extension starts end with it. [Trace.SpiderClosed] comes after that, and
	// [Trace.EngineStopped] when all is closed.
	Open(ctx context.Context, env *Env) (Trace, error)
}

// ExtensionFunc makes a function an [Extension].
type ExtensionFunc func(ctx context.Context, env *Env) (Trace, error)

// Open calls the function.
func (f ExtensionFunc) Open(ctx context.Context, env *Env) (Trace, error) { return f(ctx, env) }

// Open makes a Trace an [Extension].
func (t Trace) Open(context.Context, *Env) (Trace, error) { return t, nil }

var (
	_ Extension = ExtensionFunc(nil)
	_ Extension = Trace{}
)
