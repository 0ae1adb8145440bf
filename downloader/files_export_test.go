package downloader

// ManyIdle is how many unused connections are kept.
func ManyIdle(atOnce, files int) int { return manyIdle(atOnce, files) }

// OpenFiles is how many files may be open.
func OpenFiles() int { return openFiles() }
