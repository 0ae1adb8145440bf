package crawl_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// A callback may count and log wherever it is called.
func TestEnvOf(t *testing.T) {
	t.Parallel()
	env := crawl.EnvOf(t.Context())
	env.Stats.Inc("a")
	env.Log.Warn("nobody reads this")
	require.NotNil(t, env.Settings)
	require.Zero(t, crawl.EnvOf(t.Context()).Stats.Int("a"), "nobody shares it")

	ctx, cancel := context.WithCancel(crawl.WithEnv(t.Context(), env))
	defer cancel()
	require.Same(t, env, crawl.EnvOf(ctx))
}
