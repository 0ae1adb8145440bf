package cmd

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// scaffold has what startproject and genspider write. Files that end in .tmpl are templates, others are copied.
//
//go:embed scaffold
var scaffold embed.FS

// tulleModule is the module that this package belongs to.
const tulleModule = "github.com/tulle-go/tulle"

// goVersion is the least version of Go that tulle needs: that of its go.mod.
const goVersion = "1.26.8"

func (a *app) startprojectCommand() *cobra.Command {
	p := &project{}
	c := &cobra.Command{
		Use:   "startproject NAME [DIR]",
		Short: "Start a project: a module with a spider, and a test that passes",
		Long: `startproject writes a Go module that builds and crawls at once: a program with
the commands of this one, a spider, an item, a pipeline, settings, and tests on
saved pages. It goes into DIR, or a folder called NAME; what is there already is
never overwritten.

NAME may be a module path such as github.com/me/mycrawler: its last part is then
the program's name. --module says it apart.

--replace PATH makes the project use the checkout of tulle in PATH, and not a
published version. It then needs no network: all that the checkout has
downloaded does.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " startproject mycrawler",
			"  " + a.program.Name + " startproject github.com/me/mycrawler crawler",
			"  " + a.program.Name + " startproject mycrawler --replace ~/src/tulle",
		}, "\n"),
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return fmt.Errorf("what is the project called? (%s NAME)", c.CommandPath())
			case len(args) > 2:
				return fmt.Errorf("a name and a folder, and no more: %s", strings.Join(args, " "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.startproject(p, args) },
	}
	c.Flags().StringVar(&p.Module, "module", "", "the module's `PATH` (default NAME)")
	c.Flags().StringVar(&p.replace, "replace", "", "use the checkout of tulle in `PATH`")
	_ = c.MarkFlagDirname("replace") // it is there
	return c
}

// A project is what the templates know of the module that they become.
type project struct {
	Name   string // the program's
	Module string // its path

	replace string
}

// startproject writes a project.
func (a *app) startproject(p *project, args []string) error {
	given := args[0]
	if given == "" {
		return errors.New("the project's name is empty") // a variable of a script that is not set
	}
	p.Name = path.Base(filepath.ToSlash(given))
	if p.Module == "" {
		p.Module = filepath.ToSlash(given)
	}
	if err := checkProjectName(p.Name); err != nil {
		return err
	}
	if err := checkModulePath(p.Module); err != nil {
		return err
	}
	dir := p.Name
	if len(args) > 1 {
		dir = args[1]
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s is there already; nothing has been written", filepath.Join(dir, name))
		} else if file := fileInWay(filepath.Join(dir, name)); file != "" {
			return fmt.Errorf("%s is a file, and the project needs a folder there: move it, or name another folder, as in: %s startproject %s DIR", file, a.program.Name, quoted(given))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the project's folder: %w", err)
		}
	}
	if err := writeNew(dir, files); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s is in the folder %q. What to do first:\n\n  cd %s\n", p.Name, dir, dir)
	if p.replace == "" {
		fmt.Fprintln(a.stdout, "  go mod tidy")
	}
	fmt.Fprint(a.stdout, "  go test ./...\n  go run . crawl books\n")
	if p.replace == "" && tulleVersion() == "" {
		fmt.Fprintf(a.stdout, "\nThis %s is built from a checkout of tulle, not from a version: 'go mod tidy' takes\nthe newest one, and --replace PATH would have taken the checkout.\n", a.program.Name)
	}
	return nil
}

// fileInWay is the file that stands where a folder above name is to be; "" if there is none.
func fileInWay(name string) string {
	for dir := filepath.Dir(name); ; {
		if info, err := os.Stat(dir); err == nil {
			if info.IsDir() {
				return ""
			}
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// files are what a project consists of, by name.
func (p *project) files() (map[string][]byte, error) {
	files := make(map[string][]byte)
	const root = "scaffold/project"
	err := fs.WalkDir(scaffold, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := scaffold.ReadFile(name)
		if err != nil {
			return err
		}
		to, isTemplate := strings.CutSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl")
		if isTemplate {
			if b, err = fill(name, b, p); err != nil {
				return err
			}
		}
		if to == "gitignore" {
			to = ".gitignore" // the go command embeds no names that begin with a dot
		}
		files[filepath.FromSlash(to)] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return files, p.modules(files)
}

// fill executes a template. Go code is formatted: names are of any length.
func fill(name string, text []byte, data any) ([]byte, error) {
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".go.tmpl") {
		return b.Bytes(), nil
	}
	return format.Source(b.Bytes())
}

// modules adds go.mod, and go.sum where it is known.
func (p *project) modules(files map[string][]byte) error {
	if p.replace == "" {
		text := fmt.Sprintf("module %s\n\ngo %s\n", p.Module, goVersion)
		if v := tulleVersion(); v != "" {
			text += fmt.Sprintf("\nrequire %s %s\n", tulleModule, v)
		}
		files["go.mod"] = []byte(text)
		return nil
	}
	checkout, err := filepath.Abs(p.replace)
	if err != nil {
		return fmt.Errorf("--replace: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	switch {
	case err != nil && strings.HasPrefix(p.replace, "~"):
		return fmt.Errorf("--replace: %w (the shell has not replaced ~: leave the quotes out, or write $HOME)", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--replace %s: there is no go.mod: want the folder of a checkout of tulle", p.replace)
	case err != nil:
		return fmt.Errorf("--replace: %w", err)
	}
	if files["go.mod"], err = p.replaced(mod, checkout); err != nil {
		return fmt.Errorf("--replace %s: %w", p.replace, err)
	}
	if files["go.sum"], err = os.ReadFile(filepath.Join(checkout, "go.sum")); err != nil {
		return fmt.Errorf("--replace: %w", err)
	}
	return nil
}

// requirement is a line of go.mod that requires a module.
var requirement = regexp.MustCompile(`^(?:require\s+)?([^\s()]+)\s+(v\S+)`)

// replaced is a go.mod that has all that the checkout's requires, so that its go.sum is enough. `go mod tidy` removes what the project does not use.
func (p *project) replaced(mod []byte, checkout string) ([]byte, error) {
	var requires []string
	version, isTulle := goVersion, false
	block := ""
	for line := range strings.Lines(string(mod)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "//")
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "module" && len(words) == 2:
			isTulle = strings.Trim(words[1], `"`) == tulleModule
		case words[0] == "go" && len(words) == 2:
			version = words[1]
		case line == ")":
			block = ""
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		case block == "require" || words[0] == "require":
			if m := requirement.FindStringSubmatch(line); m != nil {
				comment := " // indirect"
				if m[1] == "github.com/stretchr/testify" {
					comment = ""
				}
				requires = append(requires, "\t"+m[1]+" "+m[2]+comment)
			}
		}
	}
	if !isTulle {
		return nil, fmt.Errorf("this is not a checkout of %s", tulleModule)
	}
	requires = append(requires, "\t"+tulleModule+" v0.0.0")
	slices.Sort(requires)
	if strings.ContainsAny(checkout, " \t\"'`()") {
		checkout = fmt.Sprintf("%q", checkout)
	}
	return fmt.Appendf(nil, "module %s\n\ngo %s\n\nrequire (\n%s\n)\n\nreplace %s => %s\n",
		p.Module, version, strings.Join(requires, "\n"), tulleModule, checkout), nil
}

