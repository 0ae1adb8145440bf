package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// A site is what the server shows in one run.
type site struct {
	// pages is how many pages there are, numbered from 0. Each must be fetched, and none twice.
	pages int
	// find returns the number of the page at a host and a path, or -1 for a 404. It is called for many connections at once.
	find func(host, path []byte) int
	// show fills in the reply for a page. It is called for many connections at once.
	show func(page int, r *reply)
}

// A reply is what the server sends for one page.
type reply struct {
	contentType string // "" is text/html in UTF-8
	body        []byte // only read: may be the same for all
	room        []byte // of this connection, for a body that is made for the occasion
	times       int    // the body is sent so often, one after the other; 0 is once
	// write sends the body from a byte on, in place of body; size is all of it. An error breaks the connection.
	write  func(w io.Writer, from int64) error
	size   int64
	etag   string        // "" is none; with one, a request for the rest is answered with the rest
	wait   time.Duration // how long the server takes
	held   bool          // never answered
	marked bool          // the report says when the last marked page was out
}

// A report is what the server saw in one run.
type report struct {
	Requests int64   `json:"requests"`         // all, robots.txt and the like included
	Pages    int     `json:"pages"`            // different pages that were fetched
	Twice    int64   `json:"twice"`            // fetches of a page that had been fetched
	Missed   int     `json:"missed"`           // pages that were not fetched
	First    int64   `json:"first"`            // when the first request came, in nanoseconds since 1970
	Marked   int64   `json:"marked,omitempty"` // when the last marked page was out; 0 if the site marks none
	CPU      float64 `json:"cpu"`              // seconds that the server took, user and system
}

// An exhibition is a site with the book of its visits.
type exhibition struct {
	site     *site
	over     chan struct{}   // closed when the next one opens: lets held requests go
	visited  []atomic.Uint64 // one bit a page
	requests atomic.Int64
	twice    atomic.Int64
	first    atomic.Int64
	marked   atomic.Int64
	cpu      time.Duration // that the server had taken before
}

func open(s *site) *exhibition {
	return &exhibition{site: s, over: make(chan struct{}), visited: make([]atomic.Uint64, (s.pages+63)/64), cpu: processorTime()}
}

func (e *exhibition) enter(page int) {
	if bit := uint64(1) << (page % 64); e.visited[page/64].Or(bit)&bit != 0 {
		e.twice.Add(1)
	}
}

func (e *exhibition) report() report {
	r := report{Requests: e.requests.Load(), Twice: e.twice.Load(), First: e.first.Load(), Marked: e.marked.Load()}
	r.CPU = (processorTime() - e.cpu).Seconds()
	for page := range e.site.pages {
		if e.visited[page/64].Load()&(1<<(page%64)) != 0 {
			r.Pages++
		}
	}
	r.Missed = e.site.pages - r.Pages
	return r
}

// A server answers GET requests over HTTP/1.1 with keep-alive: one goroutine and one write a reply, no timeouts, no Date
// header, nothing that a client under test would read and net/http's server would spend time on. Whatever else a client
// may send gets its connection closed.
type server struct {
	now atomic.Pointer[exhibition]
}

// serve answers until the listener is closed.
func (s *server) serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go s.converse(conn) // until the client hangs up or the process ends
	}
}

func (s *server) converse(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 4096)
	var (
		req request
		rep reply
		out []byte
	)
	for !req.last {
		if err := req.read(in); err != nil {
			return // the client has hung up, or is none of ours
		}
		e := s.now.Load()
		if e.requests.Add(1) == 1 {
			e.first.Store(time.Now().UnixNano())
		}
		rep = reply{room: rep.room[:0]}
		page := e.site.find(req.host, req.path)
		if page < 0 {
			if _, err := io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nnot found"); err != nil {
				return
			}
			continue
		}
		e.enter(page)
		e.site.show(page, &rep)
		if rep.held {
			<-e.over
			return
		}
		if rep.wait > 0 {
			time.Sleep(rep.wait)
		}
		var from int64
		if rep.etag != "" {
			from = min(req.from, rep.size)
		}
		out = rep.head(out[:0], from)
		var err error
		if rep.write != nil {
			if _, err = conn.Write(out); err == nil {
				err = rep.write(conn, from)
			}
		} else if rep.times == 0 {
			out = append(out, rep.body...)
			_, err = conn.Write(out)
		} else if _, err = conn.Write(out); err == nil {
			for i := 0; i < rep.times && err == nil; i++ {
				_, err = conn.Write(rep.body)
			}
		}
		if err != nil {
			return
		}
		if rep.marked {
			e.marked.Store(time.Now().UnixNano())
		}
	}
}

