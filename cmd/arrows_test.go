package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/tulle-go/tulle/"

// floors says on which floor each package stands. A package may import those on lower floors, its own internal ones, and, as a part, its whole: scheduler/jobdir may
// import scheduler, and what is internal to it. What is internal stands on its owner's floor.
var floors = map[string]int{
	"crawl":                    0,
	"pipeline/store":           1,
	"pipeline/store/storetest": 1,
	"pipeline/store/s3":        1,
	"pipeline/store/gcs":       1,
	"pipeline/store/ftp":       1,
	"scheduler/schedulertest":  1,
	"spiders/links":            1,
	"spiders/loader":           1,
	"scheduler":                2,
	"scheduler/jobdir":         2,
	"downloader":               2,
	"downloader/ftp":           2,
	"downloader/s3":            2,
	"downloader/browser":       2,
	"middleware":               2,
	"middleware/cachedb":       2,
	"pipeline":                 2,
	"pipeline/feed":            2,
	"pipeline/feed/parquet":    2,
	"pipeline/sink":            2,
	"spiders":                  2,
	"engine":                   3,
	"spiders/bundled":          3,
	"engine/crawltest":         4,
	"cmd":                      5,
	"cmd/tulle":                6,
	"docs":                     6, // tests of the pages, and nothing else
}

// only are packages of others, and those of ours that may import them.
var only = map[string][]string{
	"github.com/disintegration/imaging": {"pipeline"},
	"github.com/spf13/cobra":            {"cmd"},
	"github.com/cockroachdb/pebble/v2":  {"scheduler/jobdir", "middleware/cachedb"},
	"github.com/minio/minio-go/v7":      {"pipeline/store/s3"},
	"github.com/chromedp/chromedp":      {"downloader/browser"},
	"golang.org/x/oauth2/google":        {"pipeline/store/gcs"},
	"github.com/parquet-go/parquet-go":  {"pipeline/feed/parquet"},
	"go.yaml.in/yaml/v3":                {"cmd"},
	"github.com/jlaffaye/ftp":           {"pipeline/store/ftp", "downloader/ftp"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

// TestArrows holds the imports of all packages against the floors. A package that is missing from the table fails it.
func TestArrows(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == p.ImportPath {
			continue
		}
		owner, _, internal := strings.Cut(name, "/internal/")
		floor, ok := floors[owner]
		if !ok {
			t.Errorf("%s stands on no floor: add it to the table", name)
			continue
		}
		for _, imp := range p.Imports {
			if users, ok := only[imp]; ok && !slices.Contains(users, owner) {
				t.Errorf("%s imports %s, which only %s may", name, imp, strings.Join(users, ", "))
			}
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			target, _, toInternal := strings.Cut(to, "/internal/")
			switch {
			case toInternal && (target == owner || strings.HasPrefix(owner, target+"/")):
			case internal && floors[target] >= floor:
				t.Errorf("%s is a leaf of floor %d, and imports %s (floor %d)", name, floor, to, floors[target])
			case toInternal:
				t.Errorf("%s imports %s, which belongs to %s", name, to, target)
			case strings.HasPrefix(name, target+"/") && floors[target] == floor:
			case floors[target] >= floor:
				t.Errorf("%s (floor %d) imports %s (floor %d): arrows point down", name, floor, to, floors[target])
			}
		}
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...").Output()
	require.NoError(t, err)
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all = append(all, p)
	}
	require.Greater(t, len(all), 10)
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return all
}

// TestOneMask holds the code to one mask of passwords, crawl.Redacted's: net/url has another.
func TestOneMask(t *testing.T) {
	t.Parallel()
	root := os.DirFS("..")
	looked := 0
	require.NoError(t, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || name == "crawl/mask.go" {
			return err
		}
		text, err := fs.ReadFile(root, name)
		require.NotRegexp(t, `\.Redacted\(\)|"[^"]*xxxxx`, string(text), name)
		looked++
		return err
	}))
	require.Greater(t, looked, 200)
}

// TestMapsOfFiles holds packages to the maps of their files in doc.go: a name, or a pattern, for each.
func TestMapsOfFiles(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`[\w*]+\.go\b`)
	for _, pkg := range []string{"crawl", "engine", "cmd"} {
		dir := filepath.Join("..", pkg)
		doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		require.NoError(t, err)
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		all := named.FindAllString(string(doc), -1)
		for _, file := range files {
			name := filepath.Base(file)
			if name == "doc.go" || strings.HasSuffix(name, "_test.go") {
				continue
			}
			require.True(t, slices.ContainsFunc(all, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }), "%s/doc.go does not name %s", pkg, name)
		}
		for _, name := range all {
			found, err := filepath.Glob(filepath.Join(dir, name))
			require.NoError(t, err)
			require.NotEmpty(t, found, "%s/doc.go names %s", pkg, name)
		}
	}
}
