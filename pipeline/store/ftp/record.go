package ftp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// maxRecord is more than any record has, in bytes.
const maxRecord = 1 << 20

// record is a file's record as it stands below metaDir. It is store.Dir's, and Renewed.
type record struct {
	Size    int64      `json:"size"`
	ModTime int64      `json:"mtime"`             // in nanoseconds since 1970; the client's time if the server has none
	Renewed int64      `json:"renewed,omitempty"` // likewise: when the file was found unchanged, if the server can't set its time
	Meta    crawl.Meta `json:"meta"`
}

// newRecord is that of a file that the server describes so.
func newRecord(size int64, mod time.Time, meta crawl.Meta) record {
	if mod.IsZero() {
		mod = time.Now()
	}
	return record{Size: size, ModTime: mod.UnixNano(), Meta: meta}
}

// seconds is t as MDTM would tell it, so that a fraction does not matter that some servers give and others don't.
func (r record) seconds() int64 { return time.Unix(0, r.ModTime).Unix() }

// time is when the file was stored or found unchanged.
func (r record) time() time.Time { return time.Unix(0, max(r.ModTime, r.Renewed)).UTC() }

// seen is a file as it is found.
type seen struct {
	crawl.Info
	mod    time.Time // what the server says; zero if nothing
	record record    // zero if there is none, or one of something else
}

// look finds out what is known of a file.
func (s *Store) look(c *conn, name string) (seen, error) {
	size, mod, err := c.info(s.at(name))
	if err != nil {
		return seen{}, err
	}
	found := seen{Info: crawl.Info{Size: size, ModTime: mod}, mod: mod}
	r, err := s.readRecord(c, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, nil
	case errors.Is(err, errUnreadable):
		// It and the file were written together, and what took the one may have taken from the other.
		found.ModTime = time.Time{}
		return found, nil
	case err != nil:
		return seen{}, err
	}
	switch {
	case r.Size == size && (mod.IsZero() || mod.Unix() == r.seconds()):
		found.record, found.Meta = r, r.Meta
		if mod.IsZero() || r.Renewed > mod.UnixNano() {
			found.ModTime = r.time()
		}
	case size < r.Size && mod.Unix() <= r.seconds():
		// Shorter than it was and not written since: the server has lost the end of it.
		found.ModTime = time.Time{}
	}
	return found, nil
}

// errUnreadable says that there is a record, and that it is not one.
var errUnreadable = errors.New("unreadable record")

func (s *Store) readRecord(c *conn, name string) (record, error) {
	resp, err := c.Retr(s.at(metaDir + name))
	if err != nil {
		return record{}, said("RETR of its record", missing(err))
	}
	b, err := io.ReadAll(io.LimitReader(resp, maxRecord))
	if err := errors.Join(err, transferred(resp.Close())); err != nil {
		return record{}, said("RETR of its record", err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, errUnreadable
	}
	return r, nil
}

func (s *Store) writeRecord(c *conn, name string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := tempName()
	err = c.upload(s.at(tmp), bytes.NewReader(b))
	if err == nil {
		err = s.place(c, tmp, metaDir+name)
	}
	if refused(err) {
		_ = c.remove(s.at(tmp))
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
