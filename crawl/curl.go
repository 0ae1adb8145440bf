package crawl

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FromCurl makes a request of a curl command line: what a browser's "Copy as cURL" gives, for bash and for cmd, or what somebody has typed. It understands -X, -H, -A,
// -e, -b, -u, -d and its relatives, --json, -F, -G, -I, -r, -x, -m, --url-query and --oauth2-bearer; options that are about curl's output are of no importance here. Others are
// an error that names them, and where there is one, the setting that does the same; [FromCurlIgnoring] leaves them out.
//
// Nothing is read from disk: -d @file is an error. A user and a password become Knobs.HTTPUser and HTTPPassword, -x becomes Knobs.Proxy. Cookies stay in the Cookie
// header: they win over those that the crawl's jar has by the same names, and a redirect to another host does not take them along. Redirects are followed by the
// crawl's rules, with -L or without.
func FromCurl(command string) (*Request, error) {
	req, left, err := fromCurl(command)
	if err != nil {
		return nil, fmt.Errorf("curl command: %w", err)
	}
	if len(left) > 0 {
		var errs []error
		for _, o := range left {
			errs = append(errs, o.err)
		}
		return nil, fmt.Errorf("curl command: %w", errors.Join(errs...))
	}
	return req, nil
}

// FromCurlIgnoring is FromCurl for commands with options that have no counterpart here. They are left out, and returned as they were written.
func FromCurlIgnoring(command string) (req *Request, ignored []string, err error) {
	req, left, err := fromCurl(command)
	if err != nil {
		return nil, nil, fmt.Errorf("curl command: %w", err)
	}
	for _, o := range left {
		ignored = append(ignored, o.written)
	}
	return req, ignored, nil
}

// curlShort are the options that have a letter.
var curlShort = map[byte]string{
	'0': "http1.0", '1': "tlsv1", '2': "sslv2", '3': "sslv3", '4': "ipv4", '6': "ipv6", '#': "progress-bar", ':': "next", 'a': "append", 'A': "user-agent", 'b': "cookie",
	'B': "use-ascii", 'c': "cookie-jar", 'C': "continue-at", 'd': "data", 'D': "dump-header", 'e': "referer", 'E': "cert", 'f': "fail", 'F': "form", 'g': "globoff",
	'G': "get", 'h': "help", 'H': "header", 'i': "include", 'I': "head", 'j': "junk-session-cookies", 'J': "remote-header-name", 'k': "insecure", 'K': "config",
	'l': "list-only", 'L': "location", 'm': "max-time", 'M': "manual", 'n': "netrc", 'N': "no-buffer", 'o': "output", 'O': "remote-name", 'p': "proxytunnel",
	'P': "ftp-port", 'q': "disable", 'Q': "quote", 'r': "range", 'R': "remote-time", 's': "silent", 'S': "show-error", 't': "telnet-option", 'T': "upload-file",
	'u': "user", 'U': "proxy-user", 'v': "verbose", 'V': "version", 'w': "write-out", 'x': "proxy", 'X': "request", 'y': "speed-time", 'Y': "speed-limit",
	'z': "time-cond", 'Z': "parallel",
}

// curlArgs are the options with an argument.
var curlArgs = strings.Fields(`user-agent cookie data data-ascii data-raw data-binary data-urlencode json form form-string header referer user proxy max-time max-filesize
	oauth2-bearer range request url url-query output cookie-jar dump-header write-out stderr trace trace-ascii trace-config output-dir create-file-mode
	abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config connect-timeout connect-to continue-at crlfile curves delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers
	doh-url ech egd-file engine etag-compare etag-save expect100-timeout ftp-account ftp-alternative-to-user ftp-method ftp-port ftp-ssl-ccc-mode happy-eyeballs-timeout-ms haproxy-clientip
	hostpubmd5 hostpubsha256 hsts interface ip-tos ipfs-gateway keepalive-cnt keepalive-time key key-type krb libcurl limit-rate local-port login-options mail-auth mail-from mail-rcpt max-redirs
	netrc-file noproxy parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers
	proxy-crlfile proxy-header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name proxy-tls13-ciphers proxy-tlsauthtype proxy-tlspassword proxy-tlsuser
	proxy-user proxy1.0 pubkey quote random-file rate request-target resolve retry retry-delay retry-max-time sasl-authzid service-name socks4 socks4a socks5 socks5-gssapi-service socks5-hostname
	speed-limit speed-time telnet-option tftp-blksize time-cond tls-max tls13-ciphers tlsauthtype tlspassword tlsuser unix-socket upload-file variable vlan-priority`)

