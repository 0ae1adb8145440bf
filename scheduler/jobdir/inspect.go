package jobdir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
)

// Inspect opens a job's folder for somebody who looks after it. It is what [crawl.Parts].InspectJob wants.
func Inspect(ctx context.Context, dir string, mode crawl.InspectMode) (crawl.Job, error) {
	j, err := inspect(ctx, vfs.Default, dir, mode)
	if err != nil {
		return nil, err
	}
	return j, nil
}

func inspect(_ context.Context, fs vfs.FS, dir string, mode crawl.InspectMode) (j *job, err error) {
	j = &job{folder: folder{fs: fs, dir: dir, local: fs == vfs.Default}, mode: mode}
	if info, err := fs.Stat(dir); isNotExist(err) {
		return nil, fmt.Errorf("%s is no job: there is no such folder", dir)
	} else if err != nil {
		return nil, fmt.Errorf("%s is no job: %w", dir, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no job: it is a file", dir)
	}
	if _, err := fs.Stat(j.path("job.json")); isNotExist(err) {
		return nil, fmt.Errorf("%s is no job: it has no job.json", dir)
	}
	desc, err := j.describe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	j.desc = *desc
	how := lockNormal
	if mode == crawl.InspectUnlock {
		how = lockUnlock
	}
	lock, stale, err := j.lock(how)
	var taken *lockedError
	var foreign *foreignError
	switch {
	case mode == crawl.InspectRead && errors.As(err, &taken) && taken.owner != nil:
		return j, j.readStatus(taken.owner)
	case mode == crawl.InspectRead && errors.As(err, &foreign):
		return j, j.readStatus(foreign.owner)
	case mode == crawl.InspectRead && errors.As(err, &taken):
		return nil, fmt.Errorf("%s: %w", dir, err)
	case mode == crawl.InspectRead && err != nil:
		// A disk that cannot be written has no lock either, and nobody runs a job on it.
		stale, _ = j.owner()
	case err != nil:
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	j.held, j.stale = lock, stale
	defer func() {
		if err != nil && lock != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	h, access := newHealth(zap.NewNop()), storeOld
	if mode == crawl.InspectRead {
		access = storeReadOnly
	}
	if j.db, err = openStore(fs, j.path("db"), divide(32<<20), h, access); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), j.db.Close())
	}
	if mode == crawl.InspectUnlock {
		// The pages that were in hand are counted by the next crawl as they would be without this.
		return j, j.release()
	}
	return j, nil
}

// job is a job's folder while no crawl runs in it, or what the crawl that runs says of it.
type job struct {
	folder
	mode  crawl.InspectMode
	desc  description
	held  io.Closer
	stale *crawl.JobOwner
	db    *pebble.DB // nil while a crawl runs
	meta  meta
	told  crawl.JobInfo
}

var _ crawl.Job = (*job)(nil)

// readStatus reads what the process that has the job says.
func (j *job) readStatus(owner *crawl.JobOwner) error {
	b, err := j.read("status.json")
	switch {
	case isNotExist(err):
		j.told = j.info(j.desc, meta{}, nil) // it has just begun
	case err != nil:
		return err
	default:
		if json.Unmarshal(b, &j.told) != nil {
			j.told = j.info(j.desc, meta{}, nil) // cut short by a power cut
		}
	}
	j.told.Dir, j.told.Owner, j.told.Running = j.dir, owner, true
	j.told.Disk = j.size()
	return nil
}

// load reads the counts.
func (j *job) load() error {
	var err error
	if j.meta, err = loadMeta(j.db); err != nil {
		return err
	}
	state, err := loadState(j.db)
	if err != nil {
		return err
	}
	i := j.info(j.desc, j.meta, state)
	i.Owner = j.stale
	if j.stale != nil {
		i.Reason = ""
	}
	if err := each(j.db, keyLater, func(_, _ []byte) error { i.Delayed++; return nil }); err != nil {
		return err
	}
	if i.Hosts, err = countSlots(j.db); err != nil {
		return err
	}
	i.Updated = time.Now().UTC()
	j.told = i
	return nil
}

func countSlots(db *pebble.DB) (n int, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyQueue}, UpperBound: []byte{keyQueue + 1}})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; n++ {
		slot, _, err := parseQueued(it.Key(), it.Value())
		if err != nil {
			return 0, firstError(err, it.Close())
		}
		ok = it.SeekGE(after(queuePrefix(nil, slot)))
	}
	return n, firstError(it.Error(), it.Close())
}

// info describes a job by what it counts and by its state.
func (f folder) info(d description, m meta, state map[string][]byte) crawl.JobInfo {
	i := crawl.JobInfo{
		Dir: f.dir, Format: d.Format, Spider: d.Spider, Identity: d.Identity, Created: d.Created,
		Runs: m.Runs, Kills: m.Kills, Queued: m.Queued, Done: m.Done, Failed: m.Failed, Duplicates: m.Duplicates, Seen: m.Seen,
		Routes: make(map[string]int64), Disk: f.size(),
	}
	for _, r := range m.Routes {
		if r.Queued > 0 {
			i.Routes[r.Name] = r.Queued
		}
	}
	_, i.StartDone = state[crawl.StartDone]
	i.Finished = i.StartDone && m.Queued == 0
	i.Reason = text(state[crawl.JobReason])
	if b := state[crawl.JobStats]; b != nil && json.Unmarshal(b, &i.Stats) != nil {
		i.Stats = nil
	}
	for k, v := range state {
		uri, ok := strings.CutPrefix(k, crawl.FeedPrefix)
		if !ok {
			continue
		}
		var at struct{ Bytes, Items int64 }
		if json.Unmarshal(v, &at) == nil {
			i.Feeds = append(i.Feeds, crawl.JobFeed{URI: uri, Bytes: at.Bytes, Items: at.Items})
		}
	}
	slices.SortFunc(i.Feeds, func(a, b crawl.JobFeed) int { return strings.Compare(a.URI, b.URI) })
	return i
}

