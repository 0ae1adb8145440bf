package feed

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/textproto"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

const (
	// uploadTries is how often a store is asked to take a file, and uploadBackOff how long to wait before the second time; it doubles. Stores in the network have tried each
	// of their requests several times by then. One that took uploadPatience and more to fail is not asked again.
	uploadTries    = 5
	uploadBackOff  = time.Second
	uploadPatience = 15 * time.Minute
	// tellEvery is how often the end of a crawl says what it waits for.
	tellEvery = 10 * time.Second
	// hurried is how long it waits when the crawl is to end at once, and leaveAfter how long for what has been told to stop.
	hurried    = 10 * time.Second
	leaveAfter = 15 * time.Second
)

// uploads is what all feeds of a crawl have under way to their places.
type uploads struct {
	ctx    context.Context // of what is under way: it outlives that of the crawl
	cancel context.CancelFunc
	hurry  <-chan struct{} // closed when the crawl is to end at once
	wg     sync.WaitGroup
}

func newUploads(ctx context.Context) *uploads {
	u := &uploads{hurry: ctx.Done()}
	u.ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return u
}

// remote is a store that a feed goes to.
type remote struct {
	store  crawl.Store
	base   string // the URI of the store, without a password: what follows is a name in it
	scheme string
}

// findTarget finds what opens the feed's place, and opens its store if it is one.
func (f *feed) findTarget(ctx context.Context) error {
	kind, parts := scheme(f.conf.URI), &f.env.Settings.Parts
	f.storage = storageName(kind)
	if f.target = parts.Targets[kind]; f.target == nil {
		f.target = targets()[kind]
	}
	if kind == "" && parts.Targets[kind] == nil {
		if err := checkName(f.conf.URI, func(scheme string) bool {
			return parts.Targets[scheme] != nil || parts.Stores[scheme] != nil || scheme == "file" || scheme == "sftp" || scheme == "http" || scheme == "https"
		}); err != nil {
			return err
		}
	}
	if f.target != nil {
		return nil
	}
	if parts.Stores[kind] == nil {
		known := maps.Clone(parts.Targets)
		if known == nil {
			known = make(map[string]crawl.FeedTarget)
		}
		for name := range parts.Stores {
			known[name] = nil
		}
		return fmt.Errorf("no feed target %q; there are %s%s", kind, names(targets(), known), howToLink(kind))
	}
	base := f.template.fixed(f.template.uri(1, time.Time{}))
	if strings.Count(base, "/") < 3 {
		return errors.New("no file is named behind the host or bucket")
	}
	opened, base, err := openStore(ctx, base, f.env)
	if err != nil {
		return err
	}
	f.remote = &remote{store: opened, base: redacted(base), scheme: kind}
	if p, ok := opened.(crawl.Prober); ok {
		if err := p.Probe(ctx); err != nil {
			return errors.Join(fmt.Errorf("nothing can be written there: %w", err), f.closeStore())
		}
	}
	return nil
}

// openStore opens the store of a folder's URI, or of one above it if an FTP server does not have that yet: the first file makes what is missing.
func openStore(ctx context.Context, uri string, env *crawl.Env) (opened crawl.Store, base string, err error) {
	for base = uri; ; base = base[:strings.LastIndexByte(strings.TrimSuffix(base, "/"), '/')+1] {
		above, failed := store.Open(ctx, strings.TrimSuffix(base, "/"), env)
		if failed == nil {
			return above, base, nil
		}
		if err == nil {
			err = failed
		}
		const noFolder = 550 // RFC 959
		var reply *textproto.Error
		if !errors.As(failed, &reply) || reply.Code != noFolder || strings.Count(base, "/") < 4 {
			return nil, "", err
		}
	}
}

// storageName is what stats call a target: Scrapy's name for it, if it has one.
func storageName(kind string) string {
	switch kind {
	case "", "file":
		return fileStorage
	case "-":
		return stdoutStorage
	case "s3":
		return "S3FeedStorage"
	case "gs":
		return "GCSFeedStorage"
	case "ftp", "ftps":
		return "FTPFeedStorage"
	}
	return kind
}

const (
	fileStorage   = "FileFeedStorage"
	stdoutStorage = "StdoutFeedStorage"
)

func (f *feed) closeStore() error {
	if f.remote == nil {
		return nil
	}
	c, ok := f.remote.store.(io.Closer)
	if !ok {
		return nil
	}
	return c.Close()
}