// curlHarmless are options that make no difference to the request, or ask for what is done anyway.
var curlHarmless = strings.Fields(`compressed location silent show-error verbose progress-bar progress-meter include show-headers fail fail-with-body fail-early output remote-name
	remote-name-all remote-header-name remote-time output-dir create-dirs create-file-mode write-out dump-header stderr trace trace-ascii trace-config trace-ids trace-time styled-output no-buffer
	buffer junk-session-cookies cookie-jar http1.1 http2 http2-prior-knowledge http3 http0.9 ipv4 ipv6 tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 keepalive sessionid alpn npn tcp-nodelay tcp-fastopen
	basic disable path-as-is clobber metalink parallel raw tr-encoding expect100-timeout keepalive-time keepalive-cnt happy-eyeballs-timeout-ms skip-existing`)

// curlInstead is what to do in place of an option.
var curlInstead = map[string]string{
	"insecure":        "certificates are checked for all of a crawl, or for none: set download.insecure_tls",
	"cacert":          "set download.ca_file",
	"connect-timeout": "set Knobs.Timeout, which is for the whole request",
	"connect-to":      "set download.connect_to",
	"resolve":         "set download.connect_to",
	"interface":       "set Knobs.BindAddress, or download.bind_address",
	"max-redirs":      "set redirect.times",
	"retry":           "set retry.times, or Knobs.RetryTimes",
	"retry-delay":     "set retry.back_off",
	"tls-max":         "set download.max_tls",
	"limit-rate":      "set download_delay or concurrent_per_host",
	"socks5":          "write it as -x socks5://host:port",
	"socks5-hostname": "write it as -x socks5://host:port",
	"proxy-user":      "write it into the proxy's URL: -x http://user:password@host:port",
	"noproxy":         "set Knobs.Proxy, or proxy.urls",
	"upload-file":     "nothing is read from disk: set Request.Method and Request.Body",
	"config":          "nothing is read from disk",
	"next":            "it begins a second request",
	"digest":          "only Basic authentication is there",
}

// leftOption is an option that has no counterpart here.
type leftOption struct {
	written string
	err     error
}

// curlCommand is what the options of a command line have said so far.
type curlCommand struct {
	url, method, query string
	header             http.Header
	cookies            string // of -b; a Cookie header stands in their place
	noType             bool   // -H 'Content-Type:'
	globOff            bool
	data               []byte
	hasData, json      bool
	form               []FormField
	get, head          bool
	knobs              Knobs
	left               []leftOption
}

