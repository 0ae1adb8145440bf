//go:build race

package engine_test

// raceDetector makes frames and stacks larger.
const raceDetector = true
