package cmd_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// builtLines is JSON Lines behind a line that says how many there are: a format that can be made at its end alone.
type builtLines struct{}

var _ crawl.FeedBuilder = builtLines{}

func (builtLines) Begin(any) ([]byte, error) { return nil, nil }
func (builtLines) Between() []byte           { return nil }
func (builtLines) End() []byte               { return nil }

func (builtLines) Record(dst []byte, item any) ([]byte, error) {
	b, err := json.Marshal(item)
	return append(append(dst, b...), '\n'), err
}

func (builtLines) Build(w io.Writer, records iter.Seq2[[]byte, error]) error {
	n := 0
	for _, err := range records {
		if err != nil {
			return err
		}
		n++
	}
	fmt.Fprintln(w, n)
	for r, err := range records {
		if err != nil {
			return err
		}
		if _, err := w.Write(r); err != nil {
			return err
		}
	}
	return nil
}

// readBuilt reads what builtLines has made.
func readBuilt(b []byte) ([]killItem, error) {
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	list, err := jsonLines(rest, true)
	if err == nil && string(head) != fmt.Sprint(len(list)) {
		err = fmt.Errorf("it says that it has %s items, and has %d", head, len(list))
	}
	return list, err
}

// unpack is what a file holds, by the end of its name. It must be whole.
func unpack(name string, b []byte) (bare string, text []byte, err error) {
	switch ext := filepath.Ext(name); ext {
	case ".gz":
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return "", nil, err
		}
		text, err = io.ReadAll(z)
		return strings.TrimSuffix(name, ext), text, err
	case ".zst":
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			return "", nil, err
		}
		defer z.Close()
		text, err = io.ReadAll(z)
		return strings.TrimSuffix(name, ext), text, err
	}
	return name, b, nil
}

// TestKillCompressed kills crawls without a job: what is in their compressed feeds can be read to its end, and is whole items.
func TestKillCompressed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	site := newKillSite(t, 10_000)
	read := 0
	for range 5 {
		d := newDisturbed(t, site)
		p := d.start("killshop")
		gz := filepath.Join(d.dir, "items.jsonl.gz")
		p.until(func() bool {
			info, err := os.Stat(gz)
			return err == nil && info.Size() > 2000
		})
		p.wait(time.Duration(rand.Int64N(int64(300 * time.Millisecond))))
		p.kill()
		for _, name := range []string{"items.jsonl.gz", "items.json.zst"} {
			b, err := os.ReadFile(filepath.Join(d.dir, name))
			if errors.Is(err, os.ErrNotExist) || len(b) == 0 {
				continue
			}
			require.NoError(t, err)
			_, text, err := unpack(name, b)
			d.check(err, name)
			var list []killItem
			if name == "items.json.zst" {
				err = json.Unmarshal(text, &list)
			} else {
				list, err = jsonLines(text, true)
			}
			d.check(err, name)
			read += len(list)
		}
	}
	require.Greater(t, read, 500)
	t.Logf("%d items read", read)
}