// prepare sees whether a part that is kept apart can get to its place. exists says that there is something now.
func (f *feed) prepare(ctx context.Context, p *part) (exists bool, err error) {
	if f.remote != nil {
		return false, store.CheckName(f.remote.name(p))
	}
	conf := f.conf
	conf.URI = p.uri
	if f.storage != fileStorage {
		p.dest, err = f.target(ctx, conf, f.env)
		return false, err
	}
	name, err := fileName(p.uri)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return false, fmt.Errorf("%s is a folder", name)
	case err == nil && !info.Mode().IsRegular(): // a pipe or a device
		p.dest, err = f.target(ctx, conf, f.env)
		return false, err
	case err == nil:
		exists = info.Size() > 0
		// What is put in place of a file goes where that is, not where a link to it is.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return false, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	p.local = name
	if p.made = missing(filepath.Dir(name)); len(p.made) > 0 {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return false, err
		}
	}
	probe, err := f.unfinished(name)
	if err != nil {
		return false, err
	}
	return exists, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// name is a part's name in the store.
func (r *remote) name(p *part) string { return strings.TrimPrefix(p.uri, r.base) }

// openSpool opens the file in which a part is kept until it is put in its place.
func (f *feed) openSpool(p *part) (err error) {
	base := path.Base(p.uri)
	if p.local != "" {
		base = filepath.Base(p.local)
	} else if p.dest != nil {
		base = "feed"
	}
	if f.builds {
		base += ".records"
	}
	own := &file{}
	if f.inFolder() {
		p.folder = filepath.Join(f.spoolRoot(), strconv.Itoa(p.batch))
		own.made = missing(filepath.Join(p.folder, base))
		err = os.MkdirAll(p.folder, 0o755)
	} else {
		p.folder, p.owner, err = ownSpool(f.env.Settings.FeedExport.TempDir)
		own.made = []string{p.folder, filepath.Join(p.folder, base)}
	}
	if err != nil {
		p.disown()
		_ = os.Remove(p.folder) // it may not be there
		return err
	}
	p.spool = filepath.Join(p.folder, base)
	p.file = own
	if own.File, err = os.OpenFile(p.spool, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		p.file = nil
		p.disown()
		return errors.Join(err, own.remove())
	}
	own.info, err = own.Stat()
	return err
}

// inFolder reports whether there is a job, and it has a folder.
func (f *feed) inFolder() bool { return f.past != nil && f.past.dir != "" }

// spoolRoot is the folder in a job's folder that has the feed's parts, by their batches.
func (f *feed) spoolRoot() string { return spoolsOf(f.past.dir, f.shown) }

func spoolsOf(job, shown string) string {
	sum := sha256.Sum256([]byte(shown))
	return filepath.Join(job, "feeds", hex.EncodeToString(sum[:6]))
}

// A note says what becomes of a part that a job keeps: it is in the part's folder.
type note struct {
	URI    string `json:"uri"`
	Spool  string `json:"spool"`
	Local  string `json:"local,omitempty"`
	Items  int64  `json:"items"`
	Bytes  int64  `json:"bytes"`
	Placed bool   `json:"placed"`
}

const noteFile = "part.json"

// note makes durable what is to become, or has become, of a part.
func (p *part) note(placed bool) error {
	b, err := json.Marshal(note{URI: p.uri, Spool: filepath.Base(p.spool), Local: p.local, Items: p.items, Bytes: p.bytes, Placed: placed})
	if err != nil {
		return err
	}
	if !placed {
		if old, err := readNote(p.folder); err == nil && old.Placed && old.Items == p.items && old.Bytes == p.bytes {
			return nil // it is in its place already, as it is
		}
	}
	return writeWhole(filepath.Join(p.folder, noteFile), append(b, '\n'))
}

