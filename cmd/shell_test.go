package cmd_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
)

// TestShellCommands prints bare results, one a line.
func TestShellCommands(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, c := range []struct{ page, commands, want string }{
		{"/", "css li a", "<a href=\"/book/1\">One</a>\n<a href=\"/book/2\">Two</a>\n"},
		{"/", "li a::text", "One\nTwo\n"},
		{"/", "css li a::attr(href)", "/book/1\n/book/2\n"},
		{"/", "css li | css a | attr href", "/book/1\n/book/2\n"},
		{"/", "css li\n| css a\n| text", "<li class=\"book sale\"><a href=\"/book/1\">One</a> <b class=\"price\">€1.50</b></li>\n" +
			"<li class=\"book\"><a href=\"/book/2\">Two</a> <b class=\"price\">€22.00</b></li>\n" +
			"<a href=\"/book/1\">One</a>\n<a href=\"/book/2\">Two</a>\nOne\nTwo\n"},
		{"/", "text h1; text li", "A shelf\nOne €1.50\nTwo €22.00\n"},
		{"/", "css h1; text", "<h1>A  shelf</h1>\nA shelf\n"},
		{"/", "css li.sale | attr class", "book sale\n"},
		{"/", "//li/a/@href", "/book/1\n/book/2\n"},
		{"/", "xpath //li[1]/a | //h1", "<h1>A  shelf</h1>\n<a href=\"/book/1\">One</a>\n"},
		{"/", "xpath count(//li)", "2\n"},
		{"/", "css li | xpath ./b/text()", "€1.50\n€22.00\n"},
		{"/", "css a[href*='; '], h1; text", "<h1>A  shelf</h1>\nA shelf\n"},
		{"/", `re €(\d+)\.(\d+)`, "1\n50\n22\n00\n"},
		{"/", `css .price | re \d+|x`, "1\n50\n22\n00\n"},
		{"/", `css .price | re \.(?P<extract>\d)(\d)`, "5\n0\n"},
		{"/", "links li a; css li | links", "SITE/book/1\nSITE/book/2\nSITE/book/1\nSITE/book/2\n"},
		{"/", "extract title=h1 prices[]=.price re:[\\d.]+ link=a@href none=.none", `{
  "title": "A shelf",
  "prices": [
    "1.50",
    "22.00"
  ],
  "link": "SITE/book/1",
  "none": null
}
`},
		{"/", "css li | extract name=a href=./a/@href class=@class", "{\"name\":\"One\",\"href\":\"/book/1\",\"class\":\"book sale\"}\n" +
			"{\"name\":\"Two\",\"href\":\"/book/2\",\"class\":\"book\"}\n"},
		{"/", "follow li:last-child a; text h1; back; text h1", "Two\nA shelf\n"},
		{"/", "css li a | follow 2; text h1; follow /book/1; text h1", "Two\nOne\n"},
		{"/", "links li a; follow 2; text h1", "SITE/book/1\nSITE/book/2\nTwo\n"},
		{"/", "li; follow 2; text h1", "<li class=\"book sale\"><a href=\"/book/1\">One</a> <b class=\"price\">€1.50</b></li>\n" +
			"<li class=\"book\"><a href=\"/book/2\">Two</a> <b class=\"price\">€22.00</b></li>\nTwo\n"},
		{"/", "tree", `body
  h1  A shelf
  ul#books
    li.book.sale
      a  One  @href /book/1
      b.price  €1.50
    li.book
      a  Two  @href /book/2
      b.price  €22.00
  p
    a  mail  @href mailto:x@example.com
    a.out  out  @href https://elsewhere.example/
`},
		{"/", "tree ul 1", "ul#books (2 in it)\n"},
		{"/", "# a comment\n\n#books > li:nth-child(2) a", "<a href=\"/book/2\">Two</a>\n"},
		{"/", "css nothing", ""},
		{"/", `css "#books a" | attr href; xpath '//ul/li[2]/a/@href'; text "ul li a"; css 'a[href="/book/1"]' | text`, "/book/1\n/book/2\n/book/2\nOne\nTwo\nOne\n"},
		{"/data", "json items.#.name; items.1.price; json next", "\"a\"\n\"b|c\"\n20\n\"/book/2\"\n"},
		{"/data", `json items.#(name=="b|c").price`, "20\n"},
		{"/data", "jmes items[?price > `10`].name | re \\w", "b\nc\n"},
		{"/data", "json next | follow; text h1", "Two\n"},
		{"/data", "follow next; text h1", "Two\n"},
		{"/map", "tree; loc | follow 2; text h1; back; links", "urlset\n  url × 2\n    loc  SITE/book/1\nTwo\nSITE/book/1\nSITE/book/2\n"},
		{"/", "css li | extract name=a", "{\"name\":\"One\"}\n{\"name\":\"Two\"}\n"},
		{"/", "css li | extract name=a | follow 2; text h1", "Two\n"},
		{"/data", "extract names[]=json:items.#.name first=json:items.0", "{\n  \"names\": [\n    \"a\",\n    \"b|c\"\n  ],\n  \"first\": {\n    \"name\": \"a\",\n    \"price\": 1\n  }\n}\n"},
		{"/data", "tree", "object\n  items list of 2\n    # object\n      name  \"a\"\n      price  1\n  next  \"/book/2\"\n"},
		{"/scripted", "css #state | json a.b", "1\n2\n"},
		{"/latin", "text h1; body", "café\n<title>é</title><h1>café</h1><img src=\"a.png\">\n"},
		{"/echo", "fetch -X POST -H 'X-A: b c' -d 'a=\"1\"' -H 'Content-Type: x' /echo; body", "POST a=\"1\"|x|b c||shelfbot\n"},
		{"/echo", "fetch curl 'SITE/echo' -H 'X-A: c'; re \\|(c)\\|", "c\n"},
		{"/book/1", "follow /echo; re \\|(http[^|]*)\\|", "SITE/book/1\n"},
		{"/book/1", "route book", "Items: 1\n{\n  \"title\": \"One\",\n  \"author\": \"Ada\"\n}\nRequests: 1\n  GET SITE/\n"},
		{"/", "route Parse", "Items: 0\nRequests: 3 (2 more are for the same pages, and dropped as seen)\n" +
			"  GET SITE/book/1  book  priority 3\n  GET SITE/book/2  book  priority 3\n  GET https://elsewhere.example/\n"},
		{"/", "quit; css li", ""},
		{"/", "xpath //none | none", ""},
		{"/", "re none | none", ""},
		{"/echo", "fetch -H User-Agent: -d a=1 -d b=2 /echo; body", "POST a=1&b=2|application/x-www-form-urlencoded|||\n"},
		{"/steer", "body", "<h1>\x1b[31mred</h1>\n"}, // a pipe gets what is there
	} {
		code, stdout, stderr := l.run(t, "shell", "--spider", "shelf", "SITE"+c.page, "-c", strings.ReplaceAll(c.commands, "SITE", l.url))
		require.Zero(t, code, "%s: %s", c.commands, stderr)
		require.Equal(t, c.want, stdout, c.commands)
	}
}

