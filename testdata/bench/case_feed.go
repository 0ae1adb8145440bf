package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// feedCase is the crawl of followCase with its items in a file, and without, to see what that costs. With a job they get there after their page is done, each once, and
// before that page is forgotten.
func feedCase() benchCase {
	c := followCase()
	c.name = "feed"
	c.title = "%s pages as in follow, with every item written to a JSON Lines file"
	c.size, c.most = 20_000, nil
	c.entries = map[string]entry{"tulle": tulleFeed, "job": inJob(tulleFeed), "dry": tulleFollow}
	c.columns = []column{
		{head: "pages/s", value: outcome.rate, format: "%.0f"},
		{head: "of no feed", value: outcome.rate, format: "%.2f", against: "dry"},
		{head: "CPU µs/page", value: outcome.cpuPerPage, format: "%.0f"},
		{head: "CPU of no feed", value: outcome.cpuPerPage, format: "%.2f", against: "dry"},
		memoryColumn(),
	}
	follow := c.faults
	c.faults = func(o outcome) []string {
		faults := follow(o)
		if len(faults) == 0 && o.Job.Contestant != "dry" && (o.Result.FeedItems != o.Result.Items || o.Result.FeedSum != o.Result.ItemSum) {
			faults = append(faults, "the feed is wrong")
		}
		return faults
	}
	return c
}

// feedName is the feed's file in a run's folder.
func feedName(j job) string { return filepath.Join(j.Folder, "items.jsonl") }

// A product is what followCase's pages sell.
type product struct{ Title, Price string }

// readFeed adds to a result what a feed holds.
func readFeed(name string, r *result) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var p product
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.FeedItems++
		r.FeedSum += itemHash(p.Title, p.Price)
	}
	return lines.Err()
}
