package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"mime"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	xhtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) viewCommand() *cobra.Command {
	f := &pageFlags{}
	var onlyPrint bool
	c := &cobra.Command{
		Use:   "view URL",
		Short: "Show a page in the browser, as the spider sees it",
		Long: `view fetches a page as a crawl would, saves it, and opens the file in the
browser of this desktop, or the one that BROWSER names. It shows what a spider
gets to see: what is missing there is made by scripts, and needs --render.

Links and pictures of the page lead to where they led, by a <base>.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " view https://example.com/",
			"  " + a.program.Name + " view --render --spider books https://example.com/",
			"  " + a.program.Name + " view --print https://example.com/",
		}, "\n"),
		Args:              oneURL,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.view(c.Context(), args[0], f, onlyPrint)
		},
	}
	f.addFetch(a, c)
	c.Flags().BoolVar(&onlyPrint, "print", false, "only save the page, and print the file's name")
	return c
}

func (a *app) view(ctx context.Context, raw string, f *pageFlags, onlyPrint bool) error {
	req, err := f.request(raw)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx, os.Interrupt)
	defer stop()
	s, _, err := f.open(ctx, a, "view")
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.fetch(ctx, req)
	if err != nil {
		return notFetched("view", raw, req, err)
	}
	file, err := savePage(p.Response)
	if err != nil {
		return &crawlError{fmt.Errorf("view: %w", err)}
	}
	fmt.Fprintln(a.stdout, file)
	if !onlyPrint {
		if err := openInBrowser(ctx, file); errors.Is(err, errNoBrowser) {
			return &crawlError{fmt.Errorf("view: %w, or use --print (the page is %s)", err, file)}
		} else if err != nil {
			return &crawlError{fmt.Errorf("view: %w (the page is %s)", err, file)}
		}
	}
	if p.Status >= 400 {
		return &crawlError{fmt.Errorf("view %s: %s", crawl.Redacted(p.URL), statusText(p.Status))}
	}
	return nil
}

// savePage writes a page to a temporary file that a browser can show. The file stays: the browser reads it when it likes.
func savePage(r *crawl.Response) (name string, err error) {
	file, err := os.CreateTemp("", "page-*"+extension(r))
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if r.Kind() != crawl.BodyHTML {
		return file.Name(), copyBody(file, r, false)
	}
	text, err := r.Decoded()
	if err != nil {
		return "", err
	}
	// The charset may stand in a header that the file does not have: the mark at the beginning has the last word.
	_, err = file.WriteString("\ufeff" + withBase(text, pageBase(r)))
	return file.Name(), err
}

// pageBase is what the page's links are resolved against.
func pageBase(r *crawl.Response) string {
	if u, err := r.Join(""); err == nil {
		return u.String()
	}
	return r.URL.String()
}

// withBase puts a <base> before all others, and before whatever it counts for.
func withBase(page, base string) string {
	tag := `<base href="` + html.EscapeString(base) + `">`
	z := xhtml.NewTokenizer(strings.NewReader(page))
	at := 0
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			return page[:at] + tag + page[at:]
		}
		raw := len(z.Raw())
		switch kind {
		case xhtml.DoctypeToken, xhtml.CommentToken:
			at += raw
			continue
		case xhtml.TextToken:
			if len(bytes.TrimSpace(z.Raw())) == 0 {
				at += raw
				continue
			}
		case xhtml.StartTagToken:
			name, _ := z.TagName()
			switch atom.Lookup(name) {
			case atom.Html:
				at += raw
				continue
			case atom.Head:
				at += raw
			}
		}
		return page[:at] + tag + page[at:]
	}
}

// shown are the extensions of files that are looked at. With another one, which the site chooses, the desktop might run the file.
var shown = strings.Fields(`.html .txt .csv .pdf .avif .bmp .gif .ico .jpeg .jpg .png .svg .tif .tiff .webp
	.aac .flac .m4a .mp3 .oga .ogg .opus .wav .avi .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .webm`)

// extension tells the browser what a file is.
func extension(r *crawl.Response) string {
	switch r.Kind() {
	case crawl.BodyHTML:
		return ".html"
	case crawl.BodyJSON:
		return ".json"
	case crawl.BodyXML:
		return ".xml"
	}
	if ext := strings.ToLower(path.Ext(r.URL.Path)); slices.Contains(shown, ext) {
		return ext
	}
	if all, err := mime.ExtensionsByType(r.Header.Get("Content-Type")); err == nil {
		for _, ext := range all {
			if slices.Contains(shown, ext) {
				return ext
			}
		}
	}
	if r.Kind() == crawl.BodyText {
		return ".txt"
	}
	return ".bin"
}

// openInBrowser shows a file in the browser that BROWSER names, or the desktop's. It waits only for one that runs in this terminal.
func openInBrowser(ctx context.Context, file string) error {
	commands := browsers()
	var last error
	for _, words := range commands {
		if _, err := exec.LookPath(words[0]); err != nil {
			last = err
			continue
		}
		if last = launch(ctx, words, file); last == nil {
			return nil
		}
		last = fmt.Errorf("%s: %w", words[0], last)
	}
	if len(commands) == 1 {
		return last
	}
	return errNoBrowser
}

var errNoBrowser = errors.New("no browser was found: set BROWSER")

// launchPatience is how long a browser has to fail. One that runs longer is left alone.
const launchPatience = 2 * time.Second

// launch runs a command with a file's name behind it, or where it has %s.
func launch(ctx context.Context, words []string, file string) error {
	args, put := slices.Clone(words[1:]), false
	for i, w := range args {
		put = put || strings.Contains(w, "%s")
		args[i] = strings.ReplaceAll(w, "%s", file)
	}
	if !put {
		args = append(args, file)
	}
	browser := exec.CommandContext(context.WithoutCancel(ctx), words[0], args...)
	if textBrowser(words[0]) {
		browser.Stdin, browser.Stdout, browser.Stderr = os.Stdin, os.Stdout, os.Stderr
		return browser.Run()
	}
	if err := browser.Start(); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- browser.Wait() }() // until the browser ends, or this process
	select {
	case err := <-failed:
		return err
	case <-time.After(launchPatience):
		return nil
	}
}

func textBrowser(name string) bool {
	switch path.Base(name) {
	case "w3m", "lynx", "links", "elinks":
		return true
	}
	return false
}

// browsers are commands that show a page, the preferred one first. BROWSER has several, separated by colons.
func browsers() [][]string {
	var all [][]string
	if env := os.Getenv("BROWSER"); env != "" {
		sep := ":"
		if runtime.GOOS == "windows" {
			sep = ";"
		}
		for command := range strings.SplitSeq(env, sep) {
			if words := strings.Fields(command); len(words) > 0 {
				all = append(all, words)
			}
		}
		if len(all) > 0 {
			return all
		}
	}
	switch runtime.GOOS {
	case "darwin":
		return [][]string{{"open"}}
	case "windows":
		return [][]string{{"rundll32", "url.dll,FileProtocolHandler"}}
	}
	return [][]string{{"xdg-open"}, {"wslview"}, {"gio", "open"}, {"sensible-browser"}, {"x-www-browser"}, {"www-browser"}}
}