func fromCurl(command string) (*Request, []leftOption, error) {
	words, err := commandWords(command)
	if err != nil {
		return nil, nil, err
	}
	if len(words) > 0 && words[0] == "$" {
		words = words[1:] // a prompt that was copied too
	}
	if len(words) == 0 || strings.TrimSuffix(strings.ToLower(path.Base(strings.ReplaceAll(words[0], `\`, "/"))), ".exe") != "curl" {
		return nil, nil, fmt.Errorf("it does not begin with curl: %s", excerpt(strings.TrimSpace(command)))
	}
	c := curlCommand{header: http.Header{}}
	if err := c.options(words[1:]); err != nil {
		return nil, nil, err
	}
	req, err := c.request()
	return req, c.left, err
}

func (c *curlCommand) options(words []string) error {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			for _, w := range words[i+1:] {
				if err := c.address(w); err != nil {
					return err
				}
			}
			return nil
		case strings.HasPrefix(w, "--"):
			arg, given := "", false
			if slices.Contains(curlArgs, w[2:]) {
				if i++; i == len(words) {
					return fmt.Errorf("option %s needs an argument", w)
				}
				arg, given = words[i], true
			}
			if err := c.option(w, w[2:], arg, given); err != nil {
				return err
			}
		case strings.HasPrefix(w, "-") && w != "-":
			for rest := w[1:]; rest != ""; {
				name, short := curlShort[rest[0]], "-"+rest[:1]
				rest = rest[1:]
				arg, given := "", false
				if slices.Contains(curlArgs, name) {
					if rest == "" {
						if i++; i == len(words) {
							return fmt.Errorf("option %s needs an argument", short)
						}
						rest = words[i]
					}
					arg, rest, given = rest, "", true
				}
				if err := c.option(short, name, arg, given); err != nil {
					return err
				}
			}
		default:
			if err := c.address(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *curlCommand) address(s string) error {
	if c.url != "" {
		return fmt.Errorf("two URLs, %s and %s, where one request has one", excerpt(c.url), excerpt(s))
	}
	c.url = s
	return nil
}

// option takes an option in, as it was written and by its long name.
func (c *curlCommand) option(written, name, arg string, hasArg bool) error {
	wrong := func(err error) error { return fmt.Errorf("option %s: %w", written, err) }
	reads := func() error {
		return wrong(fmt.Errorf("%s would be read from disk, which is not done here: set the request's Body", excerpt(arg)))
	}
	switch name {
	case "url":
		return c.address(arg)
	case "request":
		c.method = strings.ToUpper(arg)
	case "header":
		if err := c.headerLine(arg); err != nil {
			return wrong(err)
		}
	case "user-agent":
		c.header.Set("User-Agent", arg)
	case "referer":
		arg, _, _ = strings.Cut(arg, ";auto")
		c.header.Set("Referer", arg)
	case "cookie":
		if !strings.Contains(arg, "=") {
			return reads()
		}
		if c.cookies != "" {
			arg = c.cookies + "; " + arg
		}
		c.cookies = arg
	case "data", "data-ascii", "data-binary", "json":
		if strings.HasPrefix(arg, "@") {
			return reads()
		}
		c.add(arg, name == "json")
	case "data-raw":
		c.add(arg, false)
	case "data-urlencode", "url-query":
		s, ok := urlencodeArg(arg, name == "url-query")
		if !ok {
			return reads()
		}
		if name == "url-query" {
			c.query = joinQuery(c.query, s)
		} else {
			c.add(s, false)
		}
	case "form", "form-string":
		f, err := formArg(arg, name == "form-string")
		if err != nil {
			return wrong(err)
		}
		c.form = append(c.form, f)
	case "globoff":
		c.globOff = true
	case "get":
		c.get = true
	case "head":
		c.head = true
	case "user":
		user, password, ok := strings.Cut(arg, ":")
		if !ok {
			return wrong(fmt.Errorf("%s has no password: write user:password", excerpt(arg)))
		}
		c.knobs.HTTPUser, c.knobs.HTTPPassword = user, password
	case "oauth2-bearer":
		c.header.Set("Authorization", "Bearer "+arg)
	case "range":
		c.header.Set("Range", "bytes="+arg)
	case "proxy":
		if c.knobs.Proxy = arg; arg == "" {
			c.knobs.Proxy = "direct"
		} else if !strings.Contains(arg, "://") {
			c.knobs.Proxy = "http://" + arg
		}
	case "max-time":
		d, err := time.ParseDuration(arg + "s")
		if err != nil || d < 0 {
			return wrong(fmt.Errorf("%s is not a number of seconds", excerpt(arg)))
		}
		c.knobs.Timeout = d
	case "max-filesize":
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 0 {
			return wrong(fmt.Errorf("%s is not a number of bytes", excerpt(arg)))
		}
		c.knobs.MaxSize = n
	default:
		if !slices.Contains(curlHarmless, name) && !slices.Contains(curlHarmless, strings.TrimPrefix(name, "no-")) {
			c.leave(written, name, arg, hasArg)
		}
	}
	return nil
}

func (c *curlCommand) leave(written, name, arg string, hasArg bool) {
	why := "is not known here"
	if instead, ok := curlInstead[name]; ok {
		why = "has no counterpart in a request: " + instead
	}
	o := leftOption{written: written, err: fmt.Errorf("option %s %s", written, why)}
	if hasArg {
		o.written += " " + shellWord(arg)
	}
	c.left = append(c.left, o)
}

func (c *curlCommand) headerLine(line string) error {
	if strings.HasPrefix(line, "@") {
		return fmt.Errorf("%s would be read from disk, which is not done here", excerpt(line))
	}
	if strings.HasPrefix(line, ":") {
		return nil // a pseudo header of HTTP/2, which says what the URL says
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		if name, ok = strings.CutSuffix(strings.TrimSpace(line), ";"); !ok {
			return fmt.Errorf("%s is not name: value", excerpt(line))
		}
		c.header.Add(strings.TrimSpace(name), "")
		return nil
	}
	name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
	switch {
	case name == "":
		return fmt.Errorf("%s has no name", excerpt(line))
	case strings.ContainsAny(value, "\r\n\x00"):
		return fmt.Errorf("%s has a line break", excerpt(line))
	case name == "Content-Length": // which is worked out of the body
	case name == "Content-Type" && value == "":
		c.noType = true
	case value == "": // send none, not even the usual one
		c.header[name] = nil
	default:
		c.header.Add(name, value)
	}
	return nil
}

func (c *curlCommand) add(data string, json bool) {
	if c.hasData && !json {
		c.data = append(c.data, '&')
	}
	c.data = append(c.data, data...)
	c.hasData, c.json = true, c.json || json
}

// urlencodeArg is what --data-urlencode makes of its argument; ok is false if that names a file.
func urlencodeArg(arg string, query bool) (s string, ok bool) {
	if rest, plain := strings.CutPrefix(arg, "+"); query && plain {
		return rest, true
	}
	at := strings.IndexAny(arg, "=@")
	switch {
	case at < 0:
		return url.QueryEscape(arg), true
	case arg[at] == '@':
		return "", false
	case at == 0:
		return url.QueryEscape(arg[1:]), true
	}
	return arg[:at+1] + url.QueryEscape(arg[at+1:]), true
}

func joinQuery(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "&" + b
}

// formArg is a field of -F: name=value;type=text/plain;filename=x.
func formArg(arg string, plain bool) (FormField, error) {
	name, value, ok := strings.Cut(arg, "=")
	if !ok {
		return FormField{}, fmt.Errorf("%s is not name=value", excerpt(arg))
	}
	f := FormField{Name: name, Value: value}
	if plain {
		return f, nil
	}
	if strings.HasPrefix(value, "@") || strings.HasPrefix(value, "<") {
		return f, fmt.Errorf("%s would be read from disk, which is not done here: make it a MultipartRequest", excerpt(arg))
	}
	var file *FormFile
	if strings.HasPrefix(value, `"`) {
		end := 1
		for end < len(value) && value[end] != '"' {
			if value[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(value) {
			return f, fmt.Errorf("%s has a quote that is not closed", excerpt(arg))
		}
		f.Value, value = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1:end]), value[end+1:]
	} else {
		f.Value, value, _ = strings.Cut(value, ";")
		value = ";" + value
	}
	for part := range strings.SplitSeq(strings.Trim(value, "; "), ";") {
		key, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "":
		case "filename":
			file = &FormFile{Name: strings.Trim(v, `"`)}
		case "type":
			return f, fmt.Errorf("%s gives a type to a field, which browsers do not", excerpt(arg))
		default:
			return f, fmt.Errorf("%s: %s is not known here", excerpt(arg), excerpt(part))
		}
	}
	if file != nil {
		file.Data, f.Value, f.File = []byte(f.Value), "", file
	}
	return f, nil
}

// request is what the options come to.
func (c *curlCommand) request() (*Request, error) {
	switch {
	case c.url == "":
		return nil, errors.New("it has no URL")
	case c.form != nil && c.hasData:
		return nil, errors.New("-d and -F are two bodies, and a request has one")
	case c.head && (c.form != nil || c.hasData && !c.get):
		return nil, errors.New("-I asks without a body, and there is one")
	}
	if several := globs.FindString(c.url); several != "" && !c.globOff {
		return nil, fmt.Errorf("curl makes several requests of %s in a URL, and this is one: if it is meant as it stands, add -g", excerpt(several))
	}
	if _, ok := c.header["Cookie"]; !ok && c.cookies != "" {
		c.header.Set("Cookie", c.cookies)
	}
	if c.get && c.hasData {
		c.query, c.data, c.hasData = joinQuery(c.query, string(c.data)), nil, false
	}
	req := Get(c.withQuery())
	if err := req.Err(); err != nil {
		return nil, err
	}
	kind := ""
	switch {
	case c.form != nil:
		var err error
		if req.Body, kind, err = multipart(c.form, nil); err != nil {
			return nil, err
		}
	case c.hasData:
		req.Body, kind = c.data, typeURLEncoded
		if c.json {
			kind = "application/json"
			if c.header["Accept"] == nil {
				c.header.Set("Accept", kind)
			}
		}
	}
	if kind != "" && !c.noType && (c.header["Content-Type"] == nil || c.form != nil) {
		c.header.Set("Content-Type", kind)
	}
	switch {
	case c.method != "":
		req.Method = c.method
	case c.head:
		req.Method = http.MethodHead
	case c.form != nil || c.hasData:
		req.Method = http.MethodPost
	}
	if req.Method == http.MethodGet {
		req.Method = ""
	}
	if len(c.header) > 0 {
		req.Header = c.header
	}
	if k := c.knobs; k.HTTPUser != "" || k.HTTPPassword != "" || k.Proxy != "" || k.Timeout != 0 || k.MaxSize != 0 {
		req.Knobs = &k
	}
	return req, nil
}

// globs are lists and ranges in a URL: {a,b}, [1-9], [a-z:2]. An IPv6 address has no such range.
var globs = regexp.MustCompile(`\{[^{}]*\}|\[(?:[0-9]+-[0-9]+|[a-zA-Z]-[a-zA-Z])(?::[0-9]+)?\]`)

func (c *curlCommand) withQuery() string {
	s := c.url
	if scheme, _, ok := strings.Cut(s, "://"); !ok || strings.ContainsAny(scheme, "/?#.") {
		s = "http://" + s
		if strings.HasPrefix(strings.ToLower(c.url), "ftp.") {
			s = "ftp://" + c.url
		}
	}
	if c.query == "" {
		return s
	}
	s, fragment, found := strings.Cut(s, "#")
	switch {
	case !strings.Contains(s, "?"):
		s += "?"
	case !strings.HasSuffix(s, "?") && !strings.HasSuffix(s, "&"):
		s += "&"
	}
	s += c.query
	if found {
		s += "#" + fragment
	}
	return s
}

// Curl is a command line for bash that asks for the same: URL, method, headers, body, and of the knobs those that curl has: HTTPUser, Proxy, Timeout and MaxSize. What
// middlewares add on the way is not in it, nor what belongs to the crawl: Route, Data, Priority. [FromCurl] makes the same request of it. It shows passwords and
// cookies. A body with a NUL is written so that FromCurl reads it; no shell can pass it on.
func (r *Request) Curl() (string, error) {
	if err := r.Err(); err != nil {
		return "", err
	}
	address := r.URL.String()
	words := []string{"curl", shellWord(address)}
	option := func(name, arg string) { words = append(words, name, shellWord(arg)) }
	if strings.ContainsAny(address, "[]{}") {
		words = append(words, "--globoff")
	}
	method, hasBody := r.method(), len(r.Body) > 0
	switch {
	case method == http.MethodHead && !hasBody:
		words = append(words, "--head")
	case method == http.MethodPost && hasBody, method == http.MethodGet && !hasBody:
	default:
		option("-X", method)
	}
	for _, k := range headerKeys(r.Header) {
		if len(r.Header[k]) == 0 && k != "Content-Type" {
			option("-H", k+":")
		}
		for _, v := range r.Header[k] {
			if v == "" {
				option("-H", k+";")
				continue
			}
			option("-H", k+": "+v)
		}
	}
	if hasBody {
		if r.Header.Get("Content-Type") == "" && r.Header["Content-Type"] == nil {
			option("-H", "Content-Type:") // curl would add its own
		}
		option("--data-raw", string(r.Body))
	}
	k := r.Knob()
	if k.HTTPUser != "" || k.HTTPPassword != "" {
		option("-u", k.HTTPUser+":"+k.HTTPPassword)
	}
	switch k.Proxy {
	case "":
	case "direct":
		option("-x", "")
	default:
		option("-x", k.Proxy)
	}
	if k.Timeout > 0 {
		option("--max-time", fmt.Sprintf("%d.%09d", k.Timeout/time.Second, k.Timeout%time.Second))
	}
	if k.MaxSize > 0 {
		option("--max-filesize", strconv.FormatInt(k.MaxSize, 10))
	}
	return strings.Join(append(words, "--compressed"), " "), nil
}
