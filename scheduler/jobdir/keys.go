package jobdir

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tulle-go/tulle/scheduler/internal/frontier"
	"github.com/tulle-go/tulle/scheduler/internal/seen"
)

// The first byte of a key says what stands under it.
const (
	keyMeta   = 'm' // alone: meta, as JSON
	keySeen   = 's' // fingerprint: nothing
	keyQueue  = 'q' // slot, priority, rank: a waiting request, or one in hand
	keyLater  = 'd' // time, rank: a request with a not-before time
	keyFailed = 'f' // ID: a request that failed for good
	keyState  = 'p' // key of Tx.Put
	keyKills  = 'k' // ID: unclean ends at which the request was in hand
	keyOut    = 'u' // ID of a page in hand, 0 for Start: how many unfiltered requests it has pushed
)

// meta is what the job counts. It is written with every group.
type meta struct {
	LastID     uint64 `json:"last_id"`
	Rank       int64  `json:"rank"`
	Queued     int64  `json:"queued"` // those in hand included
	Done       int64  `json:"done"`
	Failed     int64  `json:"failed"`
	Duplicates int64  `json:"duplicates"`
	Seen       int64  `json:"seen"`
	Runs       int    `json:"runs"`
	Kills      int    `json:"kills"`
	// Counted is when the process began whose unclean end was counted last.
	Counted time.Time `json:"counted"`
	Routes  []route   `json:"routes"`
}

// route is how many requests with a route wait. Requests name theirs by its index.
type route struct {
	Name   string `json:"name"`
	Queued int64  `json:"queued"`
}

var errStored = errors.New("cannot be read: the store is damaged, or of another version")

func idKey(kind byte, id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, id) }

func parseID(key []byte) uint64 {
	if len(key) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64(key[1:])
}

func seenKey(b []byte, k seen.Key) []byte { return k.Append(append(b, keySeen)) }

func stateKey(key string) []byte { return append([]byte{keyState}, key...) }

// sortable makes a number's bytes sort as the number does.
func sortable(n int64) uint64 { return uint64(n) ^ 1<<63 }

func unsortable(n uint64) int64 { return int64(n ^ 1<<63) }

// queuePrefix is what a slot's keys begin with.
func queuePrefix(b []byte, slot string) []byte {
	b = append(b, keyQueue)
	b = binary.BigEndian.AppendUint16(b, uint16(min(len(slot), math.MaxUint16)))
	return append(b, slot[:min(len(slot), math.MaxUint16)]...)
}

// placeLen is the length of a key's place behind its prefix.
const placeLen = 16

func appendPlace(b []byte, k frontier.Key) []byte {
	b = binary.BigEndian.AppendUint64(b, sortable(k.A))
	return binary.BigEndian.AppendUint64(b, sortable(k.B))
}

func parsePlace(b []byte) frontier.Key {
	return frontier.Key{A: unsortable(binary.BigEndian.Uint64(b)), B: unsortable(binary.BigEndian.Uint64(b[8:]))}
}

func queueKey(b []byte, slot string, k frontier.Key) []byte {
	return appendPlace(queuePrefix(b, slot), k)
}

func laterKey(b []byte, k frontier.Key) []byte { return appendPlace(append(b, keyLater), k) }

// after is the least key behind all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// appendEntry writes a waiting request's value.
func appendEntry(b []byte, e *frontier.Entry) []byte {
	b = binary.AppendUvarint(b, e.ID)
	b = binary.AppendUvarint(b, uint64(e.Route))
	return append(b, e.Enc...)
}

// parseQueued reads a slot and an entry from their key and value.
func parseQueued(key, value []byte) (slot string, e frontier.Entry, err error) {
	if len(key) < 3+placeLen {
		return "", e, errStored
	}
	n := int(binary.BigEndian.Uint16(key[1:]))
	if len(key) != 3+n+placeLen {
		return "", e, errStored
	}
	place := parsePlace(key[3+n:])
	e.Priority, e.Rank = int32(-place.A), -place.B
	return string(key[3 : 3+n]), e, parseEntry(&e, value)
}

func parseEntry(e *frontier.Entry, value []byte) error {
	id, n := binary.Uvarint(value)
	if n <= 0 {
		return errStored
	}
	rt, m := binary.Uvarint(value[n:])
	if m <= 0 || rt > math.MaxUint16 {
		return errStored
	}
	e.ID, e.Route, e.Enc = id, uint16(rt), string(value[n+m:])
	return nil
}

// appendLater writes the value of a request with a not-before time, which keeps its slot and priority beside it.
func appendLater(b []byte, d *frontier.Delayed) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.Slot)))
	b = append(b, d.Slot...)
	b = binary.AppendVarint(b, int64(d.Priority))
	return appendEntry(b, &d.Entry)
}

func parseLater(key, value []byte) (d frontier.Delayed, err error) {
	if len(key) != 1+placeLen {
		return d, errStored
	}
	place := parsePlace(key[1:])
	d.At, d.Rank = time.Unix(0, place.A), place.B
	size, n := binary.Uvarint(value)
	if n <= 0 || size > uint64(len(value)-n) {
		return d, errStored
	}
	value = value[n:]
	d.Slot, value = string(value[:size]), value[size:]
	p, n := binary.Varint(value)
	if n <= 0 {
		return d, errStored
	}
	d.Priority = int32(p)
	return d, parseEntry(&d.Entry, value[n:])
}

// failure is what is kept of a request that failed, beside the request.
type failure struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Kills  int       `json:"kills,omitempty"`
}

func appendFailure(b []byte, f *failure, enc string) ([]byte, error) {
	head, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	b = binary.AppendUvarint(b, uint64(len(head)))
	return append(append(b, head...), enc...), nil
}

func parseFailure(value []byte) (f failure, enc string, err error) {
	size, n := binary.Uvarint(value)
	if n <= 0 || size > uint64(len(value)-n) {
		return f, "", errStored
	}
	value = value[n:]
	if err := json.Unmarshal(value[:size], &f); err != nil {
		return f, "", fmt.Errorf("%w: %w", errStored, err)
	}
	return f, string(value[size:]), nil
}