func (r *reply) head(dst []byte, from int64) []byte {
	size := int64(len(r.body)) * int64(max(r.times, 1))
	if r.write != nil {
		size = r.size
	}
	if from == 0 {
		dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	} else {
		dst = fmt.Appendf(dst, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n", from, size-1, size)
	}
	if r.etag != "" {
		dst = fmt.Appendf(dst, "ETag: %s\r\n", r.etag)
	}
	dst = append(dst, "Content-Type: "...)
	if r.contentType == "" {
		dst = append(dst, "text/html; charset=utf-8"...)
	} else {
		dst = append(dst, r.contentType...)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, size-from, 10)
	return append(dst, "\r\n\r\n"...)
}

// A request is the part of a request that the server looks at.
type request struct {
	path, host []byte // the request's own until the next read
	from       int64  // of "Range: bytes=42-"
	last       bool   // the client closes afterwards
}

var errNotServed = errors.New("only GET over HTTP/1.1 is served here")

// read reads a request line and its header. A line of 4 KiB is an error.
func (r *request) read(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	line, ok := bytes.CutPrefix(line, []byte("GET "))
	if !ok {
		return errNotServed
	}
	path, version, _ := bytes.Cut(line, []byte(" "))
	if !bytes.HasPrefix(version, []byte("HTTP/1.1")) {
		return errNotServed
	}
	r.path, r.host, r.from, r.last = append(r.path[:0], path...), r.host[:0], 0, false
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case len(name) == 4 && bytes.EqualFold(name, []byte("Host")):
			r.host = append(r.host, bytes.TrimSpace(value)...)
		case len(name) == 5 && bytes.EqualFold(name, []byte("Range")):
			if r.from, err = parseFrom(value); err != nil {
				return err
			}
		case len(name) == 10 && bytes.EqualFold(name, []byte("Connection")):
			r.last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
}

// parseFrom reads "bytes=42-".
func parseFrom(value []byte) (int64, error) {
	value, unit := bytes.CutPrefix(bytes.TrimSpace(value), []byte("bytes="))
	value, open := bytes.CutSuffix(value, []byte("-"))
	from, err := strconv.ParseInt(string(value), 10, 64)
	if !unit || !open || err != nil || from < 0 {
		return 0, errNotServed
	}
	return from, nil
}

// An order is a line on the server's standard input: open a site, or report on the one that is open.
type order struct {
	Case string `json:"case,omitempty"` // open this case's site; "" is a report
	N    int    `json:"n,omitempty"`
}

// greeting is the first line on the server's standard output.
type greeting struct {
	Addr string `json:"addr"`
}

// serveMain is the server's process: it listens on a free loopback port, says which, and takes orders until its input ends.
func serveMain(stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer l.Close()
	s := &server{}
	s.now.Store(open(&site{find: func(_, _ []byte) int { return -1 }}))
	failed := make(chan error, 1)
	go func() { failed <- s.serve(l) }()

	in, out := json.NewDecoder(stdin), json.NewEncoder(stdout)
	if err := out.Encode(greeting{Addr: l.Addr().String()}); err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			l.Close()
			return <-failed
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if o.Case != "" {
			c, err := caseNamed(o.Case)
			if err != nil {
				return err
			}
			close(s.now.Swap(open(c.site(o.N))).over)
		}
		if err := out.Encode(s.now.Load().report()); err != nil {
			return err
		}
	}
}
