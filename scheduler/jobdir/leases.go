package jobdir

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// leases is a file with the numbers of the pages in hand. It is written at once and never synced: it is there for the end of the process, not of the machine, and what
// a process has written outlives it. A page that ends the process a moment after it was leased is in it.
type leases struct {
	file vfs.File
	used int
	free []int // places that are no longer used
	buf  [8]byte
}

// roomForLeases is how many places are made in advance, so that a full disk does not matter.
const roomForLeases = 4096

// openLeases returns the pages that the last process had in hand, and begins anew.
func openLeases(fs vfs.FS, name string) (*leases, []uint64, error) {
	var held []uint64
	if f, err := fs.Open(name); err == nil {
		b, err := io.ReadAll(f)
		if err := firstError(err, f.Close()); err != nil {
			return nil, nil, err
		}
		for ; len(b) >= 8; b = b[8:] {
			if id := binary.LittleEndian.Uint64(b); id != 0 {
				held = append(held, id)
			}
		}
		slices.Sort(held)
		held = slices.Compact(held)
	} else if !isNotExist(err) {
		return nil, nil, err
	}
	return &leases{}, held, nil
}

// begin empties the file, once its contents are safe elsewhere.
func (l *leases) begin(fs vfs.FS, name string) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, 8*roomForLeases)); err != nil {
		return firstError(err, f.Close())
	}
	l.file = f
	return nil
}

// add writes a page down and returns its place.
func (l *leases) add(id uint64) int {
	at := l.used
	if n := len(l.free); n > 0 {
		at, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.used++
	}
	l.write(at, id)
	return at
}

func (l *leases) remove(at int) {
	l.write(at, 0)
	l.free = append(l.free, at)
}

// write ignores errors: a page that is not written down is only not counted if it ends the process.
func (l *leases) write(at int, id uint64) {
	binary.LittleEndian.PutUint64(l.buf[:], id)
	_, _ = l.file.WriteAt(l.buf[:], int64(at)*8)
}

func (l *leases) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