// TestShellMistakes ends at the first command that fails, says which, and where in a selector.
func TestShellMistakes(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, c := range []struct{ page, commands, want string }{
		{"", "css h1", "tulle: css needs a page: fetch URL gets one\n"},
		{"", "fetch", "tulle: fetch wants a URL\n"},
		{"", "fetch a b", "tulle: fetch wants one URL, and gets 2: one with spaces goes in quotes\n"},
		{"", "fetch --nope x", "tulle: fetch: unknown flag: --nope (it takes -X METHOD, -H 'Name: value' and -d DATA)\n"},
		{"/", "css", "tulle: css wants a SELECTOR, such as css h2 a\n"},
		{"/", "css div..x", "tulle: css selector: expected identifier, found . instead\ntulle:   div..x\ntulle:       ^\n"},
		{"/", "css h1, é..x", "tulle: css selector: expected identifier, found . instead\ntulle:   h1, é..x\ntulle:         ^\n"},
		{"/", "xpath //li[@class=", "tulle: xpath: \"[\" is not closed\ntulle:   //li[@class=\ntulle:       ^\n"},
		{"/", "xpath //li//", "tulle: xpath: the expression ends, where a step should come\ntulle:   //li//\ntulle:         ^\n"},
		{"/", "re (", "tulle: re (: error parsing regexp: missing closing ): `(`\n"},
		{"/", "json a", "tulle: page is HTML, not JSON: it begins with \"<!DOCTYPE html><html><head><title>Shelf<\"\n"},
		{"/data", "css h1", "tulle: page is JSON, not HTML: read it by JSON\n"},
		{"/data", "nope", "tulle: \"nope\" is neither a command nor in this page's JSON: tree shows what is; help lists the commands\n"},
		{"/", "folow 3", "tulle: there is no command \"folow\"; did you mean follow?\n"},
		{"/", "xyzzy", "tulle: \"xyzzy\" is neither a command nor a selector or URL; help lists the commands\n"},
		{"/", "follow 3", "tulle: follow 3: nothing is selected: links lists the page's links\n"},
		{"/", "css li.book a | atr href", "tulle: there is no command \"atr\" to go behind |; did you mean attr?\n"},
		{"/", "css li.book a | xyzzy", "tulle: there is no command \"xyzzy\" to go behind |; help lists the commands\n"},
		{"/", "css li | status", "tulle: status does not go behind a |\n"},
		{"/", "re nothing | txt", "tulle: there is no command \"txt\" to go behind |; did you mean text?\n"},
		{"/", `response.css("h1")`, "tulle: this is not Python: css h1\n"},
		{"/", `response.xpath('//a[@href="/book/1"]/@href').getall()`, "tulle: this is not Python: xpath //a[@href=\"/book/1\"]/@href\n"},
		{"/", "response.url", "tulle: this is not Python: status\n"},
		{"/", "response.urljoin('x')", "tulle: this is not Python: help lists the commands\n"},
		{"", `fetch("SITE/")`, "tulle: this is not Python: fetch SITE/\n"},
		{"/", "view(response)", "tulle: this is not Python: view\n"},
		{"/", "exit()", "tulle: this is not Python: quit\n"},
		{"/", "5", "tulle: nothing is selected: css h2 selects\n"},
		{"/", "css video; 5", "tulle: nothing is selected: the last selector has no match\n"},
		{"/", "css h1; 5", "tulle: there is no match 5: there is 1\n"},
		{"/", "fetch mailto:x@example.com", "tulle: mailto:x@example.com: no page is behind such a link\n"},
		{"/", "css li a | follow 3", "tulle: there is no match 3: there are 2\n"},
		{"/", "css h1 | follow 1", "tulle: match 1 leads nowhere: <h1>A shelf</h1>\n"},
		{"/", "follow b.none", "tulle: no match for b.none\n"},
		{"/", "back", "tulle: this is the first page\n"},
		{"/", "attr href", "tulle: attr href works on a selection: css h2 | attr href\n"},
		{"/", "| css a", "tulle: | goes on with the last selection, and there is none\n"},
		{"/", "css li | extract title", "tulle: extract wants fields, such as extract title=h1 url=a@href tags[]=.tag price=.price re:[\\d.]+\n"},
		{"/", "extract title=h1..x", "tulle: css selector: expected identifier, found . instead\ntulle:   h1..x\ntulle:      ^\n"},
		{"/", "fetch /forbidden", "tulle: <GET SITE/forbidden>: robots.txt forbids this page (-s robots.ignore=true asks all the same)\n"},
		{"/", "route nope", "tulle: spider shelf has no route \"nope\" (routes: book, fails, panics, selector)\n"},
		{"/", "route fails", "tulle: no price on the page\n"},
		{"/", "route selector", "tulle: css selector: expected identifier, found . instead\ntulle:   h1..x\ntulle:      ^\n"},
		{"/", "save", "tulle: save wants one FILE; a name with spaces goes in quotes\n"},
		{"/", "tree nothing", "tulle: no element to outline: \"nothing\" has no match\n"},
		{"/big", "body", "tulle: the page is binary, 2.1 MB: save FILE keeps it\n"},
	} {
		args := []string{"shell", "--spider", "shelf", "-c", c.commands + "\nfetch SITE/not-reached"}
		if c.page != "" {
			args = append(args, "SITE"+c.page)
		}
		code, _, stderr := l.run(t, args...)
		if c.page != "" {
			_, stderr, _ = strings.Cut(stderr, "\n") // what was fetched
		}
		require.Equal(t, c.want, stderr, c.commands)
		require.Equal(t, 1, code, c.commands)
	}
	_, _, stderr := l.run(t, "shell", "--spider", "shelf", "SITE/", "-c", "route panics")
	require.Contains(t, stderr, "tulle: panic: ouch\n")
	require.Contains(t, stderr, "page_test.go")
	_, _, stderr = l.run(t, "shell", "SITE/", "-c", "route")
	require.Contains(t, stderr, "tulle: route runs a spider's callback: start the shell with --spider NAME\n")
}