// forget takes the note back before the part is cut: what comes in place of what was cut may be as many items and as many bytes, and is not in its place.
func (p *part) forget() error {
	if p.spool == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(p.folder, noteFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(p.folder)
}

func readNote(folder string) (n note, err error) {
	b, err := os.ReadFile(filepath.Join(folder, noteFile))
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	return n, err
}

// hasPlaced reports whether what is in a part's place is the job's: it has got no item yet, and has been stopped.
func (f *feed) hasPlaced(p *part) bool {
	if !f.inFolder() {
		return false
	}
	n, err := readNote(p.folder)
	return err == nil && n.Placed
}

// writeWhole writes a file that is there in whole or as it was before, whatever happens.
func writeWhole(name string, b []byte) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// keptApart reports whether a job has something of a feed that is not in its place.
func keptApart(conf crawl.Feed, env *crawl.Env) bool {
	if env.Settings.Job.Dir == "" {
		return false
	}
	root := spoolsOf(env.Settings.Job.Dir, redacted(conf.URI))
	batches, err := os.ReadDir(root)
	if err != nil {
		return false // it is not there
	}
	return slices.ContainsFunc(batches, func(d fs.DirEntry) bool {
		n, err := readNote(filepath.Join(root, d.Name()))
		return err != nil || !n.Placed
	})
}

// resend has earlier batches put in their places that a killed process has not, and removes what no commit knows of. It is called once, before the first item.
func (f *feed) resend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.inFolder() || !f.spools() || !f.template.batched {
		return
	}
	root := f.spoolRoot()
	folders, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, d := range folders {
		batch, err := strconv.Atoi(d.Name())
		folder := filepath.Join(root, d.Name())
		if err != nil || batch == f.batch {
			continue
		}
		n, err := readNote(folder)
		if batch > f.batch || err == nil && n.Placed {
			_ = os.RemoveAll(folder)
			continue
		}
		if err != nil {
			f.log.Warn("a batch of a feed cannot be put in its place", zap.String("feed", f.shown), zap.String("folder", folder), zap.Error(err))
			continue
		}
		f.deliver(&part{
			uri: n.URI, batch: batch, folder: folder, spool: filepath.Join(folder, n.Spool), local: n.Local, items: n.Items, bytes: n.Bytes, file: closedFile{},
		})
	}
}

// closedFile is the file of a part that is closed.
type closedFile struct{}

func (closedFile) Write([]byte) (int, error) { return 0, fs.ErrClosed }
func (closedFile) Sync() error               { return nil }
func (closedFile) Close() error              { return nil }

// deliver has a closed part put in its place, after those that wait. Called with mu held.
func (f *feed) deliver(p *part) {
	if p.spool == "" {
		f.report(p, nil)
		return
	}
	f.placing.Lock()
	defer f.placing.Unlock()
	f.queue = append(f.queue, p)
	if !f.busy {
		f.busy = true
		f.uploads.wg.Go(f.deliverAll)
	}
}

// deliverAll ends when nothing waits.
func (f *feed) deliverAll() {
	for {
		f.placing.Lock()
		if len(f.queue) == 0 {
			f.busy = false
			f.placing.Unlock()
			return
		}
		p := f.queue[0]
		f.placing.Unlock()
		f.deliverOne(p)
		f.placing.Lock()
		f.queue = f.queue[1:]
		f.placing.Unlock()
	}
}

// deliverOne puts a part in its place, and gives back what it took.
func (f *feed) deliverOne(p *part) {
	if f.inFolder() {
		if n, err := readNote(p.folder); err == nil && n.Placed {
			f.keep(p)
			return
		}
	}
	err := guarded(func() error { return f.place(f.uploads.ctx, p) })
	if p.dest != nil {
		if err = errors.Join(err, guarded(p.dest.Close)); err != nil {
			err = f.stays(p, p.spool, err)
		}
	}
	switch {
	case err != nil:
		fields := []zap.Field{zap.String("feed", redacted(p.uri)), zap.Error(err)}
		if panicked, ok := errors.AsType[*crawl.PanicError](err); ok {
			fields = append(fields, zap.ByteString("stack", panicked.Stack))
		}
		f.log.Error("feed is not in its place", fields...)
	case f.inFolder():
		err = p.note(true)
		f.keep(p)
	default:
		p.release()
		err = os.RemoveAll(p.folder)
	}
	if err != nil {
		f.unplaces(err)
	}
	f.report(p, err)
}

// unplaces remembers why a part is not in its place.
func (f *feed) unplaces(err error) {
	f.placing.Lock()
	defer f.placing.Unlock()
	f.unplaced = append(f.unplaced, err)
}

// keep remembers a batch that is in its place: its folder goes when the next commit is safe.
func (f *feed) keep(p *part) {
	f.placing.Lock()
	defer f.placing.Unlock()
	f.kept[p.batch] = p.folder
}

// dropKept removes the folders of batches that no later run can need. Called with mu held.
func (f *feed) dropKept() {
	f.placing.Lock()
	defer f.placing.Unlock()
	for batch, folder := range f.kept {
		if batch < f.safe {
			if err := os.RemoveAll(folder); err != nil {
				f.log.Warn("a batch's folder is not removed", zap.String("folder", folder), zap.Error(err))
			}
			delete(f.kept, batch)
		}
	}
}

