package crawltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	ok200   = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
	manyKiB = 300 // more than the 256 KiB of headers that the downloader reads
)

// illConnections are about the connection, before and beside the headers.
func illConnections() []ill {
	return []ill{
		{name: "refused", does: "Nobody listens.", dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}},
		{name: "no-such-host", does: "The name is not found.", dial: func(context.Context) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "no-such-host" + miseryDomain, IsNotFound: true}
		}},
		{name: "unreachable", does: "Connecting never ends.", dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		{name: "close-at-once", does: "Closes the connection without reading from it.", speak: func(context.Context, *misery, net.Conn) {}},
		{name: "close-before-headers", does: "Reads the request and closes the connection.", answer: says("")},
		{name: "close-in-headers", does: "Closes the connection in the middle of a header.", answer: says(ok200 + "X-Half: a")},
		{name: "close-after-headers", does: "Announces 1000 bytes and closes the connection.", answer: says(ok200 + "Content-Length: 1000\r\n\r\n")},
		{name: "close-mid-body", does: "Announces 1000 bytes, sends 500 and closes the connection.", answer: says(ok200 + "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 500))},
		{name: "reset-before-headers", does: "Resets the connection before it answers.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			c.(*conn).reset()
		}},
		{name: "reset-mid-body", does: "Announces 1000 bytes, sends 500 and resets the connection when they are read.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			fmt.Fprint(c, ok200+"Content-Length: 1000\r\n\r\n"+strings.Repeat("x", 500))
			if pause(v.r.Context(), time.Second) {
				c.(*conn).reset()
			}
		}},
		{name: "close-idle", does: "Closes each connection after an answer that does not say so, when the next request arrives on it.", speak: func(_ context.Context, _ *misery, c net.Conn) {
			r := newRequests(c)
			if r.next() == nil {
				fmt.Fprint(c, ok200+"Content-Length: "+strconv.Itoa(len(page))+"\r\n\r\n"+page)
				_ = r.next()
			}
		}},
		{name: "unsolicited", does: "Sends a second answer that nobody asked for, a second after the first.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			fmt.Fprint(c, ok200+"Content-Length: "+strconv.Itoa(len(page))+"\r\n\r\n"+page)
			if pause(v.r.Context(), time.Second) {
				fmt.Fprint(c, ok200+"Content-Length: 4\r\n\r\nEvil")
			}
		}},
		{name: "never-answers", does: "Reads the request and says nothing.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			_, _ = io.Copy(io.Discard, c)
		}},
		{name: "never-reads", does: "Accepts the connection and does not read from it.", method: http.MethodPost, post: 1 << 20, speak: func(ctx context.Context, _ *misery, _ net.Conn) {
			<-ctx.Done()
		}},
		{name: "drip-headers", does: "Sends headers, a byte a second, and no end of them.", answer: repeats(ok200+"X: ", "x", time.Second)},
		{name: "drip-body", does: "Announces a megabyte and sends a byte a second.", answer: repeats(ok200+"Content-Length: 1000000\r\n\r\n", "x", time.Second)},
		{name: "stall-mid-body", does: "Announces 1000 bytes, sends 500 and nothing more.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			fmt.Fprint(c, ok200+"Content-Length: 1000\r\n\r\n"+strings.Repeat("x", 500))
			_, _ = io.Copy(io.Discard, c)
		}},
	}
}

