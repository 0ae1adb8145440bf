package pipeline_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// page is the package's documentation: its sections by heading.
func page(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	require.NoError(t, err)
	sections := make(map[string]string)
	for _, section := range strings.Split(file.Doc.Text(), "\n# ") {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	return sections
}

// row is the line of a table that begins with a word.
func row(text, word string) []string {
	for _, line := range strings.Split(text, "\n") {
		if fields := strings.Fields(line); strings.HasPrefix(line, "\t"+word+" ") && len(fields) > 1 {
			return fields
		}
	}
	return nil
}

var perPipeline = regexp.MustCompile(`^(images|files)\.(aws|gcs|ftp)\.`)

// TestPageHasEverySetting holds the page against the settings: their names, defaults and Scrapy's names.
func TestPageHasEverySetting(t *testing.T) {
	t.Parallel()
	text := page(t)["Settings"]
	all, err := crawl.Settings{}.Explain(nil)
	require.NoError(t, err)
	known := make(map[string]bool)
	for _, s := range all {
		known[s.Name] = true
		group, _, _ := strings.Cut(s.Name, ".")
		switch group {
		case "images", "files", "media", "aws", "gcs", "ftp":
		default:
			continue
		}
		if perPipeline.MatchString(s.Name) {
			continue // the page says that they are the same
		}
		fields := row(text, s.Name)
		require.NotNil(t, fields, "%s is missing", s.Name)
		want := s.Default
		if want == "" {
			want = "-"
		}
		require.Equal(t, want, fields[1], "the default of %s", s.Name)
	}
	for _, line := range strings.Split(text, "\n") {
		if name := regexp.MustCompile(`^\t([a-z_]+\.?[a-z_]+) `).FindStringSubmatch(line); name != nil {
			require.True(t, known[name[1]], "there is no setting %s", name[1])
		}
	}
	aliases, err := os.ReadFile("../crawl/aliases.go")
	require.NoError(t, err)
	found := regexp.MustCompile(`"([A-Z0-9_]+)": +\{"((?:images|files|media|aws|gcs|ftp)\.[a-z_.]+)", *(\w*)`).FindAllStringSubmatch(string(aliases), -1)
	require.Greater(t, len(found), 20)
	for _, alias := range found {
		plain := strings.ToUpper(strings.ReplaceAll(alias[2], ".", "_")) == alias[1] && alias[3] == "nil"
		require.True(t, plain || strings.Contains(text, alias[1]), "%s, which is %s, is missing", alias[1], alias[2])
	}
}

// TestPageHasEveryHook holds the page against the hooks and their examples.
func TestPageHasEveryHook(t *testing.T) {
	t.Parallel()
	text := page(t)["Hooks"]
	examples := exampleNames(t)
	for _, pipe := range []reflect.Type{reflect.TypeFor[pipeline.FilesPipeline](), reflect.TypeFor[pipeline.ImagesPipeline]()} {
		for i := range pipe.NumField() {
			if f := pipe.Field(i); f.Type.Kind() == reflect.Func {
				require.NotNil(t, row(text, f.Name), "%s is missing", f.Name)
			}
		}
	}
	named := regexp.MustCompile(`(\w+Pipeline) \(([\w, ]+)\)`).FindAllStringSubmatch(text, -1)
	require.Greater(t, len(named), 10)
	for _, n := range named {
		for _, what := range strings.Split(n[2], ", ") {
			r := []rune(what)
			name := n[1] + "_" + string(unicode.ToLower(r[0])) + string(r[1:])
			require.True(t, examples[name], "there is no Example%s", name)
			delete(examples, name)
		}
	}
	for name := range examples {
		require.NotContains(t, name, "Pipeline_", "the page does not name this example")
	}
}

func exampleNames(t *testing.T) map[string]bool {
	names := make(map[string]bool)
	for _, file := range []string{"example_test.go", "example_kinds_test.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, e := range doc.Examples(parsed) {
			require.NotEmpty(t, e.Output, "Example%s does not run", e.Name)
			names[e.Name] = true
		}
	}
	return names
}

// TestPageHasEveryFailure holds the page against the kinds of failure.
func TestPageHasEveryFailure(t *testing.T) {
	t.Parallel()
	text := page(t)["Failures"]
	kinds := make(map[string]bool)
	for _, name := range []string{"failure.go", "../crawl/errors.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if ok && strings.HasPrefix(spec.Names[0].Name, "Kind") && spec.Names[0].Name != "KindRobots" { // of pages; media is filtered
				kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				kinds[kind] = true
				require.NotNil(t, row(text, kind), "%s is missing", kind)
			}
			return true
		})
	}
	require.Greater(t, len(kinds), 15)
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "\t") {
			require.True(t, kinds[strings.Fields(line)[0]], "there is no such kind: %s", line)
		}
	}
}
