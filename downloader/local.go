package downloader

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// local answers file and data URLs. Download.Timeout is not for them: nobody has to answer.
type local struct {
	bodies bodies
}

// file reads a regular file of this machine (RFC 8089).
func (l *local) file(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	start := time.Now()
	f, info, err := openFile(req)
	if err != nil {
		return nil, failed(req, crawl.KindRequest, err)
	}
	defer f.Close()
	header := http.Header{"Last-Modified": {info.ModTime().UTC().Format(http.TimeFormat)}}
	// Without parameters: the system's table says charset=utf-8 of every page, and only the page itself knows.
	if t, _, _ := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(f.Name()))); t != "" {
		header["Content-Type"] = []string{t}
	}
	return l.answer(ctx, req, header, &ctxReader{ctx, f}, info.Size(), start)
}

func openFile(req *crawl.Request) (*os.File, os.FileInfo, error) {
	if err := onlyGet(req); err != nil {
		return nil, nil, err
	}
	u := req.URL
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return nil, nil, fmt.Errorf("the file is on another machine: %s", u.Host)
	}
	path := u.Path
	if path == "" {
		return nil, nil, errors.New("the file URL has no path")
	}
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/") // of /C:/folder/file
	}
	path = filepath.FromSlash(path)
	// Before it is opened: to open a pipe waits for someone who writes into it.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

// data takes the body out of the URL (RFC 2397), as leniently as browsers do.
func (l *local) data(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	start := time.Now()
	mediaType, body, err := parseData(req.URL)
	if err == nil {
		err = onlyGet(req)
	}
	if err != nil {
		return nil, failed(req, crawl.KindRequest, err)
	}
	header := http.Header{"Content-Type": {mediaType}}
	return l.answer(ctx, req, header, bytes.NewReader(body), int64(len(body)), start)
}

// defaultType is that of a data URL that names none, or one that is malformed.
const defaultType = "text/plain;charset=US-ASCII"

func parseData(u *url.URL) (mediaType string, body []byte, err error) {
	raw := u.Opaque
	if raw == "" {
		raw = u.EscapedPath() // data:/…
	}
	if u.RawQuery != "" || u.ForceQuery {
		raw += "?" + u.RawQuery
	}
	meta, data, ok := strings.Cut(raw, ",")
	if !ok {
		return "", nil, errors.New("the data URL has no comma")
	}
	mediaType = strings.TrimSpace(string(unescape(meta)))
	body = unescape(data)
	if i := strings.LastIndexByte(mediaType, ';'); i >= 0 && strings.EqualFold(strings.TrimSpace(mediaType[i+1:]), "base64") {
		mediaType = strings.TrimSpace(mediaType[:i])
		if body, err = decodeBase64(body); err != nil {
			return "", nil, fmt.Errorf("the data URL's base64: %w", err)
		}
	}
	if strings.HasPrefix(mediaType, ";") {
		mediaType = "text/plain" + mediaType
	}
	switch t, _, err := mime.ParseMediaType(mediaType); {
	case !strings.Contains(t, "/"):
		mediaType = defaultType
	case err != nil: // image/svg+xml;utf8 is found often
		mediaType = t
	}
	return mediaType, body, nil
}

// unescape decodes percent escapes. What is none stays as it is.
func unescape(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// decodeBase64 is forgiving: white space does not count, and padding may be left out.
func decodeBase64(b []byte) ([]byte, error) {
	b = bytes.Join(bytes.Fields(b), nil)
	return base64.RawStdEncoding.AppendDecode(nil, bytes.TrimRight(b, "="))
}

func onlyGet(req *crawl.Request) error {
	if req.Method != "" && req.Method != http.MethodGet {
		return fmt.Errorf("method %s: a %s URL can only be read", req.Method, req.URL.Scheme)
	}
	return nil
}

func (l *local) answer(ctx context.Context, req *crawl.Request, header http.Header, r io.Reader, size int64, start time.Time) (*crawl.Response, error) {
	timing := crawl.Timing{Start: start, Latency: time.Since(start)}
	body, err := l.bodies.read(req, r, size, false)
	if ctx.Err() != nil {
		_ = body.Close()
		return nil, givenUp(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	timing.Total = time.Since(start)
	return &crawl.Response{Request: req, URL: req.URL, Status: http.StatusOK, Header: header, Body: body, Timing: timing}, nil
}

// A ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
