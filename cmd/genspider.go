package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

// A spiderKind is a template of genspider's.
type spiderKind struct {
	name, what string
	path       string // of the start URL, when only a domain is given
}

var spiderKinds = []spiderKind{
	{"basic", "lists that lead to pages; a callback for each", "/"},
	{"crawl", "follows links by rules", "/"},
	{"sitemap", "asks for the pages that a site's sitemaps name", "/"},
	{"xmlfeed", "reads a feed in XML, element by element", "/feed.xml"},
	{"csvfeed", "reads a feed in CSV, row by row", "/feed.csv"},
	{"api", "an API whose answers are pages in JSON", "/"},
}

type genspiderFlags struct {
	kind              string
	list, dump, force bool
}

func (a *app) genspiderCommand() *cobra.Command {
	f := &genspiderFlags{}
	c := &cobra.Command{
		Use:   "genspider NAME DOMAIN|URL",
		Short: "Write a new spider from a template",
		Long: `genspider writes the file of a spider that is called NAME and begins at a domain
or URL. In a project, which startproject makes, that is spiders/NAME.go, and the
spider is added to the list in spiders/spiders.go. Elsewhere it is NAME.go in
the working directory, and the line that your program needs is printed.

-t chooses a kind of spider, -l lists them. A file that is there is not
overwritten without --force.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " genspider news example.com",
			"  " + a.program.Name + " genspider -t api articles https://example.com/api/articles",
			"  " + a.program.Name + " genspider -t api -d articles example.com",
		}, "\n"),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case f.list && len(args) > 0:
				return fmt.Errorf("-l takes no arguments: %s", strings.Join(args, " "))
			case !f.list && len(args) != 2:
				return fmt.Errorf("want a name and a domain or URL, as in: %s genspider news example.com", a.program.Name)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if f.list {
				for _, k := range spiderKinds {
					fmt.Fprintf(a.stdout, "%-8s  %s\n", k.name, k.what)
				}
				return nil
			}
			return a.genspider(args[0], args[1], f)
		},
	}
	c.Flags().StringVarP(&f.kind, "template", "t", "basic", "the `KIND` of spider")
	c.Flags().BoolVarP(&f.list, "list", "l", false, "list the kinds")
	c.Flags().BoolVarP(&f.dump, "dump", "d", false, "print the spider, and write nothing")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite the file, if it is there")
	_ = c.RegisterFlagCompletionFunc("template", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var offers []string
		for _, k := range spiderKinds {
			offers = append(offers, cobra.CompletionWithDesc(k.name, k.what))
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}) // it is there
	return c
}

// A newSpider is what a template knows of the spider that it becomes.
type newSpider struct {
	Package string
	Name    string // as the command line knows it
	Func    string // its constructor
	Item    string // its type of item
	URL     string // where it begins
	Domain  string
}

// genspider writes a spider, and adds it to the project's list.
func (a *app) genspider(name, start string, f *genspiderFlags) error {
	i := slices.IndexFunc(spiderKinds, func(k spiderKind) bool { return k.name == f.kind })
	if i < 0 {
		var names []string
		for _, k := range spiderKinds {
			names = append(names, k.name)
		}
		return fmt.Errorf("-t %s: there is no such template; there are: %s", f.kind, strings.Join(names, ", "))
	}
	kind := spiderKinds[i]
	s, err := nameSpider(name)
	if err != nil {
		return err
	}
	if s.URL, s.Domain, err = startOf(start, kind.path); err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	root := projectRoot(cwd)
	dir := cwd
	if root != "" {
		dir = filepath.Join(root, "spiders")
	}
	file := filepath.Join(dir, strings.ToLower(strings.ReplaceAll(name, "-", "_"))+".go")
	taken, err := s.look(dir, file)
	if err != nil {
		return err
	}
	tmpl := "scaffold/spiders/" + kind.name + ".go.tmpl"
	text, err := scaffold.ReadFile(tmpl)
	if err != nil {
		return err
	}
	code, err := fill(tmpl, text, s)
	if err != nil {
		return err
	}
	if f.dump {
		_, err := a.stdout.Write(code)
		return err
	}
	shown := shortPath(cwd, file)
	if _, err := os.Lstat(file); err == nil && !f.force {
		return fmt.Errorf("%s is there already (--force overwrites it)", shown)
	}
	for _, word := range []string{s.Func, s.Item} {
		if where := taken[word]; where != "" {
			return fmt.Errorf("%s is declared in %s already: give the spider another name", word, shortPath(cwd, where))
		}
	}
	if err := replaceFile(file, code); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Wrote %s\n", shown)
	return a.register(s, root, cwd)
}

// register adds a spider to the project's list, or says how to.
func (a *app) register(s *newSpider, root, cwd string) error {
	line := strconv.Quote(s.Name) + ": " + s.Func + ","
	if root == "" {
		fmt.Fprintf(a.stdout, "To run it, give it to your program, in cmd.Program's Spiders: %s\n'%s startproject' makes such a program.\n", line, a.program.Name)
		return nil
	}
	file := filepath.Join(root, "spiders", "spiders.go")
	shown := shortPath(cwd, file)
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := addSpider(old, s.Name, s.Func)
	if err != nil {
		fmt.Fprintf(a.stdout, "The list in %s could not be edited (%v). Add this line to it: %s\n", shown, err, line)
		return nil
	}
	if !bytes.Equal(old, text) {
		if err := replaceFile(file, text); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Added %s to %s\n", line, shown)
	}
	fmt.Fprintf(a.stdout, "To run it, in the project's folder: go run . crawl %s\n", s.Name)
	return nil
}

// endings are those that the go command gives a meaning to, in names of files.
var endings = strings.Fields(`test aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows unix
	386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm`)

// nameSpider makes Go's names of a spider's.
func nameSpider(name string) (*newSpider, error) {
	bad := func(why string) error { return fmt.Errorf("%q cannot be a spider's name here: %s", name, why) }
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(name) {
		return nil, bad("want letters, digits, - and _, beginning with a letter")
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' })
	if last := strings.ToLower(words[len(words)-1]); len(words) > 1 && slices.Contains(endings, last) {
		return nil, bad(fmt.Sprintf("the go command has a meaning of its own for files that end in _%s.go", last))
	}
	var b strings.Builder
	for _, w := range words {
		r := []rune(w)
		b.WriteString(string(unicode.ToUpper(r[0])) + string(r[1:]))
	}
	if b.String() == "All" {
		return nil, bad("All is the list of the spiders")
	}
	if strings.EqualFold(name, "spiders") {
		return nil, bad("spiders.go is the list of the spiders")
	}
	return &newSpider{Name: name, Func: b.String(), Item: b.String() + "Item"}, nil
}

// startOf is the URL and the domain that a spider begins at. path is that of a domain alone.
func startOf(start, path string) (rawURL, domain string, err error) {
	if strings.TrimSpace(start) == "" {
		return "", "", errors.New("the URL is empty") // a variable of a script that is not set
	}
	if !strings.Contains(start, "://") {
		if !strings.Contains(start, "/") {
			start += path
		}
		scheme := "https://"
		if u, err := url.Parse("//" + start); err == nil && isLocal(u.Hostname()) {
			scheme = "http://" // a site that is being written, such as tulle's shop
		}
		start = scheme + start
	}
	req := crawl.Get(start)
	if err := req.Err(); err != nil {
		return "", "", err
	}
	u := req.URL
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", "", fmt.Errorf("%s: want a domain, or a URL with http or https", start)
	}
	if u.User != nil {
		return "", "", errors.New("a URL with a password does not belong into code: TULLE_HTTP_AUTH_USER, TULLE_HTTP_AUTH_PASSWORD and TULLE_HTTP_AUTH_DOMAIN do it")
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String(), u.Hostname(), nil
}

// isLocal reports whether a host is this machine, or has an address for a name: there are hardly certificates for these.
func isLocal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// look finds what the folder's package is called, and which names it has declared, but for those in file.
func (s *newSpider) look(dir, file string) (taken map[string]string, err error) {
	taken = make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if path.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") || name == file {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if parsed == nil || parsed.Name == nil {
			return nil, err // it cannot be read; one that does not compile is looked at as far as it goes
		}
		if s.Package == "" {
			s.Package = parsed.Name.Name
		}
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					taken[d.Name.Name] = name
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						taken[spec.Name.Name] = name
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							taken[n.Name] = name
						}
					}
				}
			}
		}
	}
	if s.Package == "" {
		s.Package = "main"
	}
	return taken, nil
}

// projectRoot is the folder of the project that dir is in: it has a go.mod, and the list of spiders. "" if there is none.
func projectRoot(dir string) string {
	for {
		if list, err := os.ReadFile(filepath.Join(dir, "spiders", "spiders.go")); err == nil && bytes.Contains(list, []byte("func All()")) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				return dir
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// addSpider adds an entry to the map that the function All returns, where it belongs by name. What is in the file already stays as it is. An entry that is there with this
// constructor is left alone.
func addSpider(src []byte, name, constructor string) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "spiders.go", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	list, err := spiderList(file)
	if err != nil {
		return nil, err
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	entry := strconv.Quote(name) + ": " + constructor + ",\n"
	at, before := offset(list.Rbrace), ""
	if n := len(list.Elts); n > 0 {
		between := src[offset(list.Elts[n-1].End()):at]
		if !bytes.Contains(between, []byte(",")) {
			before = ",\n" // all on one line
		}
		if i := bytes.LastIndexByte(between, '\n'); i >= 0 {
			at = at - len(between) + i + 1 // the brace's line
		}
	} else {
		before = "\n"
	}
	for _, e := range slices.Backward(list.Elts) {
		key, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
		if err != nil {
			return nil, err
		}
		if key == name {
			if v, ok := e.(*ast.KeyValueExpr).Value.(*ast.Ident); ok && v.Name == constructor {
				return src, nil
			}
			return nil, fmt.Errorf("it has a spider %q already", name)
		}
		if key < name {
			break
		}
		at, before = offset(firstOf(file, fset, e)), ""
	}
	text := slices.Concat(src[:at], []byte(before+entry), src[at:])
	return format.Source(text)
}

// firstOf is where an entry begins, with the comments that stand right above it.
func firstOf(file *ast.File, fset *token.FileSet, e ast.Expr) token.Pos {
	first := e.Pos()
	for _, c := range slices.Backward(file.Comments) {
		if c.End() < first && fset.Position(c.End()).Line+1 == fset.Position(first).Line && fset.Position(c.Pos()).Column == fset.Position(e.Pos()).Column {
			first = c.Pos()
		}
	}
	return first
}

// spiderList is the map that the function All returns.
func spiderList(file *ast.File) (*ast.CompositeLit, error) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "All" || f.Recv != nil || f.Body == nil || len(f.Body.List) == 0 {
			continue
		}
		ret, ok := f.Body.List[len(f.Body.List)-1].(*ast.ReturnStmt)
		if !ok || len(ret.Results) != 1 {
			break
		}
		list, ok := ret.Results[0].(*ast.CompositeLit)
		if !ok {
			break
		}
		for _, e := range list.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				return nil, errors.New("not all of it are names with constructors")
			}
			if key, ok := kv.Key.(*ast.BasicLit); !ok || key.Kind != token.STRING {
				return nil, errors.New("not all of its names are plain texts")
			}
		}
		return list, nil
	}
	return nil, errors.New("the function All does not return a list that is written out")
}
