package jobdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tulle-go/tulle/crawl"
)

// format is the version of the folder's form. A folder of a later one is refused.
const format = 1

// description is job.json.
type description struct {
	Format   int               `json:"format"`
	Spider   string            `json:"spider"`
	Order    string            `json:"order"`
	Identity map[string]string `json:"identity,omitempty"`
	Created  time.Time         `json:"created"`
	// Store says that the store was made: if it is gone, so is the job.
	Store bool `json:"store"`
}

// folder is a job's directory. All file work goes through fs, so that tests can take the power away.
type folder struct {
	fs    vfs.FS
	dir   string
	local bool // fs is the system's
}

func (f folder) path(name string) string { return f.fs.PathJoin(f.dir, name) }

// read reads a small file.
func (f folder) read(name string) ([]byte, error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	return b, firstError(err, file.Close())
}

// write replaces a small file, whole or not at all. durable makes it survive a power cut.
func (f folder) write(name string, v any, durable bool) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := f.path(name + ".new")
	file, err := f.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(append(b, '\n'))
	if err == nil && durable {
		err = file.Sync()
	}
	if err := firstError(err, file.Close()); err != nil {
		return err
	}
	if err := f.fs.Rename(tmp, f.path(name)); err != nil {
		return err
	}
	if durable {
		return f.sync()
	}
	return nil
}

// make makes the folder, and its name durable.
func (f folder) make() error {
	var above []string // folders that get a new name
	for dir := f.dir; ; {
		if _, err := f.fs.Stat(dir); !isNotExist(err) {
			break
		}
		parent := f.fs.PathDir(dir)
		if above = append(above, parent); parent == dir {
			break
		}
		dir = parent
	}
	if err := f.fs.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	for _, dir := range above {
		// One that may not be read cannot be synced either, and is no reason to stop.
		_ = folder{fs: f.fs, dir: dir}.sync()
	}
	return nil
}

// sync makes the names in the folder durable.
func (f folder) sync() error {
	d, err := f.fs.OpenDir(f.dir)
	if err != nil {
		return err
	}
	return firstError(d.Sync(), d.Close())
}

// describe reads job.json. It is nil for a folder that is new: missing or empty.
func (f folder) describe() (*description, error) {
	b, err := f.read("job.json")
	if isNotExist(err) {
		names, err := f.fs.List(f.dir)
		if err != nil && !isNotExist(err) {
			return nil, err
		}
		for _, name := range names {
			switch name {
			case "lock", "job.json.new", "ballast", "lost+found", ".DS_Store", ".", "..": // of an opening that was cut short, or of the system
			default:
				return nil, fmt.Errorf("the folder is not empty, and no job: it has %q but no job.json; name a folder of its own for it", name)
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := new(description)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("job.json: %w", err)
	}
	if d.Format != format {
		return nil, fmt.Errorf("the job has format %d, and this program knows format %d: go on with the version of tulle that made it", d.Format, format)
	}
	return d, nil
}

// agree is an error if a crawl must not go on with this job.
func (d *description) agree(opts *crawl.SchedulerOptions) error {
	j := &opts.Job
	const advice = "go on as it was started, or start a new job in another folder"
	if j.Spider != "" && d.Spider != j.Spider {
		return fmt.Errorf("the job is of spider %q, not of %q: %s", d.Spider, j.Spider, advice)
	}
	if order := orderOf(opts); d.Order != order {
		return fmt.Errorf("the job was started with order %q, and now it is %q: %s", d.Order, order, advice)
	}
	if maps.Equal(d.Identity, j.Identity) {
		return nil
	}
	keys := slices.Collect(maps.Keys(d.Identity))
	keys = slices.AppendSeq(keys, maps.Keys(j.Identity))
	slices.Sort(keys)
	var diff []string
	for _, k := range slices.Compact(keys) {
		was, had := d.Identity[k]
		is, has := j.Identity[k]
		switch {
		case !has:
			diff = append(diff, fmt.Sprintf("%s was %q and is not given now", k, was))
		case !had:
			diff = append(diff, fmt.Sprintf("%s was not given and is %q now", k, is))
		case was != is:
			diff = append(diff, fmt.Sprintf("%s was %q and is %q now", k, was, is))
		}
	}
	return fmt.Errorf("the job was started with other arguments: %s; %s", strings.Join(diff, ", "), advice)
}

func orderOf(opts *crawl.SchedulerOptions) string {
	if opts.Order == "" {
		return crawl.OrderDepth
	}
	return opts.Order
}

// lock takes the job for this process. stale is the owner that ended without giving it back, if one did.
func (f folder) lock(mode lockMode) (held io.Closer, stale *crawl.JobOwner, err error) {
	name := f.path("lock")
	if dir, err := filepath.EvalSymlinks(f.dir); err == nil && f.local {
		// Within one process a lock is kept by the file's name.
		if dir, err = filepath.Abs(dir); err == nil {
			name = filepath.Join(dir, "lock")
		}
	}
	var owner *crawl.JobOwner
	var rerr error
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		held, err = f.fs.Lock(name)
		owner, rerr = f.owner()
		switch {
		case err == nil:
		case !isLocked(err):
			return nil, nil, fmt.Errorf("lock the job: %w", err)
		case owner != nil || time.Since(began) > lookTime:
			return nil, nil, &lockedError{owner: owner, cause: err}
		default:
			continue // somebody looks at it, which does not take long, or has just taken it
		}
		break
	}
	if rerr == nil && owner != nil && mode != lockUnlock {
		rerr = f.foreign(owner)
	}
	if rerr != nil {
		return nil, nil, errors.Join(rerr, held.Close())
	}
	return held, owner, nil
}

// lookTime is how long to wait for somebody who has the lock and is no owner.
const lookTime = 3 * time.Second

// isLocked tells a lock that another one has from one that cannot be had.
func isLocked(err error) bool {
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return false // the file cannot be made
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		return true
	}
	return strings.Contains(err.Error(), "lock held by current process") || runtime.GOOS == "windows"
}

