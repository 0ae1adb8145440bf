package cmd

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// An installed tulle in the folder of a project: the project's spiders are in a program of its own, which it builds.

// A foreignProject is a project around the working directory whose program is not this one.
type foreignProject struct {
	name    string   // of its program
	spiders []string // as far as they can be told from its code
	run     string   // how to run it from the working directory
}

var (
	moduleLine   = regexp.MustCompile(`(?m)^module\s+"?([^\s"/]\S*?)"?\s*(?://.*)?$`)
	requireTulle = regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(tulleModule) + `\s+v`)
)

// foreign looks for such a project. Only tulle's own binary is foreign to one: whoever has written a program knows where its spiders are.
func foreign() *foreignProject {
	info, ok := debug.ReadBuildInfo()
	cwd, err := os.Getwd()
	if !ok || err != nil || info.Main.Path != tulleModule {
		return nil
	}
	for dir := cwd; ; {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			return projectOf(dir, cwd, mod)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return nil
		}
		dir = up
	}
}

// projectOf is the project of a go.mod; nil if it is none of tulle's, or tulle itself.
func projectOf(dir, cwd string, mod []byte) *foreignProject {
	m := moduleLine.FindSubmatch(mod)
	list, _ := os.ReadFile(filepath.Join(dir, "spiders", "spiders.go")) // without one no spiders are known
	scaffolded := bytes.Contains(list, []byte("func All()"))
	if m == nil || string(m[1]) == tulleModule || !scaffolded && !requireTulle.Match(mod) {
		return nil
	}
	p := &foreignProject{name: path.Base(string(m[1])), run: "go run PACKAGE"}
	if file, err := parser.ParseFile(token.NewFileSet(), "spiders.go", list, parser.SkipObjectResolution); scaffolded && err == nil {
		if all, err := spiderList(file); err == nil {
			for _, e := range all.Elts {
				if name, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value); err == nil {
					p.spiders = append(p.spiders, name)
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "main.go")); err == nil {
		if rel, err := filepath.Rel(cwd, dir); err == nil {
			p.run = quoted("go", "run", filepath.ToSlash(rel))
		}
	}
	return p
}

// warnOfSpiders says of a settings file's spiders which ones this program does not have. spider is the one that settings are read for, "" for none: then nobody looks for
// one in the folder of a project whose program is another.
func (a *app) warnOfSpiders(file *configFile, spider string) {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(file.places)) {
		if a.program.Spiders[name] == nil {
			unknown = append(unknown, name)
		}
	}
	p := foreign()
	switch {
	case p == nil:
		for _, name := range unknown {
			a.warn(fmt.Sprintf("%s: %s", file.places[name], a.noSpider(name)))
		}
	case spider == "":
	case slices.Contains(p.spiders, spider) || len(p.spiders) == 0 && file.places[spider] != "":
		a.warn(fmt.Sprintf("this is %s's own spider %s, and not that of the project %s: %s", a.program.Name, spider, p.name, p.line(a.args...)))
	case len(unknown) > 0:
		a.warn(fmt.Sprintf("%s: the spiders of the project %s (%s) are in its own program: %s", file.name, p.name, strings.Join(unknown, ", "), p.line("crawl", unknown[0])))
	}
}

// line is a command line of the project's program.
func (p *foreignProject) line(args ...string) string { return p.run + " " + quoted(args...) }