// place makes the file, if it is to be made, and puts it where it belongs.
func (f *feed) place(ctx context.Context, p *part) error {
	if p.dest != nil {
		return f.build(p, p.dest)
	}
	if f.remote == nil {
		if err := f.buildInto(p, p.local); err != nil {
			return f.stays(p, p.spool, fmt.Errorf("make the file: %w", err))
		}
		return nil
	}
	whole := p.spool
	if f.builds {
		whole = filepath.Join(p.folder, path.Base(p.uri))
		if err := f.buildInto(p, whole); err != nil {
			return f.stays(p, p.spool, fmt.Errorf("make the file: %w", err))
		}
	}
	if err := f.upload(ctx, p, whole); err != nil {
		return f.stays(p, whole, fmt.Errorf("upload: %w", err))
	}
	if f.builds {
		return os.Remove(whole)
	}
	return nil
}

// stays says where the items of a part are that is not in its place.
func (f *feed) stays(p *part, name string, err error) error {
	if f.inFolder() {
		return fmt.Errorf("%w: the items of %s are kept in the job (%s); the same command line tries again to put them in their place", err, redacted(p.uri), name)
	}
	p.disown()
	how := "copy it there"
	switch {
	case f.remote == nil:
		return fmt.Errorf("%w: the records of %s are kept in %s", err, redacted(p.uri), name)
	case f.remote.scheme == "s3":
		how = fmt.Sprintf("send it with: aws s3 cp '%s' '%s'", name, p.uri)
		if at := f.env.Settings.AWS.Endpoint; at != "" {
			how += " --endpoint-url " + at
		}
	case f.remote.scheme == "gs":
		how = fmt.Sprintf("send it with: gcloud storage cp '%s' '%s'", name, p.uri)
	case f.remote.scheme == "ftp" || f.remote.scheme == "ftps":
		how = fmt.Sprintf("send it with: curl --ftp-create-dirs -T '%s' '%s'", name, p.uri)
	}
	return fmt.Errorf("%w: the items are kept in %s; %s", err, name, how)
}

// buildInto makes a file of a part's records, in one step and for good.
func (f *feed) buildInto(p *part, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { // it was there when the part began
		return err
	}
	tmp, err := f.unfinished(name)
	if err != nil {
		return err
	}
	err = f.build(p, tmp)
	if err == nil {
		err = tmp.Chmod(usualMode(p.spool))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if info, err := os.Stat(name); err == nil {
		p.whole = info.Size()
	}
	return syncFolder(filepath.Dir(name))
}

// unfinished makes the file that gets the name when it is whole. A job has it by one name: what a killed process has left is written over.
func (f *feed) unfinished(name string) (*os.File, error) {
	dir, base := filepath.Split(name)
	if f.past == nil {
		return os.CreateTemp(filepath.Dir(name), unfinishedPrefix+"*")
	}
	return os.Create(filepath.Join(dir, unfinishedPrefix+base))
}

// unfinishedPrefix begins the names of files that are being made.
const unfinishedPrefix = ".tulle-"

// usualMode is that of a file which was made as files are, under the process's umask.
func usualMode(like string) fs.FileMode {
	info, err := os.Stat(like)
	if err != nil {
		return 0o644
	}
	return info.Mode().Perm()
}

// build has the format make a file of a part's records.
func (f *feed) build(p *part, w io.Writer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("format %s: panic: %v", f.format, v)
		}
	}()
	enc, err := f.newEnc()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 256<<10)
	if err := enc.(crawl.FeedBuilder).Build(out, records(p.spool)); err != nil {
		return err
	}
	return out.Flush()
}