type lockMode int

const (
	lockNormal lockMode = iota
	lockUnlock
)

// lockedError says who has a job.
type lockedError struct {
	owner *crawl.JobOwner
	cause error
}

func (e *lockedError) Error() string {
	if e.owner == nil {
		return fmt.Sprintf("another process has the job, or looks at it: %v", e.cause)
	}
	return fmt.Sprintf("the job is in use by process %d on %s since %s: stop that crawl first", e.owner.PID, e.owner.Host, e.owner.Since.Local().Format(time.DateTime))
}

func (e *lockedError) Unwrap() error { return e.cause }

// foreign is an error if an owner on another machine gave a sign of life a short while ago: a lock does not reach across every network file system. Ages are told by the
// clock of the file system.
func (f folder) foreign(o *crawl.JobOwner) error {
	me := self()
	if o.Host == me.Host || o.Boot != "" && o.Boot == me.Boot {
		return nil
	}
	now, err := f.clock()
	if err != nil {
		return err
	}
	for _, name := range []string{"status.json", "owner.json"} {
		info, err := f.fs.Stat(f.path(name))
		if err == nil && now.Sub(info.ModTime()) < signOfLife {
			return &foreignError{o, f.dir}
		}
	}
	return nil
}

// foreignError says that a process on another machine may have the job.
type foreignError struct {
	owner *crawl.JobOwner
	dir   string
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("the job was in use by process %d on %s less than a minute ago: wait a minute, or, if that process has ended, run `tulle job unlock %s`",
		e.owner.PID, e.owner.Host, e.dir)
}

// signOfLife is the age of status.json, which a running job writes every few seconds, beyond which its process has ended.
const signOfLife = time.Minute

// clock is the time of the folder's file system.
func (f folder) clock() (time.Time, error) {
	name := f.path("job.json.new")
	file, err := f.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return time.Time{}, err
	}
	_, err = file.Write([]byte("now"))
	if err := firstError(err, file.Close()); err != nil {
		return time.Time{}, err
	}
	info, err := f.fs.Stat(name)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), f.fs.Remove(name)
}

// owner reads owner.json: nil if nobody has the job.
func (f folder) owner() (*crawl.JobOwner, error) {
	b, err := f.read("owner.json")
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := new(crawl.JobOwner)
	if json.Unmarshal(b, o) != nil {
		return &crawl.JobOwner{Host: "unknown"}, nil //nolint:nilerr // cut short by a power cut
	}
	return o, nil
}

// self describes this process.
func self() crawl.JobOwner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	// Arguments may be secrets.
	o := crawl.JobOwner{PID: os.Getpid(), Host: host, Command: filepath.Base(os.Args[0]), Since: time.Now().UTC()}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		o.Boot = strings.TrimSpace(string(b))
	}
	return o
}

// remove removes a file that need not be there.
func (f folder) remove(name string) error {
	if err := f.fs.Remove(f.path(name)); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}

// fillBallast reserves room for closing on a full disk. Its bytes are such that no file system makes them smaller.
func (f folder) fillBallast(size int64) error {
	if size == 0 {
		return nil
	}
	file, err := f.fs.Create(f.path("ballast"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	x := uint64(88172645463325252) // xorshift64 of Marsaglia
	for n := int64(0); n < size && err == nil; n += int64(len(block)) {
		for i := 0; i < len(block); i += 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			for j := range 8 {
				block[i+j] = byte(x >> (8 * j))
			}
		}
		_, err = file.Write(block)
	}
	return firstError(err, file.Close())
}

// ballastSize is what is reserved when so much must be free.
func ballastSize(minFree int64) int64 { return min(max(minFree, 0)/8, 16<<20) }

// free is how many bytes the disk has left.
func (f folder) free() (int64, error) {
	u, err := f.fs.GetDiskUsage(f.dir)
	if err != nil {
		return 0, err
	}
	return int64(u.AvailBytes), nil
}

// size is the folder's size.
func (f folder) size() (n int64) {
	var walk func(dir string)
	walk = func(dir string) {
		names, err := f.fs.List(dir)
		if err != nil {
			return
		}
		for _, name := range names {
			p := f.fs.PathJoin(dir, name)
			info, err := f.fs.Stat(p)
			switch {
			case err != nil:
			case info.IsDir():
				walk(p)
			case name == "ballast": // not for long
			default:
				n += info.Size()
			}
		}
	}
	walk(f.dir)
	return n
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// firstError returns the first that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
