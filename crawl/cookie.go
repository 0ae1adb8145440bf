package crawl

import "context"

type ownCookieKey struct{}

// WithOwnCookie notes the Cookie lines that a request has of its own, before a jar adds others. The cookies middleware does so for each attempt: they say for whom the
// page is, so that nobody is answered with what was another's.
func WithOwnCookie(ctx context.Context, lines []string) context.Context {
	return context.WithValue(ctx, ownCookieKey{}, lines)
}

// OwnCookie are the Cookie lines that a request has of its own, or nil where it has none, or no jar is asked. They are not to be changed.
func OwnCookie(ctx context.Context) []string {
	lines, _ := ctx.Value(ownCookieKey{}).([]string)
	return lines
}
