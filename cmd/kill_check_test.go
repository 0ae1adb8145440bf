package cmd_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what the store keeps
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// outcome is what a crawl has left: what must be the same however often it was killed.
type outcome struct {
	feeds    map[string]items  // by file name
	pictures map[string]string // names in the store, records included, with checksums of the files
	pages    map[string]int
}

// items are a feed's, by kind and key, as texts that are alike in all formats.
type items map[string][]string

var killFeeds = []string{"items.jsonl", "items.json", "items.csv", "items.jsonl.gz", "items.json.zst", "items.built", sentDir, cutDir}

// sentDir is the folder that a feed in batches is sent to.
const sentDir = "sent"

// cutDir is the folder that a feed in batches is written to.
const cutDir = "cut"

// feedText is what is in a feed: of one in batches, in all of them. All batches but the last one are full.
func feedText(name string) ([]byte, error) {
	if base := filepath.Base(name); base != sentDir && base != cutDir {
		return os.ReadFile(name)
	}
	batches, err := filepath.Glob(filepath.Join(name, "*.jsonl"))
	var all []byte
	for i, batch := range batches {
		b, err := os.ReadFile(batch)
		if err != nil {
			return nil, err
		}
		if n := bytes.Count(b, []byte("\n")); n != killBatch && (i < len(batches)-1 || n > killBatch) {
			return nil, fmt.Errorf("%s has %d items", batch, n)
		}
		all = append(all, b...)
	}
	return all, err
}

// outcomeOf reads what a crawl in dir has left. It is an error if an item names a picture that is not in the store, or another one.
func outcomeOf(dir string, pages map[string]int) (*outcome, error) {
	o := &outcome{feeds: make(map[string]items), pages: pages}
	var err error
	if o.pictures, err = pictures(dir); err != nil {
		return nil, err
	}
	for _, name := range killFeeds {
		list, err := readFeed(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all := make(items, len(list))
		for i := range list {
			item := &list[i]
			if err := o.stored(item); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			key := item.Kind + " " + item.Key
			all[key] = append(all[key], item.text())
		}
		o.feeds[name] = all
	}
	return o, nil
}

// text is the item without what may differ: a picture's status may be up to date the second time.
func (i *killItem) text() string {
	if len(i.Images) == 0 {
		return i.Title + strings.Join(i.ImageURLs, " ")
	}
	for n := range i.Images {
		i.Images[n].Status = ""
	}
	b, err := json.Marshal(i)
	if err != nil {
		return err.Error() // not reached: it was read from JSON
	}
	return string(b)
}

// readFeed reads a feed that is whole.
func readFeed(name string) (list []killItem, err error) {
	b, err := feedText(name)
	if err != nil {
		return nil, err
	}
	if name, b, err = unpack(name, b); err != nil {
		return nil, err
	}
	switch filepath.Ext(name) {
	case ".json":
		return list, json.Unmarshal(b, &list)
	case ".jsonl", "":
		return jsonLines(b, true)
	case ".built":
		return readBuilt(b)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if head := strings.Join(rows[0], ","); head != "kind,key,title,image_urls,images" {
		return nil, fmt.Errorf("its first line is %s", head)
	}
	for _, row := range rows[1:] {
		item := killItem{Kind: row[0], Key: row[1], Title: row[2]}
		if row[3] != "" {
			item.ImageURLs = strings.Split(row[3], ",")
		}
		if row[4] != "" {
			if err := json.Unmarshal([]byte(row[4]), &item.Images); err != nil {
				return nil, fmt.Errorf("cell %q: %w", row[4], err)
			}
		}
		list = append(list, item)
	}
	return list, nil
}

// jsonLines reads lines of JSON: all, or those that end.
func jsonLines(b []byte, whole bool) (list []killItem, err error) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if !bytes.HasSuffix(line, []byte("\n")) {
			if whole {
				return nil, fmt.Errorf("line %d does not end: %.80q", n, line)
			}
			break
		}
		var item killItem
		if err := json.Unmarshal(line, &item); err != nil {
			return nil, fmt.Errorf("line %d: %w: %.80q", n, err, line)
		}
		list = append(list, item)
	}
	return list, nil
}

const storeDir = "pictures"