// text is a value that may be a JSON string.
func text(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(b)
}

// Info describes the job.
func (j *job) Info() crawl.JobInfo { return j.told }

// idle is an error while a crawl runs.
func (j *job) idle(write bool) error {
	if j.db == nil {
		return &lockedError{owner: j.told.Owner, cause: errors.New("the job runs")}
	}
	if write && j.mode == crawl.InspectRead {
		return errors.New("the job was opened for reading")
	}
	return nil
}

// Requests lists what waits, or what has failed.
func (j *job) Requests(ctx context.Context, failed bool) iter.Seq2[crawl.JobRequest, error] {
	return func(yield func(crawl.JobRequest, error) bool) {
		if err := j.idle(false); err != nil {
			yield(crawl.JobRequest{}, err)
			return
		}
		kills := make(map[uint64]int)
		err := each(j.db, keyKills, func(key, value []byte) error {
			kills[parseID(key)] = int(value[0])
			return nil
		})
		kinds := []byte{keyQueue, keyLater}
		if failed {
			kinds = []byte{keyFailed}
		}
		for _, kind := range kinds {
			if err != nil {
				break
			}
			err = each(j.db, kind, func(key, value []byte) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				r, err := parseRequest(kind, key, value)
				if n := kills[r.ID]; n > 0 {
					r.Attempts = n
				}
				if !yield(r, err) {
					return errStop
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(crawl.JobRequest{}, err)
		}
	}
}

var errStop = errors.New("seen enough")

// parseRequest reads a request of any kind.
func parseRequest(kind byte, key, value []byte) (r crawl.JobRequest, err error) {
	var enc string
	switch kind {
	case keyQueue:
		var e frontier.Entry
		if _, e, err = parseQueued(key, value); err != nil {
			return r, err
		}
		r.ID, enc = e.ID, e.Enc
	case keyLater:
		var d frontier.Delayed
		if d, err = parseLater(key, value); err != nil {
			return r, err
		}
		r.ID, r.NotBefore, enc = d.ID, d.At, d.Enc
	default:
		var f failure
		if f, enc, err = parseFailure(value); err != nil {
			return r, err
		}
		r = crawl.JobRequest{ID: parseID(key), Kind: f.Kind, Reason: f.Reason, FailedAt: f.At, Attempts: f.Kills}
	}
	r.Request, err = crawl.ParseWire(enc)
	return r, err
}

// RequeueFailed queues failed requests again. They are asked although they were seen, and keep their numbers.
func (j *job) RequeueFailed(ctx context.Context, choose func(crawl.JobRequest) bool) (n int, err error) {
	if err := j.idle(true); err != nil {
		return 0, err
	}
	m := j.meta // what counts after the batch is written
	m.Routes = slices.Clone(m.Routes)
	routes := make(map[string]uint16, len(m.Routes))
	for i, r := range m.Routes {
		routes[r.Name] = uint16(i)
	}
	batch := j.db.NewBatch()
	err = each(j.db, keyFailed, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := parseRequest(keyFailed, key, value)
		if err != nil || choose != nil && !choose(r) {
			return nil //nolint:nilerr // what cannot be read stays where it is
		}
		req := r.Request
		req.Retries = 0
		p, err := crawl.NewPush(r.ID, req)
		if err != nil {
			return err
		}
		i, ok := routes[p.Route]
		if !ok {
			if len(m.Routes) > math.MaxUint16 {
				return errStored
			}
			i = uint16(len(m.Routes))
			routes[p.Route] = i
			m.Routes = append(m.Routes, route{Name: p.Route})
		}
		m.Rank++
		rank := m.Rank
		if j.desc.Order == crawl.OrderBreadth {
			rank = -rank
		}
		e := frontier.Entry{Enc: string(p.Encoded), ID: r.ID, Rank: rank, Priority: frontier.Priority(p.Priority), Route: i}
		m.Queued++
		m.Failed--
		m.Routes[i].Queued++
		n++
		return firstError(batch.Delete(slices.Clone(key), nil), batch.Delete(idKey(keyKills, r.ID), nil), batch.Delete(idKey(keyOut, r.ID), nil), batch.Set(queueKey(nil, p.Slot, e.Key()), appendEntry(nil, &e), nil))
	})
	if err != nil {
		return 0, errors.Join(err, batch.Close())
	}
	b, err := json.Marshal(&m)
	if err := firstError(err, batch.Set([]byte{keyMeta}, b, nil)); err != nil {
		return 0, errors.Join(err, batch.Close())
	}
	if err := j.db.Apply(batch, pebble.Sync); err != nil {
		return 0, err
	}
	return n, j.load()
}

// Compact rewrites the store.
func (j *job) Compact(ctx context.Context) error {
	if err := j.idle(true); err != nil {
		return err
	}
	if err := j.db.Compact(ctx, []byte{0}, []byte{0xff}, true); err != nil {
		return err
	}
	j.told.Disk = j.size()
	return nil
}

// release takes an owner away that has ended.
func (j *job) release() error {
	if j.stale == nil {
		return nil
	}
	o := self()
	o.Since = j.stale.Since
	return j.write("owner.json", o, true)
}

// Close ends the inspection.
func (j *job) Close() error {
	var errs []error
	if j.db != nil {
		errs = append(errs, j.db.Close())
		j.db = nil
	}
	if j.held != nil {
		errs = append(errs, j.held.Close())
		j.held = nil
	}
	return errors.Join(errs...)
}
