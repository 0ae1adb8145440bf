package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

// A shellCommand is a word of the shell.
type shellCommand struct {
	name, args, help string
	page             bool // it needs a page
	chain            bool // it may stand behind a |
	// run does it. from is the selection before the |, nil for a command that begins a line. The selection that it returns is shown, or given on.
	run func(s *shell, ctx context.Context, from *selection, arg string) (*selection, error)
}

// shellCommands are all of them, in the order of the help.
func shellCommands() []shellCommand {
	plain := func(run func(s *shell, ctx context.Context, arg string) error) func(*shell, context.Context, *selection, string) (*selection, error) {
		return func(s *shell, ctx context.Context, _ *selection, arg string) (*selection, error) {
			return nil, run(s, ctx, arg)
		}
	}
	return []shellCommand{
		{"fetch", "URL", "get a page; takes curl's -X -H -d, or a curl command", false, false, plain((*shell).fetch)},
		{"follow", "N|SELECTOR", "get what match N, or a selector's first, links to", true, true, (*shell).follow},
		{"back", "", "the page before this one", true, false, plain((*shell).back)},
		{"reload", "", "get this page again", true, false, plain((*shell).reload)},
		{"render", "[URL]", "get this page, or another, with the browser", false, false, plain((*shell).render)},
		{"css", "SELECTOR", "select with CSS; ::text and ::attr(name) work", true, true, (*shell).css},
		{"xpath", "EXPR", "select with XPath", true, true, (*shell).xpath},
		{"json", "[PATH]", "a value of JSON: items.0.price, items.#.price", true, true, (*shell).jsonPath},
		{"jmes", "EXPR", "the same by JMESPath: items[?price > `10`].name", true, true, (*shell).jmes},
		{"jsonld", "[TYPE]", "the page's JSON-LD objects: jsonld Product", true, false, (*shell).jsonLD},
		{"re", "PATTERN", "what a regular expression finds, or its groups", true, true, (*shell).re},
		{"text", "[SELECTOR]", "the text of matches", true, true, (*shell).text},
		{"attr", "NAME", "an attribute of matches", true, true, (*shell).attr},
		{"html", "", "matches as they are written, in full", true, true, (*shell).html},
		{"links", "[SELECTOR]", "the addresses of links", true, true, (*shell).links},
		{"extract", "FIELDS", "fields as JSON: title=h1 url=a@href tags[]=.tag", true, true, (*shell).extract},
		{"more", "", "the next ten matches; all shows all, N match N in full", true, false, plain(func(s *shell, ctx context.Context, _ string) error { return s.more(ctx, false) })},
		{"all", "", "", true, false, plain(func(s *shell, ctx context.Context, _ string) error { return s.more(ctx, true) })},
		{"tree", "[SELECTOR] [N]", "the page's outline, N levels deep", true, true, (*shell).tree},
		{"status", "", "the page's status, kind, size and time", true, false, plain(func(s *shell, _ context.Context, _ string) error { s.status(s.out); return nil })},
		{"headers", "", "what was sent and received", true, false, plain((*shell).headers)},
		{"body", "", "the page's source", true, false, plain((*shell).body)},
		{"forms", "", "the page's forms and their fields", true, false, plain((*shell).forms)},
		{"curl", "", "the page's request, as a curl command", true, false, plain((*shell).curl)},
		{"view", "", "open the page in the browser", true, false, plain((*shell).view)},
		{"save", "FILE", "write the page's body to a file", true, false, plain((*shell).save)},
		{"route", "[NAME]", "run a callback of the spider on this page", true, false, plain((*shell).route)},
		{"help", "[COMMAND]", "this list", false, false, plain((*shell).help)},
		{"quit", "", "leave; Ctrl-D does too", false, false, plain(func(*shell, context.Context, string) error { return errQuit })},
		{"match", "", "", true, false, plain((*shell).match)},
	}
}

// otherNames are what people type who come from elsewhere.
var otherNames = map[string]string{"request": "fetch", "exit": "quit", "q": "quit", "?": "help", "select": "css", "jmespath": "jmes", "get": "fetch", "ls": "links"}