// cancels at the first thing that is printed.
type cancels struct {
	bytes.Buffer
	cancel func()
}

func (c *cancels) Write(b []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(b)
}

// TestShellGivesUpPrinting, and not only fetches.
func TestShellGivesUpPrinting(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, command := range []string{"body", "re x"} {
		ctx, cancel := context.WithCancel(t.Context())
		stdout := &cancels{cancel: cancel}
		var stderr bytes.Buffer
		require.Equal(t, 1, cmd.Run(ctx, l.program, []string{"shell", l.url + "/long", "-c", command}, stdout, &stderr), command)
		require.True(t, strings.HasSuffix(stderr.String(), "\ntulle: interrupted\n"), stderr.String())
		require.LessOrEqual(t, stdout.Len(), 32<<10, command)
	}
}

// TestShellFetchCurl asks as the shell's flags have it, and as the command has it.
func TestShellFetchCurl(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	code, stdout, stderr := l.run(t, "shell", "--no-redirect", "-c", "fetch curl 'SITE/moved'; status")
	require.Zero(t, code, stderr)
	require.True(t, strings.HasPrefix(stdout, "302 Found  "), stdout)
	code, _, stderr = l.run(t, "shell", "--wait-for", "h1", "-c", "fetch curl 'SITE/'")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "browser")
}

