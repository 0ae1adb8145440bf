package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// idleAfter is how long a connection is kept that nobody uses: less than servers wait.
const idleAfter = 30 * time.Second

// handler reads files, and keeps connections that are idle.
type handler struct {
	limits   *downloader.Limits
	settings crawl.FTPSettings
	insecure bool
	dialer   *downloader.Dialer

	mu     sync.Mutex
	idle   map[login][]*conn // Guarded by mu: of each the one that came back last is used first. nil once closed.
	ending sync.WaitGroup    // goodbyes
}

// conn is one connection, logged in. Whoever has it owns it, but for abort.
type conn struct {
	*ftp.ServerConn
	who   login
	timer *time.Timer // Ends it while it is idle.

	life context.Context // ends with the connection
	end  context.CancelFunc

	mu            sync.Mutex
	control, data net.Conn // Guarded by mu: what abort closes.
}

// dial connects and logs in. ctx governs this, and not the connection's life.
func (h *handler) dial(ctx context.Context, who login) (*conn, error) {
	c := &conn{who: who}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, c.abort)()
	// Servers want to see the session of the control connection again on its data connections, so that nobody else can pick these up: each connection
	// has a session cache of its own.
	secure := h.dialer.TLS()
	secure.ServerName, secure.NextProtos, secure.InsecureSkipVerify, secure.ClientSessionCache = who.host, nil, h.insecure, tls.NewLRUClientSessionCache(1)
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(func(network, addr string) (net.Conn, error) { return c.open(h.dialer, network, addr, secure) }),
	}
	switch who.mode {
	case explicit:
		options = append(options, ftp.DialWithExplicitTLS(secure))
	case implicit:
		options = append(options, ftp.DialWithTLS(secure))
	}
	err := c.enter(options)
	if err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

func (c *conn) enter(options []ftp.DialOption) (err error) {
	if c.ServerConn, err = ftp.Dial(c.who.addr, options...); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := c.Login(c.who.user, c.who.password); err != nil {
		return fmt.Errorf("log in as %q: %w", c.who.user, err)
	}
	return nil
}

// open makes the control connection, and after it each data connection.
func (c *conn) open(d *downloader.Dialer, network, addr string, secure *tls.Config) (net.Conn, error) {
	c.mu.Lock()
	control := c.control
	c.mu.Unlock()
	if _, nowhere := control.(nowhere); nowhere {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(c.who.host, port)
	}
	made, err := d.DialFrom(c.life, c.who.from, network, addr)
	if err != nil {
		return nil, err
	}
	if _, ok := made.RemoteAddr().(*net.TCPAddr); !ok {
		made = nowhere{made}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, errors.Join(net.ErrClosed, made.Close())
	}
	if control == nil {
		c.control = made
		made = &brief{Conn: made}
	} else {
		c.data = made
	}
	if c.who.mode == implicit || c.who.mode == explicit && control != nil {
		return tls.Client(made, secure), nil
	}
	return made, nil
}

// maxReply is how many bytes a server may say between two commands, handshakes included. The library reads a reply to its end, whatever its length.
const maxReply = 256 << 10

// brief is a control connection whose server keeps to maxReply.
type brief struct {
	net.Conn
	said atomic.Int64
}

func (b *brief) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.said.Add(int64(n)) > maxReply {
		return 0, errors.New("the server talks without end")
	}
	return n, err
}

func (b *brief) Write(p []byte) (int, error) {
	b.said.Store(0)
	return b.Conn.Write(p)
}

// nowhere is a connection of Download.Dial that is not TCP. The library wants data connections to go to the address of the control connection, since one name may be
// several servers, and needs one that looks like it.
type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// abort cuts the connection off, whatever it is doing. It may be called by anybody, more than once.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	for _, w := range []net.Conn{c.control, c.data} {
		if w != nil {
			_ = w.Close()
		}
	}
}

// take returns an idle connection, or nil.
func (h *handler) take(who login) *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	free := h.idle[who]
	if len(free) == 0 {
		return nil
	}
	c := free[len(free)-1]
	h.put(who, free[:len(free)-1])
	c.timer.Stop()
	return c
}

// put keeps a list of idle connections. mu is held.
func (h *handler) put(who login, free []*conn) {
	if len(free) == 0 {
		delete(h.idle, who)
		return
	}
	h.idle[who] = free
}

// give keeps a connection that is of use.
func (h *handler) give(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.idle == nil || c.life.Err() != nil {
		c.abort()
		return
	}
	c.timer = time.AfterFunc(idleAfter, func() { h.retire(c) })
	h.idle[c.who] = append(h.idle[c.who], c)
}

// retire ends a connection that was idle for long.
func (h *handler) retire(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	free := h.idle[c.who]
	for i, other := range free {
		if other == c {
			h.put(c.who, append(free[:i:i], free[i+1:]...))
			h.leave(c)
			return
		}
	}
}

// goodbyeWithin is how long a server has to answer a goodbye.
const goodbyeWithin = time.Second

// leave says goodbye in the background. mu is held.
func (h *handler) leave(c *conn) {
	h.ending.Go(func() {
		defer c.abort()
		_ = c.control.SetDeadline(time.Now().Add(goodbyeWithin))
		_ = c.Quit()
	})
}

// Close ends all connections: idle ones with a goodbye, the others at once.
func (h *handler) Close() error {
	h.mu.Lock()
	for _, free := range h.idle {
		for _, c := range free {
			c.timer.Stop()
			h.leave(c)
		}
	}
	h.idle = nil
	h.mu.Unlock()
	h.ending.Wait()
	return h.dialer.Close()
}
