package cmd

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPaintJSONIsLinear: what a number costs does not grow with what follows it. It is not parallel: it counts what the process allocates.
func TestPaintJSONIsLinear(t *testing.T) { //nolint:paralleltest // see above
	raw := []byte("[" + strings.Repeat("1,", 1<<14) + "1]")
	p := paint{on: true}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text := p.json(raw)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200*len(raw)))
	require.Equal(t, 1<<14+1, strings.Count(text, "\x1b[33m1\x1b[0m"))
	require.Equal(t, "\x1b[33m-1.5\x1b[0m", p.json([]byte("-1.5")))
}
