//go:build !race

package pipeline

const parkedItemBytes = 8_200