func shellCommandNamed(name string) *shellCommand {
	if other, ok := otherNames[name]; ok {
		name = other
	}
	for _, c := range shellCommands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

// understand finds the command that a line means, if it names none: a URL is fetched, a number is a match, an expression or selector selects.
func (s *shell) understand(line string, chained bool) (name, arg string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	if c := shellCommandNamed(word); c != nil && (rest == "" || c.args != "" || word == "re") {
		return c.name, rest
	}
	if _, err := strconv.Atoi(line); err == nil {
		return "match", line
	}
	switch {
	case strings.HasPrefix(line, "//") || strings.HasPrefix(line, "./") || strings.HasPrefix(line, "(/"):
		return "xpath", line
	case word == "curl" || !chained && looksLikeURL(line):
		return "fetch", line
	case strings.HasPrefix(line, "|"):
		return "", line
	case s.page != nil && s.page.Kind() == crawl.BodyJSON && !chained && s.page.JSON(line).Exists():
		return "json", line
	case s.page != nil && s.page.Kind() == crawl.BodyJSON && !chained:
	case strings.ContainsAny(line, ".#[>:*+~,@") || s.hasTag(word):
		return "css", line
	}
	return "", line
}

// looksLikeURL tells an address from a selector: it has a scheme, or a host and a path, or is a file that is there.
func looksLikeURL(line string) bool {
	if strings.ContainsAny(line, " \t>") {
		return false
	}
	if looksLikeRef(line) {
		return true
	}
	host, _, slash := strings.Cut(line, "/")
	if slash && strings.Contains(host, ".") && !strings.HasPrefix(host, ".") || strings.HasPrefix(line, "localhost") {
		return true
	}
	if i := strings.LastIndexByte(host, ':'); i > 0 { // example.com:8000; a selector's colon is followed by a name
		if _, err := strconv.Atoi(host[i+1:]); err == nil {
			return true
		}
	}
	_, err := os.Stat(line)
	return err == nil && strings.Contains(line, ".")
}

// hasTag reports whether a word is an element of HTML, or of this page.
func (s *shell) hasTag(word string) bool {
	if atom.Lookup([]byte(strings.ToLower(word))) != 0 {
		return true
	}
	return s.page != nil && slices.Contains(s.names().tags, word)
}

// unknown says what a word may have meant.
func (s *shell) unknown(line string) error {
	word, _, _ := strings.Cut(line, " ")
	best := nearCommand(word, false)
	switch {
	case best != "":
		return fmt.Errorf("there is no command %q; did you mean %s?", word, best)
	case s.page != nil && s.page.Kind() == crawl.BodyJSON:
		return fmt.Errorf("%q is neither a command nor in this page's JSON: tree shows what is; help lists the commands", cut(line, 40))
	}
	return fmt.Errorf("%q is neither a command nor a selector or URL; help lists the commands", cut(line, 40))
}

// nearCommand is the command that a word may be meant for, among all or among those that can stand behind a |; "" if none is like it.
func nearCommand(word string, chained bool) string {
	best, least := "", (len(word)+1)/2 // fewer than half the letters
	for _, c := range shellCommands() {
		if d := distance(word, c.name); c.help != "" && (!chained || c.chain) && d < min(least, 3) {
			best, least = c.name, d
		}
	}
	return best
}

// pythonCall is how a line of Scrapy's shell begins.
var pythonCall = regexp.MustCompile(`^(response\.|sel\.)?(\w+)(?:$|\s*\(\s*(?:[rb]?(?:"([^"]*)"|'([^']*)'))?)`)

// fromPython is what a line of Scrapy's shell is called here; "" if the line is none.
func fromPython(line string) string {
	m := pythonCall.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	known := []string{"fetch", "view", "exit", "quit", "shelp"}
	if m[1] == "response." {
		known = []string{"text", "url", "body", "status", "headers"}
	}
	if call := strings.Contains(m[0], "("); !call && m[1] != "response." || !(call && m[1] != "") && !slices.Contains(known, m[2]) {
		return ""
	}
	name := cmp.Or(map[string]string{"shelp": "help", "url": "status", "text": "body", "re_first": "re"}[m[2]], m[2])
	if c := shellCommandNamed(name); c != nil {
		return strings.TrimSpace(c.name + " " + m[3] + m[4])
	}
	return "help lists the commands"
}

// distance is how many letters two words differ by: left out, put in, changed, or swapped with the next.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// fetch gets a page: of a URL, relative to the page if there is one, with curl's letters, or as a curl command says.
func (s *shell) fetch(ctx context.Context, arg string) error {
	if err := wanted("fetch", arg, "a URL"); err != nil {
		return err
	}
	if arg == "curl" || strings.HasPrefix(arg, "curl ") {
		req, err := crawl.FromCurl(arg)
		if err != nil {
			return err
		}
		s.flags.shape(req)
		return s.open(ctx, req)
	}
	words, err := splitWords(arg)
	if err != nil {
		return err
	}
	var curl requestFlags
	flags := pflag.NewFlagSet("fetch", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVarP(&curl.method, "request", "X", "", "")
	flags.StringArrayVarP(&curl.header, "header", "H", nil, "")
	flags.StringArrayVarP(&curl.content, "data", "d", nil, "")
	flags.Usage = func() {}
	switch err := flags.Parse(words); {
	case errors.Is(err, pflag.ErrHelp):
		return s.help(ctx, "fetch")
	case err != nil:
		return fmt.Errorf("fetch: %w (it takes -X METHOD, -H 'Name: value' and -d DATA)", err)
	case flags.NArg() != 1:
		return fmt.Errorf("fetch wants one URL, and gets %d: one with spaces goes in quotes", flags.NArg())
	}
	raw := flags.Arg(0)
	var req *crawl.Request
	if s.page != nil && s.page.URL.Scheme != "data" && looksLikeRef(raw) {
		u, err := s.page.Join(raw)
		if err != nil {
			return err
		}
		req = &crawl.Request{URL: u}
	} else if req, err = typedRequest(raw); err != nil {
		return err
	}
	if err := curl.fill(req); err != nil {
		return fmt.Errorf("fetch %w", err)
	}
	s.flags.shape(req)
	err = s.open(ctx, req)
	var d *crawl.DownloadError
	if errors.As(err, &d) {
		return orNoFile(raw, req, d.Kind, err)
	}
	return err
}

// open fetches a page and makes it the one that commands are about.
func (s *shell) open(ctx context.Context, req *crawl.Request) error {
	p, err := s.session.fetch(ctx, req)
	if err != nil {
		var d *crawl.DownloadError
		if errors.As(err, &d) || errors.Is(err, errInterrupted) {
			return err
		}
		return fmt.Errorf("%s: %w", req, err)
	}
	if s.page != nil {
		s.behind = append(s.behind, s.page)
	}
	s.turn(p)
	return nil
}

// turn shows a page.
func (s *shell) turn(p *page) {
	s.page, s.last, s.shown = p, nil, 0
	s.status(s.notes)
}

// status prints one line about the page.
func (s *shell) status(w io.Writer) {
	p := s.page
	parts := []string{string(p.Kind())}
	if p.Kind() != crawl.BodyBinary {
		parts[0] += " " + p.Encoding()
	}
	parts = append(parts, bytesText(p.Body.Size()))
	if p.Timing.Total > 0 {
		parts = append(parts, timeText(max(p.Timing.Total, time.Millisecond)))
	}
	parts = append(parts, p.Flags...)
	way := ""
	for _, t := range p.Sent[:max(0, len(p.Sent)-1)] {
		how := fmt.Sprint(t.Status)
		if t.Status == 0 {
			how = "failed"
		}
		way += how + " → "
	}
	fmt.Fprintf(w, "%s%s  %s  %s\n", s.paint.dim(way), s.paint.status(p.Status, statusText(p.Status)), strings.Join(parts, "  "), visible(crawl.Redacted(p.URL)))
}

func (s *shell) follow(ctx context.Context, from *selection, arg string) (*selection, error) {
	req, err := s.followed(from, arg)
	if err != nil {
		return nil, err
	}
	// A crawl's links say where they were found, unless that leads from https to http.
	if page := s.page.URL; page.Scheme == req.URL.Scheme && strings.HasPrefix(page.Scheme, "http") {
		clean := *page
		clean.User, clean.Fragment, clean.RawFragment = nil, "", ""
		req.Header = http.Header{"Referer": {clean.String()}}
	}
	s.flags.shape(req)
	return nil, s.open(ctx, req)
}

func (s *shell) back(context.Context, string) error {
	if len(s.behind) == 0 {
		return errors.New("this is the first page")
	}
	p := s.behind[len(s.behind)-1]
	s.behind = s.behind[:len(s.behind)-1]
	s.turn(p)
	return nil
}

func (s *shell) reload(ctx context.Context, _ string) error {
	behind := s.behind
	if err := s.open(ctx, s.page.Asked.Clone()); err != nil {
		return err
	}
	s.behind = behind // this page again is no page more
	return nil
}

func (s *shell) render(ctx context.Context, arg string) error {
	var req *crawl.Request
	var err error
	switch {
	case arg != "":
		if req, err = typedRequest(arg); err != nil {
			return err
		}
	case s.page == nil:
		return errors.New("render needs a page: render URL")
	default:
		req = s.page.Asked.Clone()
	}
	s.flags.shape(req)
	req.SetKnobs(func(k *crawl.Knobs) {
		if k.Render == nil {
			k.Render = &crawl.Render{}
		}
	})
	return s.open(ctx, req)
}

func (s *shell) more(ctx context.Context, all bool) error {
	switch {
	case s.last == nil:
		return errNothingSelected
	case s.shown >= len(s.last.all):
		return errors.New("that was all")
	}
	return s.show(ctx, all)
}

// match prints one match in full.
func (s *shell) match(_ context.Context, arg string) error {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return fmt.Errorf("match %q: want a number", arg)
	}
	if s.last == nil {
		return errNothingSelected
	}
	if n < 1 || n > len(s.last.all) {
		return noMatch(n, len(s.last.all))
	}
	m := s.last.all[n-1]
	if m.json {
		fmt.Fprintln(s.out, s.paint.json([]byte(m.text)))
		return nil
	}
	fmt.Fprintln(s.out, visible(m.value()))
	if m.node.Node != nil {
		fmt.Fprintln(s.notes, s.paint.dim(pathOf(m.node, false)))
	}
	return nil
}

// errNothingSelected is for what goes on with a selection, when there is none.
var errNothingSelected = errors.New("nothing is selected: css h2 selects")

// noMatch says that a number is not a match's.
func noMatch(n, of int) error {
	switch of {
	case 0:
		return errors.New("nothing is selected: the last selector has no match")
	case 1:
		return fmt.Errorf("there is no match %d: there is 1", n)
	}
	return fmt.Errorf("there is no match %d: there are %d", n, of)
}

func (s *shell) headers(context.Context, string) error {
	_, err := io.WriteString(s.out, headersText(s.page))
	return err
}

// body prints the page's text; on a terminal JSON is indented.
func (s *shell) body(context.Context, string) error {
	if s.page.Kind() == crawl.BodyBinary {
		return fmt.Errorf("the page is binary, %s: save FILE keeps it", bytesText(s.page.Body.Size()))
	}
	text, err := s.page.Decoded()
	if err != nil {
		return err
	}
	switch {
	case s.terminal && s.page.Kind() == crawl.BodyJSON && json.Valid([]byte(text)):
		text = s.paint.json([]byte(text))
	default:
		text = s.safe(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err = io.WriteString(s.out, text)
	return err
}

func (s *shell) forms(context.Context, string) error {
	forms := s.page.Forms()
	if len(forms) == 0 {
		return errors.New("the page has no forms")
	}
	for i, f := range forms { // a page may have very many, with as many fields
		if i > 0 {
			if _, err := fmt.Fprintln(s.out); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(s.out, s.paint.bold(visible(fmt.Sprintf("%d %s", i+1, f)))); err != nil {
			return err
		}
		for _, field := range f.Fields() {
			if _, err := fmt.Fprintf(s.out, "  %s=%s\n", visible(field.Name), visible(field.Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shell) curl(context.Context, string) error {
	line, err := s.page.Request.Curl()
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, visible(line))
	return nil
}

func (s *shell) view(ctx context.Context, _ string) error {
	file, err := savePage(s.page.Response)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.notes, s.paint.dim(visible(file)))
	return openInBrowser(ctx, file)
}

func (s *shell) save(_ context.Context, arg string) error {
	words, err := splitWords(arg)
	if err != nil || len(words) != 1 {
		return errors.New("save wants one FILE; a name with spaces goes in quotes")
	}
	replaced, err := saveBody(s.page.Response, words[0], false)
	if err != nil {
		return err
	}
	was := ""
	if replaced {
		was = ", replaced"
	}
	fmt.Fprintln(s.notes, s.paint.dim(fmt.Sprintf("%s in %s%s", bytesText(s.page.Body.Size()), visible(words[0]), was)))
	return nil
}

func (s *shell) help(_ context.Context, arg string) error {
	if arg != "" {
		c := shellCommandNamed(arg)
		if c == nil || c.help == "" {
			return s.unknown(arg)
		}
		fmt.Fprintf(s.out, "%s\n  %s\n", s.paint.bold(strings.TrimSpace(c.name+" "+c.args)), c.help)
		if text := longHelp[c.name]; text != "" {
			fmt.Fprintln(s.out, text)
		}
		return nil
	}
	for _, c := range shellCommands() {
		if c.help != "" {
			fmt.Fprintf(s.out, "%s %s\n", s.paint.bold(fmt.Sprintf("  %-8s", c.name))+fmt.Sprintf("%-15s", c.args), c.help)
		}
	}
	fmt.Fprint(s.out, `
A | goes on with what is selected: css article | css h3 a | attr href. A line
that begins with | goes on with the last selection. A URL, a selector, an XPath
expression or a number alone is understood. help COMMAND says more.
`)
	return nil
}

// longHelp is what help COMMAND adds.
var longHelp = map[string]string{
	"fetch": `  fetch https://example.com/
  fetch -X POST -H 'Accept: application/json' -d '{"q": "lamp"}' /api/search
  fetch curl 'https://example.com/' -H 'Accept: text/html'
  A link alone is relative to the page. What robots.txt forbids is not asked,
  unless the shell was started with -s robots.ignore=true.`,
	"follow": `  follow 3              what match 3 links to: itself, a link in it, or around it
  follow li.next a      the first link that a selector matches
  css h3 a | follow 2   match 2 of what was selected`,
	"json": `  json items.0.name            a value
  json items.#.name            of every one of a list
  json items.#(price>10)#      those that are so
  css script#data | json a.b   JSON that stands on the page
  The syntax is gjson's.`,
	"re": `  re "sku":\s*"(\w+)"       on the page's source, with the lines
  css .price | re [\d.]+    in what was selected`,
	"extract": `  extract title=h1 url=a.buy@href tags[]=.tag price=.price re:[\d.]+
  css article | extract title=h3 link=a@href     an object of each match
  A field is name=SELECTOR, name[]=SELECTOR for all matches. Behind the selector
  may stand @attribute, and re:PATTERN. XPath begins with / or ./; on a page of
  JSON a field is name=json:PATH or name=jmes:EXPR. href and src are made
  absolute. Below stands the struct that crawl.Extract fills so in a spider.`,
	"tree": `  tree                  as deep as fits
  tree main 3           three levels of what a selector matches
  Elements that repeat are shown once, with their number.`,
	"route": `  route                 Parse of the spider that --spider names
  route product         one of its routes
  The callback gets this page as it would in a crawl, but for what the spider's
  middlewares make of it: parse runs those too.`,
}

// route runs a callback on the page.
func (s *shell) route(ctx context.Context, name string) error {
	if s.spider.Parse == nil && len(s.spider.Routes) == 0 {
		return errors.New("route runs a spider's callback: start the shell with --spider NAME")
	}
	if name == "Parse" {
		name = ""
	}
	callback, err := s.spider.Callback(name)
	if err != nil {
		return err
	}
	resp := copyOf(s.page.Response)
	resp.Request = resp.Request.Clone()
	resp.Request.Route = name
	c := &collected{page: parsedPage{URL: crawl.Redacted(resp.URL), Route: name, Status: resp.Status}, spider: s.spider}
	done := make(chan error, 1)
	go func() { // a callback that does not end is left behind when somebody presses Ctrl-C
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = &crawl.PanicError{Value: p, Stack: debug.Stack()}
			}
			done <- err
		}()
		out := crawl.NewOut(resp, c)
		defer out.Close()
		err = errors.New("the callback ended its goroutine")
		err = cmp.Or(callback(crawl.WithOrigin(ctx, resp.Request), resp, out), out.Err(), resp.Err())
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return errInterrupted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	c.page.print(&b, s.paint, &parseFlags{})
	if _, werr := io.WriteString(s.out, b.String()); werr != nil {
		return werr
	}
	var p *crawl.PanicError
	if errors.As(err, &p) {
		return fmt.Errorf("%w\n%s", err, p.Stack)
	}
	return err
}

// collected is what a callback hands over.
type collected struct {
	spider *crawl.Spider

	mu   sync.Mutex
	page parsedPage                 // Guarded by mu.
	kept map[string]json.RawMessage // Guarded by mu.
}

var _ crawl.Sink = (*collected)(nil)

// Item takes an item as a feed would write it.
func (c *collected) Item(item any) bool {
	text, err := itemJSON(item)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.page.Errors = append(c.page.Errors, "item: "+err.Error())
		return true
	}
	c.page.Items = append(c.page.Items, text)
	return true
}

// Request takes a request whose route the spider has.
func (c *collected) Request(req *crawl.Request) (bool, error) {
	if _, err := c.spider.Callback(req.Route); err != nil {
		return true, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.page.Requests = append(c.page.Requests, describeRequest(req))
	return true, nil
}

// SkipLink forgets a link that is none, as a crawl does.
func (c *collected) SkipLink(string, error) {}

// Put keeps a value for as long as the callback runs.
func (c *collected) Put(key string, value json.RawMessage) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = make(map[string]json.RawMessage)
	}
	c.kept[key] = value
	return true
}

// Get is what Put has kept.
func (c *collected) Get(key string) (json.RawMessage, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.kept[key]
	return v, ok
}

// routeNames are those of the spider, Parse too.
func (s *shell) routeNames() []string {
	names := slices.Sorted(maps.Keys(s.spider.Routes))
	if s.spider.Parse != nil {
		names = append([]string{"Parse"}, names...)
	}
	return names
}
