package crawl_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestRenderTravels writes a request to disk and reads it, and copies it: what it wants of the browser is the same, and its own.
func TestRenderTravels(t *testing.T) {
	t.Parallel()
	req := crawl.Get("https://example.com/")
	req.Knobs = &crawl.Knobs{Render: &crawl.Render{
		Block: []string{"none"}, WaitFor: "b", WaitIdle: true, Scroll: 2, Script: "return 1", Wait: time.Second, Screenshot: true, FullPage: true,
	}}
	wire, err := req.AppendWire(nil)
	require.NoError(t, err)
	read, err := crawl.ParseWire(string(wire))
	require.NoError(t, err)
	require.Equal(t, req.Knobs, read.Knobs)
	c := req.Clone()
	require.Equal(t, req.Knobs, c.Knobs)
	c.Knobs.Render.Block[0], c.Knobs.Render.WaitFor = "image", "i"
	require.Equal(t, read.Knobs, req.Knobs)
}