// TestShellForgets a selector that was wrong: the page is as good as before.
func TestShellForgets(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	code, stdout, stderr := l.run(t, "shell", "SITE/", "--keep-going", "-c", "css div..x; text h1; css li a; follow 9; follow 1; text h1")
	require.Equal(t, 1, code)
	require.Equal(t, "A shelf\n<a href=\"/book/1\">One</a>\n<a href=\"/book/2\">Two</a>\nOne\n", stdout)
	require.Contains(t, stderr, "there is no match 9")
	require.True(t, strings.HasSuffix(stderr, "\ntulle: not all commands worked\n"), stderr)
}

// TestShellScript reads standard input, says on which line it failed, and saves.
func TestShellScript(t *testing.T) {
	l := newLooked(t)
	in, script, err := os.Pipe()
	require.NoError(t, err)
	own := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = own }()
	dir := t.TempDir()
	go func() {
		_, _ = script.WriteString("# what is there\nfetch " + l.url + "/big\nsave '" + filepath.Join(dir, "a b") + "'\n\nfetch " + l.url + "/\ntext h1\nfolow\ntext h1\n")
		_ = script.Close()
	}()
	code, stdout, stderr := l.run(t, "shell")
	require.Equal(t, 1, code)
	require.Equal(t, "A shelf\n", stdout)
	require.True(t, strings.HasSuffix(stderr, "\ntulle: line 7: there is no command \"folow\"; did you mean follow?\n"), stderr)
	require.Len(t, read(t, filepath.Join(dir, "a b")), 2<<20)
}
