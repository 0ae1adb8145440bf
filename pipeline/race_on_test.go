//go:build race

package pipeline

// The race detector makes frames and stacks larger.
const parkedItemBytes = 16_000
