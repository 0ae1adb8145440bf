//go:build unix

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fragments runs the Go code of all pages that are no files of a session. The blocks of a page are a package, together with the page's frame and with
// testdata/frames/kit.go: the frame declares what the page takes for granted, and its tests, with those that stand on the page itself, run the blocks. A statement on a
// page that none of them reaches fails the test, as does one that panics, or does not do what the frame wants of it. Each test runs in an empty folder, which a frame's
// Prepare fills.
func fragments(t *testing.T, program, checkout string, blocks map[string][]block) {
	t.Helper()
	project := t.TempDir()
	run(t, project, program, "startproject", "pages", ".", "--replace", checkout)
	var imports, subtests strings.Builder
	sources := map[string]block{} // by file, as the go command calls it
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		page := strings.TrimSuffix(name, ".md")
		files := map[string]string{} // of the page's package
		for _, b := range blocks[name] {
			if b.lang == "go" && (len(b.info) == 0 || !strings.Contains(b.info[0], ".")) && notRun[b.first()] == "" {
				file := "line" + strconv.Itoa(b.line) + ".go"
				files[file] = b.text
				sources["pages/run/"+page+"/"+file] = b
			}
		}
		frame := filepath.Join("testdata", "frames", page+".go")
		if len(files) == 0 {
			require.NoFileExists(t, frame, "%s has no Go code", name)
			continue
		}
		for file := range files {
			files[file] = complete(t, sources["pages/run/"+page+"/"+file])
		}
		files["frame.go"] = read(t, frame)
		files["kit.go"] = read(t, filepath.Join("testdata", "frames", "kit.go"))
		dir, alias := filepath.Join(project, "run", page), "page_"+strings.ReplaceAll(page, "-", "_")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		imports.WriteString("import " + alias + " \"pages/run/" + page + "\"\n")
		for _, file := range slices.Sorted(maps.Keys(files)) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(files[file]), 0o644))
			for _, test := range tests(t, files[file]) {
				subtests.WriteString("\tt.Run(\"" + page + "/" + test + "\", func(t *testing.T) {\n\t\tt.Chdir(t.TempDir())\n")
				if strings.Contains(files["frame.go"], "func Prepare(t *testing.T) {") {
					subtests.WriteString("\t\t" + alias + ".Prepare(t)\n")
				}
				subtests.WriteString("\t\t" + alias + "." + test + "(t)\n\t})\n")
			}
		}
	}
	require.NotEmpty(t, sources)
	all := "package run_test\n\nimport \"testing\"\n\n" + imports.String() + "\nfunc TestPages(t *testing.T) {\n" + subtests.String() + "}\n"
	require.NoError(t, os.WriteFile(filepath.Join(project, "run", "all_test.go"), []byte(all), 0o644))
	run(t, project, "go", "vet", "-unreachable=false", "./run/...")

	c := exec.CommandContext(t.Context(), "go", "test", "-ldflags=-w", "-coverpkg=./run/...", "-coverprofile=covered", "./run")
	c.Dir = project
	c.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "CHECKOUT="+checkout)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "lineN.go is the block that begins at line N of the page, with the page's line numbers\n%s", out)
	reached(t, read(t, filepath.Join(project, "covered")), sources)
}

// complete makes a file of a block, in which the block's lines have the numbers that they have on the page.
func complete(t *testing.T, b block) string {
	t.Helper()
	before, after := "", ""
	switch {
	case b.has("decls"):
		require.Len(t, b.info, 1, "%v: %v", b, b.info)
	case b.has("callback"):
		require.Len(t, b.info, 2, "%v: go callback NAME", b)
		before, after = "func "+b.info[1]+"(ctx context.Context, r *crawl.Response, out *crawl.Out) error {", "return nil\n}\n"
	case b.has("body"):
		require.Len(t, b.info, 2, "%v: go body NAME", b)
		before = "func " + b.info[1] + "(ctx context.Context, spider *crawl.Spider, settings crawl.Settings) (*crawl.Spider, crawl.Settings, error) { err := func() error {"
		after = "return nil\n}()\nreturn spider, settings, err\n}\n"
	default:
		require.Fail(t, "unknown words behind go", "%v: %v", b, b.info)
	}
	rest := before + strings.Repeat("\n", b.line) + b.text + after
	file, err := parser.ParseFile(token.NewFileSet(), "", "package page\n"+rest, 0)
	require.NoError(t, err, "%v", b)
	used := map[string]bool{}
	for _, id := range file.Unresolved {
		used[id.Name] = true
	}
	head := "package page"
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if path := packages[name]; path != "" {
			head += "; import " + strconv.Quote(path)
		}
	}
	return head + "; " + rest
}

// tests are the names of a file's tests.
func tests(t *testing.T, source string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	require.NoError(t, err)
	var names []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

var (
	// statements is a line of a coverage profile: file:line.column,line.column statements count.
	statements = regexp.MustCompile(`(?m)^(\S+):(\d+)\.(\d+),(\d+)\.(\d+) (\d+) (\d+)$`)
	// givesUp is what need not be reached: the hand-over of an error.
	givesUp = regexp.MustCompile(`^\{?\s*return (nil, )?err\s*\}?$`)
)

// reached holds the pages against what was run of them.
func reached(t *testing.T, profile string, sources map[string]block) {
	t.Helper()
	found := map[string]bool{}
	for _, m := range statements.FindAllStringSubmatch(profile, -1) {
		b, ok := sources[m[1]]
		if !ok {
			continue // the frame's own
		}
		found[m[1]] = true
		if m[7] != "0" {
			continue
		}
		n := [4]int{}
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+2])
		}
		if missed := strings.TrimSpace(b.between(n[0], n[1], n[2], n[3])); missed != "" {
			require.Regexp(t, givesUp, missed, "%s:%d is not run: testdata/frames has no test that reaches it", b.page, max(n[0], b.line+1))
		}
	}
	for file, b := range sources {
		if strings.Contains(b.text, "func ") || !b.has("decls") {
			require.True(t, found[file], "%v: nothing of it was run", b)
		}
	}
}

// between is what stands in a block between two places of its page, the second not included.
func (b block) between(line, column, toLine, toColumn int) string {
	var text strings.Builder
	for i, s := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		at := b.line + 1 + i
		if at < line || at > toLine {
			continue
		}
		from, to := 0, len(s)
		if at == line {
			from = min(column-1, to)
		}
		if at == toLine {
			to = min(toColumn-1, to)
		}
		text.WriteString(s[from:to] + "\n")
	}
	return text.String()
}

// python looks whether a block is Python. What it does is held against ours in testdata/bench, where Scrapy is installed.
func python(t *testing.T, b block) {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Logf("%v: not looked at: there is no python3", b)
		return
	}
	c := exec.CommandContext(t.Context(), interpreter, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
	c.Stdin = strings.NewReader(b.text)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%v\n%s", b, out)
}
