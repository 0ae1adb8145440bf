package main

import (
	"context"
	"path/filepath"
)

// tulle with a job is tulle with the queue in a folder of its own, which nobody has used before: a crawl that survives the end of its process. All else is the same.

// inJob lets tulle crawl with a job.
func inJob(crawl entry) entry {
	return func(ctx context.Context, j job, m *meter) error {
		j.JobDir = filepath.Join(j.Folder, "job")
		return crawl(ctx, j, m)
	}
}