// tulleVersion is the published version of tulle that this program was built with; "" if it was built from a checkout.
func tulleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Path == tulleModule && m.Replace == nil && strings.HasPrefix(m.Version, "v") && !strings.HasSuffix(m.Version, "+dirty") {
			return m.Version
		}
	}
	return ""
}

// writeNew writes files that are not there. If one cannot be written, those before it are removed.
func writeNew(dir string, files map[string][]byte) (err error) {
	var written []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range slices.Backward(written) {
			_ = os.Remove(name) // a folder only if it is empty
		}
	}()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		name := filepath.Join(dir, key)
		var made []string
		for parent := filepath.Dir(name); parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
			if _, err := os.Stat(parent); err == nil {
				break
			}
			made = append(made, parent)
		}
		slices.Reverse(made)
		written = append(written, made...)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		written = append(written, name)
		_, err = f.Write(files[key])
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// checkProjectName says why a name can't be a program's.
func checkProjectName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%q cannot be a project's name: %s", name, why) }
	switch {
	case !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(name):
		return bad("want letters, digits, - and _, beginning with a letter")
	case token.IsKeyword(name):
		return bad("it is a word of the language Go")
	case slices.Contains([]string{"internal", "vendor", "testdata", "all", "std", "cmd", "main"}, name):
		return bad("the go command has a meaning of its own for it")
	}
	return nil
}

// checkModulePath says why a path can't be a module's.
func checkModulePath(module string) error {
	bad := func(why string) error { return fmt.Errorf("%q cannot be a module's path: %s", module, why) }
	elements := strings.Split(module, "/")
	for i, e := range elements {
		switch {
		case e == "":
			return bad("there is nothing between two slashes, or at an end")
		case !regexp.MustCompile(`^[A-Za-z0-9._~-]+$`).MatchString(e):
			return bad(fmt.Sprintf("%q: want letters, digits and - _ . ~", e))
		case strings.Trim(e, ".") != e || i == 0 && e[0] == '-':
			return bad(fmt.Sprintf("%q begins or ends with a dot or a dash", e))
		case slices.Contains([]string{"internal", "vendor", "testdata", "..."}, e):
			return bad(fmt.Sprintf("the go command has a meaning of its own for %q", e))
		}
	}
	if slices.Contains(standardLibrary, elements[0]) {
		return bad("packages of Go's standard library are called so; try example.com/" + module)
	}
	if module == tulleModule || strings.HasPrefix(module, tulleModule+"/") {
		return bad("that is tulle's own")
	}
	return nil
}

// standardLibrary are the first parts of its packages' paths, and words that stand for packages.
var standardLibrary = strings.Fields(`all archive bufio builtin bytes cmd cmp compress container context crypto database debug embed encoding errors expvar flag fmt go
	hash html image index io iter log main maps math mime net os path plugin reflect regexp runtime slices sort std strconv strings structs sync syscall testing text
	time unicode unique unsafe weak`)
