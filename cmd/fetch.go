package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) fetchCommand() *cobra.Command {
	f := &fetchFlags{}
	c := &cobra.Command{
		Use:   "fetch URL",
		Short: "Fetch one page as a crawl does, and print it",
		Long: `fetch asks for one page as a crawl would, through the same middlewares, and
prints its body: the bytes as they are once decompressed, or with --text as
UTF-8. A file can be fetched too.

Without a spider the settings are those of this program; --spider takes those of
a spider. What robots.txt forbids is not asked: -s robots.ignore=true does.

-X, -H and -d mean what they mean to curl: -d makes it a POST of a form, several
are joined by &, and -d @file sends a file without its line breaks. -H 'Name:'
takes a header away.

On a terminal the body is shown as text, and a binary one is not: -o FILE keeps
it, -o - prints the bytes all the same.

Exit codes: 0 the page is there; 1 it is not, or its status is 400 or more (the
body is printed all the same); 2 the command line or a setting is wrong.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " fetch https://example.com/ > page.html",
			"  " + a.program.Name + " fetch --headers https://example.com/",
			"  " + a.program.Name + " fetch --json --spider books https://example.com/",
			"  " + a.program.Name + " fetch -d 'q=lamp&page=2' https://example.com/search",
			"  " + a.program.Name + ` fetch -H 'Accept: application/json' https://example.com/api`,
		}, "\n"),
		Args:              oneURL,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.fetch(c.Context(), args[0], f)
		},
	}
	f.addFetch(a, c)
	f.addRequest(c)
	c.Flags().BoolVar(&f.headers, "headers", false, "print what was sent and received, not the body")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON: status, headers, times; not the body")
	c.Flags().BoolVar(&f.text, "text", false, "print the body as UTF-8, whatever its charset")
	c.Flags().StringVarP(&f.output, "output", "o", "", "write the body to `FILE`")
	return c
}

// oneURL wants one argument.
func oneURL(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("which page? (%s URL)", c.CommandPath())
	case len(args) > 1:
		return fmt.Errorf("one URL at a time: %s", strings.Join(args, " "))
	}
	return nil
}

// requestFlags are curl's for the request itself.
type requestFlags struct {
	method  string
	header  []string
	content []string
}

func (f *requestFlags) addRequest(c *cobra.Command) {
	c.Flags().StringVarP(&f.method, "request", "X", "", "the request's `METHOD`")
	c.Flags().StringArrayVarP(&f.header, "header", "H", nil, "a header, `'Name: value'`; may be repeated")
	c.Flags().StringArrayVarP(&f.content, "data", "d", nil, "the request's body, `DATA`; @FILE is a file's, @- standard input; may be repeated")
}

// fill puts method, headers and body into a request, as curl does.
func (f *requestFlags) fill(req *crawl.Request) error {
	for _, line := range f.header {
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("-H %q: want 'Name: value'", line)
		}
		if req.Header == nil {
			req.Header = make(http.Header)
		}
		if value = strings.TrimSpace(value); value == "" { // it is not sent, not even the usual one
			req.Header[http.CanonicalHeaderKey(name)] = nil
			continue
		}
		req.Header.Add(name, value)
	}
	for i, data := range f.content {
		body, err := contentOf(data)
		if err != nil {
			return fmt.Errorf("-d %s: %w", data, err)
		}
		if i > 0 {
			body = slices.Concat(req.Body, []byte("&"), body)
		}
		req.Method, req.Body = http.MethodPost, body
		if _, said := req.Header["Content-Type"]; !said {
			if req.Header == nil {
				req.Header = make(http.Header)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if f.method != "" {
		req.Method = strings.ToUpper(f.method)
		if strings.ContainsFunc(req.Method, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }) {
			return fmt.Errorf("-X %q: want a method such as PUT", f.method)
		}
	}
	return nil
}

// contentOf is -d: the text, or the file behind @ without its line breaks.
func contentOf(arg string) (b []byte, err error) {
	name, ok := strings.CutPrefix(arg, "@")
	switch {
	case !ok:
		return []byte(arg), nil
	case name == "-":
		b, err = io.ReadAll(os.Stdin)
	default:
		b, err = os.ReadFile(name)
	}
	return slices.DeleteFunc(b, func(c byte) bool { return c == '\n' || c == '\r' || c == 0 }), err
}

type fetchFlags struct {
	pageFlags
	requestFlags
	headers, json, text bool
	output              string
}

// fetch prints a page.
func (a *app) fetch(ctx context.Context, raw string, f *fetchFlags) error {
	if f.headers && f.json {
		return errors.New("--headers and --json: one or the other")
	}
	req, err := f.pageFlags.request(raw)
	if err != nil {
		return err
	}
	if err := f.fill(req); err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx, os.Interrupt)
	defer stop()
	s, _, err := f.open(ctx, a, "fetch")
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.fetch(ctx, req)
	if err != nil {
		return notFetched("fetch", raw, req, err)
	}
	if err := a.printFetched(p, f); err != nil {
		return &crawlError{fmt.Errorf("fetch: %w", err)}
	}
	if p.Status >= 400 {
		return &crawlError{fmt.Errorf("fetch %s: %s", crawl.Redacted(p.URL), statusText(p.Status))}
	}
	return nil
}

// notFetched says which request got no page. raw is what was typed.
func notFetched(command, raw string, req *crawl.Request, err error) error {
	var d *crawl.DownloadError
	if !errors.As(err, &d) { // which names the address
		return &crawlError{fmt.Errorf("%s %s: %w", command, req, err)}
	}
	return &crawlError{orNoFile(raw, req, d.Kind, err)}
}

