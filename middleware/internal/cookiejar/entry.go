package cookiejar

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is a cookie with all that is known of it, to be listed, saved and loaded. As JSON it keeps every octet of its value.
type Entry struct {
	Name     string    `json:"name"`
	Value    string    `json:"value,omitempty"`     // as the site sent it, quotes included
	Domain   string    `json:"domain"`              // in lower case and punycode, without a leading dot
	HostOnly bool      `json:"host_only,omitempty"` // sent to Domain itself only, not to the hosts under it
	Path     string    `json:"path"`
	Secure   bool      `json:"secure,omitempty"`    // sent through TLS only
	HTTPOnly bool      `json:"http_only,omitempty"` // not for scripts; a jar that renders pages must know
	Expires  time.Time `json:"expires,omitzero"`    // zero is a session cookie: it lasts as long as the jar, and through saving and loading
	Created  time.Time `json:"created"`             // when it was first set; decides the order among equal paths
}

func (e *Entry) expired(now time.Time) bool { return !e.Expires.IsZero() && !e.Expires.After(now) }

func (e Entry) equal(other Entry) bool {
	same := e.Expires.Equal(other.Expires) && e.Created.Equal(other.Created)
	other.Expires, other.Created = e.Expires, e.Created
	return same && e == other
}

// plainEntry is Entry without its methods.
type plainEntry Entry

// savedEntry is an entry in JSON, whose strings cannot hold every octet that a cookie's value can.
type savedEntry struct {
	plainEntry
	Octets []byte `json:"value_base64,omitempty"` // instead of value where that is not UTF-8
}

// MarshalJSON implements json.Marshaler.
func (e Entry) MarshalJSON() ([]byte, error) {
	saved := savedEntry{plainEntry: plainEntry(e)}
	if !utf8.ValidString(e.Value) {
		saved.Value, saved.Octets = "", []byte(e.Value)
	}
	return json.Marshal(saved)
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var saved savedEntry
	if err := json.Unmarshal(data, &saved); err != nil {
		return err
	}
	*e = Entry(saved.plainEntry)
	if saved.Octets != nil {
		e.Value = string(saved.Octets)
	}
	return nil
}

// All returns the cookies that have not expired, ordered by domain, path and name, as they are when the loop begins. The jar may be used
// while the loop runs.
func (j *Jar) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		now := j.now()
		var entries []Entry
		j.mu.RLock()
		for _, cookies := range j.sites {
			entries = appendEntries(entries, cookies, now)
		}
		j.mu.RUnlock()
		for _, e := range sorted(entries) {
			if !yield(e) {
				return
			}
		}
	}
}

// Export returns what All does, as a slice to be saved; Load takes it back.
func (j *Jar) Export() []Entry { return slices.Collect(j.All()) }

// Load adds saved cookies, which replace those of the same name, domain and path. What has expired is left out. What could not have come
// from a jar (no name, a public suffix as domain, …) is left out too and named by the error; the others are loaded nevertheless. Load
// is not a change in the sense of Changes: who loads has the cookies already.
func (j *Jar) Load(entries []Entry) error {
	now := j.now()
	ordered := slices.Clone(entries)
	slices.SortStableFunc(ordered, func(a, b Entry) int { return a.Created.Compare(b.Created) })

	j.mu.Lock()
	defer j.mu.Unlock()
	dirty := j.dirty
	j.dirty = nil
	defer func() { j.dirty = dirty }()
	var errs []error
	for _, e := range ordered {
		if err := e.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if !e.expired(now) {
			j.put(siteOf(e.Domain), e, now)
		}
	}
	return errors.Join(errs...)
}

// check returns why e could not be in a jar.
func (e *Entry) check() error {
	switch {
	case !acceptable(e.Name, e.Value):
		return fmt.Errorf("load cookie %q of %q: name or value not acceptable", e.Name, e.Domain)
	case e.Domain == "" || canonicalHost(e.Domain) != e.Domain:
		return fmt.Errorf("load cookie %q of %q: domain is not a host in lower case and punycode", e.Name, e.Domain)
	case !e.HostOnly && (isIP(e.Domain) || isPublicSuffix(e.Domain)):
		return fmt.Errorf("load cookie %q of %q: an address or a public suffix cannot share cookies", e.Name, e.Domain)
	case !strings.HasPrefix(e.Path, "/"):
		return fmt.Errorf("load cookie %q of %q: path %q does not begin with a slash", e.Name, e.Domain, e.Path)
	}
	return nil
}

// Version returns a number that grows with every change. A cookie that is set again as it is, or sent, is no change; one whose expiry moves is.
func (j *Jar) Version() uint64 { return j.version.Load() }

// Changes returns the sites that changed after version since, each with all its cookies now, and none if it has no more; and the version to
// ask from next time. A job writes each site under a key of its own. What changed up to since is taken to be safe, and forgotten, so since
// must be a version whose changes have been saved. Changes reports nothing unless Options.Tracked is set.
func (j *Jar) Changes(since uint64) (sites map[string][]Entry, version uint64) {
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for site, changed := range j.dirty {
		if changed <= since {
			delete(j.dirty, site)
			continue
		}
		if sites == nil {
			sites = make(map[string][]Entry)
		}
		sites[site] = sorted(appendEntries(nil, j.sites[site], now))
	}
	return sites, j.version.Load()
}

func appendEntries(entries []Entry, cookies []*cookie, now time.Time) []Entry {
	for _, c := range cookies {
		if !c.expired(now) {
			entries = append(entries, c.Entry)
		}
	}
	return entries
}

func sorted(entries []Entry) []Entry {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Path, b.Path), strings.Compare(a.Name, b.Name))
	})
	return entries
}