// illStatuses are about the first line.
func illStatuses() []ill {
	line := func(first string) func(*visit) {
		return says(first + "\r\nContent-Type: text/html\r\nContent-Length: " + strconv.Itoa(len(page)) + "\r\n\r\n" + page)
	}
	return []ill{
		{name: "status-garbage", does: "Answers with a line that is not HTTP.", answer: says("SSH-2.0-OpenSSH_9.9\r\n\r\n")},
		{name: "status-http-09", does: "Answers with a page and no headers, as HTTP/0.9 did.", answer: says(page)},
		{name: "status-http-99", does: "Answers in HTTP/9.9.", answer: line("HTTP/9.9 200 OK")},
		{name: "status-http-10", does: "Answers in HTTP/1.0 and closes the connection.", answer: says("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page)},
		{name: "status-99", does: "Answers with status 99.", answer: line("HTTP/1.1 99 Low")},
		{name: "status-099", does: "Answers with status 099.", answer: line("HTTP/1.1 099 Low")},
		{name: "status-1000", does: "Answers with status 1000.", answer: line("HTTP/1.1 1000 High")},
		{name: "status-negative", does: "Answers with status -20.", answer: line("HTTP/1.1 -20 Below")},
		{name: "status-999", does: "Answers with status 999, which nobody has registered.", answer: line("HTTP/1.1 999 Request denied")},
		{name: "status-no-reason", does: "Answers with a status and no words.", answer: line("HTTP/1.1 200")},
		{name: "status-endless", does: "Sends a first line that does not end.", answer: repeats("HTTP/1.1 200 ", strings.Repeat("x", 4096), 0)},
		{name: "status-101", does: "Switches protocols, which nobody asked for.", answer: says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")},
		{name: "status-204-body", does: "Says that there is no content, and sends some.", answer: says("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")},
		{name: "status-206", does: "Sends a part of a page that was asked for as a whole.", answer: says("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/1000\r\nContent-Length: 5\r\n\r\nhello")},
		{name: "status-304", does: "Says that nothing has changed, to somebody who has nothing.", answer: says("HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n")},
		{name: "head-body", does: "Answers HEAD with a body.", method: http.MethodHead, answer: says(ok200 + "Content-Length: 5\r\n\r\nhello")},
		{name: "interim-storm", does: "Sends 200 interim answers before the one that counts.", answer: says(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 200) +
			ok200 + "Content-Length: " + strconv.Itoa(len(page)) + "\r\n\r\n" + page)},
		{name: "interim-endless", does: "Sends interim answers and no other.", answer: repeats("", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), 0)},
	}
}

// illHeaders are about the lines below it.
func illHeaders() []ill {
	with := func(lines string) func(*visit) {
		return says(ok200 + lines + "Content-Length: " + strconv.Itoa(len(page)) + "\r\n\r\n" + page)
	}
	return []ill{
		{name: "header-huge", does: "Sends a header of 300 KiB.", answer: with("X-Huge: " + strings.Repeat("x", manyKiB<<10) + "\r\n")},
		{name: "header-large", does: "Sends a header of 100 KiB.", answer: with("X-Large: " + strings.Repeat("x", 100<<10) + "\r\n")},
		{name: "header-many", does: "Sends 20,000 headers.", answer: with(strings.Repeat("X-Many: and more\r\n", 20_000))},
		{name: "header-crowd", does: "Sends 10,000 headers in little room.", answer: with(strings.Repeat("X-Crowd: 1\r\n", 10_000))},
		{name: "header-endless", does: "Sends headers and no end of them.", answer: repeats(ok200, strings.Repeat("X-More: and more\r\n", 100), 0)},
		{name: "header-no-colon", does: "Sends a header without a colon.", answer: with("X-Header and its value\r\n")},
		{name: "header-no-name", does: "Sends a header without a name.", answer: with(": value\r\n")},
		{name: "header-space", does: "Sends a header with a space before the colon.", answer: with("X-Space : value\r\n")},
		{name: "header-nul", does: "Sends a header with a NUL in it.", answer: with("X-Nul: a\x00b\r\n")},
		{name: "header-binary", does: "Sends a header in ISO 8859-1.", answer: with("X-Name: Andr\xe9\r\n")},
		{name: "header-folded", does: "Sends a header over two lines.", answer: with("X-Folded: a\r\n b\r\n")},
		{name: "header-bare-lf", does: "Ends lines by LF alone.", answer: says(strings.ReplaceAll(ok200+"Content-Length: "+strconv.Itoa(len(page))+"\r\n\r\n", "\r\n", "\n") + page)},
		{name: "header-bare-cr", does: "Has a CR within a header.", answer: with("X-Cr: a\rSet-Cookie: evil=1\r\n")},
	}
}

// illLengths are about how long a body says it is.
func illLengths() []ill {
	with := func(lines, body string) func(*visit) { return says(ok200 + lines + "\r\n" + body) }
	body := strings.Repeat("x", 1000)
	return []ill{
		{name: "length-none", does: "Does not say how long the body is, and closes the connection after it.", answer: with("", page)},
		{name: "length-too-large", does: "Announces 1000 bytes and sends 500, in HTTP/1.0.", answer: says("HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n" + body[:500])},
		{name: "length-too-small", does: "Announces 500 bytes, sends 1000 and keeps the connection open.", answer: func(v *visit) {
			c, leave := v.take()
			defer leave()
			fmt.Fprint(c, ok200+"Content-Length: 500\r\n\r\n"+body)
			_, _ = io.Copy(io.Discard, c)
		}},
		{name: "length-negative", does: "Announces -1 bytes.", answer: with("Content-Length: -1\r\n", body)},
		{name: "length-nonsense", does: "Announces some bytes.", answer: with("Content-Length: some\r\n", body)},
		{name: "length-overflow", does: "Announces more bytes than an int64 can count.", answer: with("Content-Length: 99999999999999999999\r\n", body)},
		{name: "length-exabyte", does: "Announces an exabyte and sends 1000 bytes.", answer: with("Content-Length: 1000000000000000000\r\n", body)},
		{name: "length-two", does: "Announces 500 bytes, and 1000 as well.", answer: with("Content-Length: 500\r\nContent-Length: 1000\r\n", body)},
		{name: "length-twice", does: "Announces 1000 bytes, twice.", answer: with("Content-Length: 1000\r\nContent-Length: 1000\r\n", body)},
		{name: "length-chunked", does: "Announces 500 bytes and sends 1000 in a chunk.", answer: with("Content-Length: 500\r\nTransfer-Encoding: chunked\r\n", "3e8\r\n"+body+"\r\n0\r\n\r\n")},
	}
}

// illChunks are about chunked bodies.
func illChunks() []ill {
	const chunked = ok200 + "Transfer-Encoding: chunked\r\n\r\n"
	return []ill{
		{name: "chunk-bad-size", does: "Sends a chunk whose size is no number.", answer: says(chunked + "5\r\nhello\r\nfive\r\nhello\r\n0\r\n\r\n")},
		{name: "chunk-huge-size", does: "Sends a chunk whose size is more than 64 bits.", answer: says(chunked + "5\r\nhello\r\nfffffffffffffffff\r\nhello")},
		{name: "chunk-wrong-size", does: "Sends a chunk that is longer than it says.", answer: says(chunked + "5\r\nhello, world\r\n0\r\n\r\n")},
		{name: "chunk-cut", does: "Closes the connection within a chunk.", answer: says(chunked + "5\r\nhello\r\n3e8\r\nhel")},
		{name: "chunk-no-end", does: "Closes the connection without the last chunk.", answer: says(chunked + "5\r\nhello\r\n")},
		{name: "chunk-endless", does: "Sends chunks and no end of them.", answer: repeats(chunked, "2000\r\n"+strings.Repeat("x", 0x2000)+"\r\n", 0)},
		{name: "chunk-extensions", does: "Sends chunks of a byte with extensions of 4 kB (CVE-2023-39326), and no end of them.",
			answer: repeats(chunked, "1;"+strings.Repeat("x", 4000)+"\r\nx\r\n", 0)},
		{name: "chunk-unknown", does: "Names a Transfer-Encoding that nobody knows.", answer: says(ok200 + "Transfer-Encoding: shuffled\r\n\r\nhello")},
	}
}

// illProxies are about proxies.
func illProxies() []ill {
	proxy := func(name, does, scheme, answer string) ill {
		return ill{name: name, does: does, scheme: scheme, proxy: true, speak: func(_ context.Context, _ *misery, c net.Conn) {
			if newRequests(c).next() == nil {
				fmt.Fprint(c, answer)
			}
		}}
	}
	const wants = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
	return []ill{
		proxy("proxy-407", "A proxy that wants credentials.", "http", wants),
		proxy("proxy-407-tunnel", "A proxy that wants credentials, asked for a tunnel.", "https", wants),
		proxy("proxy-502-tunnel", "A proxy that cannot make the tunnel.", "https", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
		proxy("proxy-garbage", "A proxy that answers with nonsense.", "http", "\x05\xff"),
		proxy("proxy-garbage-tunnel", "A proxy that answers with nonsense, asked for a tunnel.", "https", "\x05\xff\r\n\r\n"),
		proxy("proxy-closes", "A proxy that closes the connection.", "http", ""),
		{name: "proxy-refused", does: "A proxy where nobody listens.", proxy: true, dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}},
		{name: "proxy-hangs", does: "A proxy that never answers.", scheme: "https", proxy: true, speak: func(_ context.Context, _ *misery, c net.Conn) {
			_, _ = io.Copy(io.Discard, c)
		}},
	}
}

// requests reads the requests of a connection that no http.Server has.
type requests struct{ r *bufio.Reader }

func newRequests(c net.Conn) requests { return requests{bufio.NewReader(c)} }

// next reads one request to its end.
func (r requests) next() error {
	req, err := http.ReadRequest(r.r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}