// upload puts a local file into the store.
func (f *feed) upload(ctx context.Context, p *part, name string) error {
	meta := crawl.Meta{ContentType: contentType(f.format, f.pack)}
	wait, begun := uploadBackOff, time.Now()
	for try := 1; ; try++ {
		err := guarded(func() error { return f.putOnce(ctx, p, name, meta) })
		_, panicked := errors.AsType[*crawl.PanicError](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("given up when the crawl ended: %w", err)
		case panicked || errors.Is(err, store.ErrName) || try == uploadTries || time.Since(begun) >= uploadPatience:
			return err
		}
		f.log.Warn("feed is not uploaded: it is tried again", zap.String("feed", p.uri), zap.Duration("after", wait), zap.Error(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait *= 2
	}
}

func (f *feed) putOnce(ctx context.Context, p *part, name string, meta crawl.Meta) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	return f.remote.store.Put(ctx, f.remote.name(p), in, meta)
}

// contentType is that of a feed's file. What is compressed says so by its type, and not by an encoding: that would be undone on the way.
func contentType(format, pack string) string {
	switch pack {
	case gzipped:
		return "application/gzip"
	case zstded:
		return "application/zstd"
	}
	switch format {
	case "jsonl":
		return "application/x-ndjson"
	case "json":
		return "application/json"
	case "csv":
		return "text/csv; charset=utf-8"
	case "xml":
		return "application/xml"
	case "parquet":
		return "application/vnd.apache.parquet"
	}
	return "application/octet-stream"
}

// report counts what became of a part, and tells who wants to know.
func (f *feed) report(p *part, err error) {
	key := "feedexport/success_count/"
	if err != nil {
		key = "feedexport/failed_count/"
	}
	f.env.Stats.Inc(key + f.storage)
	size := p.bytes
	if p.whole > 0 {
		size = p.whole
	}
	r := crawl.FeedResult{
		Feed: f.shown, URI: redacted(p.uri), Format: f.format, Batch: p.batch, Items: p.items, Bytes: size, Skipped: p.skipped, Err: err,
	}
	f.placing.Lock()
	t := &f.total
	t.Items, t.Bytes, t.Err = t.Items+r.Items, t.Bytes+r.Bytes, errors.Join(t.Err, err)
	if t.Skipped = r.Skipped; p.batch > 0 {
		t.Batch++
	} else {
		t.URI = r.URI
	}
	f.placing.Unlock()
	if hook := f.env.Settings.Trace.FeedClosed; hook != nil {
		if err := guarded(func() error { hook(r); return nil }); err != nil {
			f.log.Error("the FeedClosed hook failed", zap.String("feed", r.URI), zap.Error(err))
		}
	}
}

func (f *feed) takeUnplaced() []error {
	f.placing.Lock()
	defer f.placing.Unlock()
	all := f.unplaced
	f.unplaced = nil
	return all
}

// awaitUploads waits until all that is on its way is in its place, or has failed. It tells what it waits for, and gives up after some time.
func (s *Feeds) awaitUploads() {
	done := make(chan struct{})
	go func() {
		s.uploads.wg.Wait()
		close(done)
	}()
	defer s.uploads.cancel()
	var limit <-chan time.Time
	if t := s.env.Settings.FeedExport.UploadTimeout; t > 0 {
		timer := time.NewTimer(t)
		defer timer.Stop()
		limit = timer.C
	}
	tell := time.NewTicker(tellEvery)
	defer tell.Stop()
	hurry := s.uploads.hurry
	for {
		select {
		case <-done:
			return
		case <-tell.C:
			s.env.Log.Info("the crawl is over but for feeds on their way", zap.Strings("feeds", s.underWay()))
		case <-hurry:
			hurry = nil
			timer := time.NewTimer(hurried)
			defer timer.Stop()
			limit = timer.C
		case <-limit:
			s.env.Log.Warn("feeds took too long to get to their places: their items are kept", zap.Strings("feeds", s.underWay()),
				zap.Duration("feed_export.upload_timeout", s.env.Settings.FeedExport.UploadTimeout))
			s.uploads.cancel()
			select {
			case <-done:
			case <-time.After(leaveAfter):
				s.leave()
			}
			return
		}
	}
}

// underWay are the parts that are not in their places.
func (s *Feeds) underWay() []string {
	var list []string
	for _, f := range s.feeds {
		f.placing.Lock()
		for _, p := range f.queue {
			list = append(list, fmt.Sprintf("%s (%d bytes)", redacted(p.uri), p.bytes))
		}
		f.placing.Unlock()
	}
	return list
}

// leave notes what is left behind by a store that does not return.
func (s *Feeds) leave() {
	for _, f := range s.feeds {
		f.placing.Lock()
		for _, p := range f.queue {
			f.unplaced = append(f.unplaced, f.stays(p, p.spool, errors.New("the upload does not end")))
		}
		f.placing.Unlock()
	}
}

// redacted is a URI without its password, and otherwise as it was given.
func redacted(uri string) string {
	before, rest, ok := strings.Cut(uri, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 || strings.EqualFold(before, "file") {
		return uri
	}
	user, _, found := strings.Cut(rest[:at], ":")
	if !found {
		return uri
	}
	return before + "://" + user + ":***" + rest[at:]
}
