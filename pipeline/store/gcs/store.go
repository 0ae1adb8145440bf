package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

const (
	// metadataLimit is Google's, 8 KiB, less some room for what others have said.
	metadataLimit = 7 << 10
	// patchTries is how often a record is written again when somebody changes the object meanwhile.
	patchTries = 3
)

// Store keeps files in a bucket. Open returns it.
type Store struct {
	client    *client
	transport *http.Transport
	place     objects.Address
	acl       string
	buffers   *objects.Buffers
}

var (
	_ crawl.Store    = (*Store)(nil)
	_ crawl.Toucher  = (*Store)(nil)
	_ store.Recorder = (*Store)(nil)
	_ io.Closer      = (*Store)(nil)
)

// Put implements [crawl.Store].
func (s *Store) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	up, err := s.buffers.Begin(ctx, r)
	if err == nil {
		rec := objects.Record{Meta: meta}
		what := object{Name: key, ContentType: rec.ContentType(), Metadata: make(map[string]*string)}
		for name, value := range rec.Metadata(metadataLimit) {
			what.Metadata[name] = &value
		}
		err = s.put(ctx, up, what)
		up.Close()
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// Stat implements [crawl.Store]. It is one request.
func (s *Store) Stat(ctx context.Context, name string) (crawl.Info, error) {
	key, err := s.place.Key(name)
	if err != nil {
		return crawl.Info{}, err
	}
	o, err := s.look(ctx, key)
	if err != nil {
		return crawl.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return infoOf(o), nil
}

// look asks for what is known of an object.
func (s *Store) look(ctx context.Context, key string) (*object, error) {
	query := url.Values{"fields": {"contentType,metadata,size,timeCreated,generation,metageneration"}}
	o := new(object)
	return o, s.client.json(ctx, call{method: http.MethodGet, url: s.objectURL(key, query)}, o)
}

func (s *Store) objectURL(key string, query url.Values) string {
	return s.client.url(apiRoot, query, s.place.Bucket, "o", key)
}

// infoOf is what a resource says of a file. Its time is not "updated": a life cycle rule that moves an object to colder storage updates it too.
func infoOf(o *object) crawl.Info {
	metadata := make(map[string]string, len(o.Metadata))
	for name, value := range o.Metadata {
		if value != nil {
			metadata[name] = *value
		}
	}
	rec := objects.ReadRecord(metadata, o.ContentType)
	info := crawl.Info{Size: o.Size, ModTime: rec.Stored, Meta: rec.Meta}
	if info.ModTime.IsZero() {
		info.ModTime = o.Created.UTC()
	}
	return info
}

// Open implements [crawl.Store].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := s.place.Key(name)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.do(ctx, call{
		method: http.MethodGet, url: s.objectURL(key, url.Values{"alt": {"media"}}),
		header: http.Header{"Accept-Encoding": {"gzip"}}, // Else the server unpacks what is stored packed.
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return resp.Body, nil
}

// Touch implements [crawl.Toucher]. Only metadata changes, the new time among it.
func (s *Store) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	err = s.patch(ctx, key, func(*object) *objects.Record { return &objects.Record{Meta: meta, Stored: time.Now()} })
	if err != nil {
		return fmt.Errorf("touch %s: %w", name, err)
	}
	return nil
}

// Record implements [store.Recorder].
func (s *Store) Record(ctx context.Context, name string, known crawl.Info) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	err = s.patch(ctx, key, func(o *object) *objects.Record {
		if now := infoOf(o); now.Size != known.Size || !now.ModTime.Equal(known.ModTime) {
			return nil
		}
		return &objects.Record{Meta: known.Meta, Stored: known.ModTime}
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

// patch gives an object the record that change returns, unless that is nil. It is the object that change has seen, or change is asked again.
func (s *Store) patch(ctx context.Context, key string, change func(*object) *objects.Record) error {
	for attempt := 1; ; attempt++ {
		o, err := s.look(ctx, key)
		if err != nil {
			return err
		}
		rec := change(o)
		if rec == nil {
			return nil
		}
		err = s.sendPatch(ctx, key, o, rec)
		var answer *apiError
		if !errors.As(err, &answer) || answer.Status != http.StatusPreconditionFailed || attempt == patchTries {
			return err
		}
	}
}

func (s *Store) sendPatch(ctx context.Context, key string, o *object, rec *objects.Record) error {
	what := object{ContentType: rec.ContentType(), Metadata: make(map[string]*string)}
	for name := range o.Metadata {
		if objects.IsRecord(name) {
			what.Metadata[name] = nil
		}
	}
	for name, value := range rec.Metadata(metadataLimit) {
		what.Metadata[name] = &value
	}
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	query := url.Values{
		"ifGenerationMatch":     {strconv.FormatInt(o.Generation, 10)},
		"ifMetagenerationMatch": {strconv.FormatInt(o.Metageneration, 10)},
		"fields":                {"generation"},
	}
	return s.client.json(ctx, call{
		method: http.MethodPatch, url: s.objectURL(key, query), body: [][]byte{body}, header: http.Header{"Content-Type": {jsonType}},
	}, new(object))
}

// Close closes idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}
