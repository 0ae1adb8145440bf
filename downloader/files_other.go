//go:build !unix

package downloader

// openFiles is how many files and connections the process may have open: here there is no limit that one could ask for.
func openFiles() int { return 2 * maxIdle }