// orNoFile says that what was typed is no file either, if it was taken for a host that is not there.
func orNoFile(raw string, req *crawl.Request, kind crawl.Kind, err error) error {
	if kind == crawl.KindDNS && strings.EqualFold(strings.TrimSpace(raw), req.URL.Host) {
		return fmt.Errorf("%w; and there is no file %s", err, raw)
	}
	return err
}

func (a *app) printFetched(p *page, f *fetchFlags) error {
	w := a.stdout
	switch {
	case f.json:
		if err := writeJSON(w, describe(p)); err != nil {
			return err
		}
	case f.headers:
		if _, err := io.WriteString(w, headersText(p)); err != nil {
			return err
		}
	}
	if f.output == "" && (f.headers || f.json) {
		return nil
	}
	switch {
	case f.output != "" && f.output != "-":
		_, err := saveBody(p.Response, f.output, f.text)
		return err
	case f.output == "" && onTerminal(w):
		return showBody(w, p.Response)
	}
	return copyBody(w, p.Response, f.text)
}

// showBody writes a body for somebody who reads it on a terminal.
func showBody(w io.Writer, r *crawl.Response) error {
	if r.Kind() == crawl.BodyBinary {
		return fmt.Errorf("the page is binary, %s: -o FILE keeps it, -o - prints it all the same", bytesText(r.Body.Size()))
	}
	text, err := r.Decoded()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, visible(text))
	return err
}

// saveBody writes a body to a file, and reports whether there was one.
func saveBody(r *crawl.Response, name string, text bool) (replaced bool, err error) {
	return saveFile(name, func(w io.Writer) error { return copyBody(w, r, text) })
}

// copyBody writes a body as it is, or as UTF-8.
func copyBody(w io.Writer, r *crawl.Response, text bool) error {
	if text {
		s, err := r.Decoded()
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, s)
		return err
	}
	body, err := r.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}

// headersText is what was sent (>) and received (<), request by request.
func headersText(p *page) string {
	var b bytes.Buffer
	for i, t := range p.Sent {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "> %s %s\n", t.Method, t.URL.RequestURI())
		if t.Request.Get("Host") == "" {
			fmt.Fprintf(&b, "> Host: %s\n", t.URL.Host)
		}
		writeHeader(&b, "> ", t.Request)
		b.WriteByte('\n')
		if t.Status == 0 {
			fmt.Fprintf(&b, "< %s\n", visible(fmt.Sprint(t.Err)))
			continue
		}
		fmt.Fprintf(&b, "< %s %s\n", cmp.Or(t.Proto, "-"), statusText(t.Status))
		writeHeader(&b, "< ", t.Response)
	}
	if len(p.Sent) == 0 { // a cache's, or no HTTP
		fmt.Fprintf(&b, "> %s %s\n(nothing was sent: %s)\n\n< %s\n", methodOf(p.Request), crawl.Redacted(p.URL), list("", "", p.Flags...), statusText(p.Status))
		writeHeader(&b, "< ", p.Header)
	}
	return b.String()
}

func methodOf(req *crawl.Request) string { return cmp.Or(req.Method, http.MethodGet) }

func writeHeader(b *bytes.Buffer, prefix string, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			fmt.Fprintf(b, "%s%s: %s\n", prefix, name, visible(v))
		}
	}
}

// statusText is "404 Not Found".
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return fmt.Sprint(status)
}

// description is what --json says of a page.
type description struct {
	URL       string          `json:"url"`
	Method    string          `json:"method"`
	Status    int             `json:"status"`
	Proto     string          `json:"proto,omitempty"`
	Kind      crawl.BodyKind  `json:"kind"`
	Charset   string          `json:"charset,omitempty"`
	Size      int64           `json:"size"`
	Header    http.Header     `json:"headers"`
	Redirects []string        `json:"redirects"`
	Flags     []string        `json:"flags"`
	Retries   int             `json:"retries"`
	Start     time.Time       `json:"start"`
	Latency   float64         `json:"latency_seconds"`
	Total     float64         `json:"total_seconds"`
	Sent      []describedSent `json:"sent"`
}

type describedSent struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Request http.Header `json:"request_headers"`
	Status  int         `json:"status,omitempty"`
	Header  http.Header `json:"response_headers,omitempty"`
	Error   string      `json:"error,omitempty"`
	Total   float64     `json:"total_seconds"`
}

func describe(p *page) description {
	d := description{
		URL: crawl.Redacted(p.URL), Method: methodOf(p.Request), Status: p.Status, Proto: p.Proto, Kind: p.Kind(), Size: p.Body.Size(), Header: p.Header,
		Redirects: append([]string{}, p.Request.Redirects...), Flags: append([]string{}, p.Flags...), Retries: p.Request.Retries,
		Start: p.Timing.Start, Latency: p.Timing.Latency.Seconds(), Total: p.Timing.Total.Seconds(), Sent: []describedSent{},
	}
	if d.Kind != crawl.BodyBinary {
		d.Charset = p.Encoding()
	}
	for _, t := range p.Sent {
		s := describedSent{Method: t.Method, URL: crawl.Redacted(t.URL), Request: t.Request, Status: t.Status, Header: t.Response, Total: t.Total.Seconds()}
		if t.Err != nil {
			s.Error = t.Err.Error()
		}
		d.Sent = append(d.Sent, s)
	}
	return d
}

// writeJSON writes an indented value, HTML as it is.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fileURL is the address of a local file.
func fileURL(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	slashed := filepath.ToSlash(abs)
	if runtime.GOOS == "windows" {
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", Path: slashed}).String(), nil
}