// pictures are the files of the store. Each is decoded to its end.
func pictures(dir string) (map[string]string, error) {
	found := make(map[string]string)
	store := filepath.Join(dir, storeDir)
	err := filepath.WalkDir(store, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(store, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if strings.HasPrefix(rel, ".tulle/") {
			if !strings.HasPrefix(rel, ".tulle/tmp/") {
				found[rel] = "" // a record: it holds the file's time
			}
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, _, err := image.Decode(bytes.NewReader(b)); err != nil {
			return fmt.Errorf("picture %s (%d bytes): %w", rel, len(b), err)
		}
		sum := md5.Sum(b)
		found[rel] = hex.EncodeToString(sum[:])
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	return found, err
}

// stored is an error if an item names a picture that is not in the store, or another one.
func (o *outcome) stored(item *killItem) error {
	for _, f := range item.Images {
		switch sum, ok := o.pictures[f.Path]; {
		case !ok:
			return fmt.Errorf("item %s %s names the picture %s, which is not in the store", item.Kind, item.Key, f.Path)
		case sum != f.Checksum:
			return fmt.Errorf("item %s %s: picture %s has checksum %s, not %s", item.Kind, item.Key, f.Path, sum, f.Checksum)
		}
		for name, thumb := range f.Thumbs {
			if _, ok := o.pictures[thumb.Path]; !ok {
				return fmt.Errorf("item %s %s: the thumbnail %s is not in the store", item.Kind, item.Key, name)
			}
		}
	}
	return nil
}

// equal is an error if a crawl has not left what another one has.
func (o *outcome) equal(want *outcome) error {
	var errs []error
	for _, name := range killFeeds {
		errs = append(errs, sameItems(name, o.feeds[name], want.feeds[name]))
	}
	errs = append(errs, sameKeys("pages asked", o.pages, want.pages), sameKeys("files in the store", o.pictures, want.pictures))
	for name, sum := range want.pictures {
		if got, ok := o.pictures[name]; ok && got != sum {
			errs = append(errs, fmt.Errorf("picture %s has checksum %s, not %s", name, got, sum))
		}
	}
	return errors.Join(errs...)
}

// sameItems is an error if an item is missing, is there more than once, or is another one. One that is wanted without a text may have any.
func sameItems(feed string, got, want items) error {
	errs := []error{sameKeys(feed, got, want)}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if list, ok := got[name]; ok && len(list) != 1 {
			errs = append(errs, fmt.Errorf("%s: item %s is there %d times", feed, name, len(list)))
		} else if ok && len(want[name]) > 0 && list[0] != want[name][0] {
			errs = append(errs, fmt.Errorf("%s: item %s is\n\t%s\nand should be\n\t%s", feed, name, list[0], want[name][0]))
		}
	}
	return firstFew(errs)
}

// sameKeys is an error if two sets differ.
func sameKeys[T any](what string, got, want map[string]T) error {
	var missing, more []string
	for k := range want {
		if _, ok := got[k]; !ok {
			missing = append(missing, k)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			more = append(more, k)
		}
	}
	if len(missing)+len(more) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d are missing: %s; %d are there that should not be: %s", what,
		len(missing), len(want), few(missing), len(more), few(more))
}

// few are the first of a list, for an error.
func few(list []string) string {
	slices.Sort(list)
	if len(list) > 5 {
		list = append(list[:5:5], "…")
	}
	return strings.Join(list, ", ")
}

func firstFew(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// leftovers is an error if a job that has ended has left something unfinished behind.
func leftovers(dir string) error {
	var errs []error
	for _, below := range []string{filepath.Join(storeDir, ".tulle", "tmp"), filepath.Join("job", "spool")} {
		err := filepath.WalkDir(filepath.Join(dir, below), func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				errs = append(errs, fmt.Errorf("left behind: %s", name))
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range []string{"owner.json", "leases", "ballast", "job.json.new", "owner.json.new", "status.json.new", "feeds.json.new"} {
		if _, err := os.Lstat(filepath.Join(dir, "job", name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, cmp.Or(err, fmt.Errorf("left behind: %s", name)))
		}
	}
	return errors.Join(errs...)
}

// afterKill is what must hold at any instant: lines of the feed that end are whole, and so is every picture that has its name.
func afterKill(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "items.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // killed before it was made
	}
	if err == nil {
		_, err = jsonLines(b, false)
	}
	if err != nil {
		return fmt.Errorf("items.jsonl: %w", err)
	}
	_, err = pictures(dir)
	return err
}

// failuresOf is a job's list of failures: kinds by URL.
func failuresOf(ctx context.Context, dir string) (failed map[string]string, err error) {
	job, err := jobdir.Inspect(ctx, filepath.Join(dir, "job"), crawl.InspectRead)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	if info := job.Info(); !info.Finished || info.Queued != 0 {
		return nil, fmt.Errorf("the job says that it is finished: %t, with %d requests queued", info.Finished, info.Queued)
	}
	failed = make(map[string]string)
	for r, err := range job.Requests(ctx, true) {
		if err != nil {
			return nil, err
		}
		failed[r.Request.URL.String()] = r.Kind
	}
	return failed, nil
}

// stateOf is an error if a job's state does not hold what the pages have put there.
func stateOf(ctx context.Context, dir string) (err error) {
	job := filepath.Join(dir, "job")
	about, err := jobdir.Inspect(ctx, job, crawl.InspectRead)
	if err != nil {
		return err
	}
	info := about.Info()
	if err := about.Close(); err != nil {
		return err
	}
	sched, err := jobdir.Open(ctx, job, crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: info.Spider, Identity: info.Identity, MinFree: -1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sched.Close(ctx)) }()
	state := sched.State()
	want := map[string]string{crawl.StartCursor: fmt.Sprint(killSeeds)}
	for i := range killProducts {
		want[fmt.Sprintf("spider/product/%d", i)] = fmt.Sprintf("%q", fmt.Sprintf("product %d", i))
	}
	for key, value := range want {
		if string(state[key]) != value {
			return fmt.Errorf("the job's state has %q under %s, and not %q", state[key], key, value)
		}
	}
	if _, ok := state[crawl.StartDone]; !ok {
		return errors.New("the job does not know that Start is done")
	}
	for key, value := range state {
		if strings.HasPrefix(key, "cookies/") && strings.Contains(key+string(value), "killed-but-not-forgotten") {
			return nil
		}
	}
	return errors.New("the job has lost a cookie")
}
