package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"
)

const (
	// connectWithin bounds one TCP connection's set-up.
	connectWithin = 30 * time.Second
	// stalledAfter is how long a connection may move no byte while one is waited for.
	stalledAfter = time.Minute
	// drainAtMost bytes are what a server may still send on the data connection of an upload, the tickets of TLS, and drainWithin is how long it has to close its side.
	drainAtMost = 64 << 10
	drainWithin = 10 * time.Second
)

// Replies that decide what happens next (RFC 959, section 4.2).
const (
	unavailable   = 421 // the server closes the connection, or has too many
	unknown       = 500
	unimplemented = 502
	notForThis    = 504
	noFile        = 550
	allDone       = 250 // what some servers say after a transfer in place of 226
)

// conn is one connection, logged in. Whoever has taken it from the pool owns it, but for abort.
type conn struct {
	*ftp.ServerConn
	tls *tls.Config // nil: plain

	idle *time.Timer // Owned by the pool: closes the connection while it is idle.

	life context.Context // ends with the connection
	end  context.CancelFunc

	mu            sync.Mutex
	control, data net.Conn // Guarded by mu: what abort closes.
	aborted       bool     // Guarded by mu.
}

// dial connects and logs in. ctx governs this, and not the connection's life.
func dial(ctx context.Context, a address) (*conn, error) {
	c := new(conn)
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, c.abort)()
	// Servers want to see the session of the control connection again on its data connections, so that nobody else can pick these up: each connection
	// has a session cache of its own.
	secure := &tls.Config{ServerName: a.host, InsecureSkipVerify: a.insecure, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(func(network, addr string) (net.Conn, error) { return c.open(network, addr, a.mode) }),
		ftp.DialWithWritingMDTM(true),
	}
	switch a.mode {
	case explicit:
		c.tls = secure
		options = append(options, ftp.DialWithExplicitTLS(secure))
	case implicit:
		c.tls = secure
		options = append(options, ftp.DialWithTLS(secure))
	}
	err := c.enter(a, options)
	if err != nil {
		c.abort()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return c, nil
}

func (c *conn) enter(a address, options []ftp.DialOption) (err error) {
	if c.ServerConn, err = ftp.Dial(a.addr, options...); err != nil {
		doing := "connect"
		if a.mode == explicit && refused(err) {
			doing = "connect (AUTH TLS)"
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := c.Login(a.user, a.password); err != nil {
		return fmt.Errorf("log in as %q: %w", a.user, err)
	}
	return nil
}

// open makes the control connection, and after it each data connection.
func (c *conn) open(network, addr string, mode tlsMode) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.life, connectWithin)
	defer cancel()
	made, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{made}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return nil, errors.Join(net.ErrClosed, made.Close())
	}
	if c.control == nil {
		c.control = w
		if mode == implicit {
			return tls.Client(w, c.tls), nil
		}
		return w, nil
	}
	c.data = w
	if c.tls != nil {
		return &secureData{Conn: tls.Client(w, c.tls), wire: w}, nil
	}
	return w, nil
}

// abort cuts the connection off, whatever it is doing. It may be called by anybody, more than once.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	c.end()
	for _, w := range []net.Conn{c.control, c.data} {
		if w != nil {
			_ = w.Close()
		}
	}
}

// quit says goodbye.
func (c *conn) quit() {
	_ = c.Quit()
	c.abort()
}

// wire is a TCP connection that may take as long as it needs but not stand still.
type wire struct{ net.Conn }

func (w *wire) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(stalledAfter)); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

func (w *wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(stalledAfter)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// secureData is a data connection with TLS.
type secureData struct {
	*tls.Conn
	wire *wire
	sent bool // It is that of an upload.
}

func (s *secureData) Write(p []byte) (int, error) {
	s.sent = true
	return s.Conn.Write(p)
}

// Handshake is called for an upload without a byte.
func (s *secureData) Handshake() error {
	s.sent = true
	return s.Conn.Handshake()
}

// Close ends an upload so that the server gets all of it: TLS 1.3 sends tickets to the client, and a socket that is closed with something unread in it resets the connection,
// with what the server has not read yet.
func (s *secureData) Close() error {
	if !s.sent {
		return s.wire.Close()
	}
	err := s.CloseWrite()
	if half, ok := s.wire.Conn.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err == nil {
		_ = s.wire.SetReadDeadline(time.Now().Add(drainWithin))
		_, _ = io.Copy(io.Discard, io.LimitReader(s.wire.Conn, drainAtMost))
	}
	return errors.Join(err, s.wire.Close())
}

// replied returns the code that the server's reply had if err is one, else 0.
func replied(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// broken reports whether a connection is of no more use after err.
func broken(err error) bool {
	switch replied(err) {
	case unavailable:
		return true
	case 0:
		return err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errCut)
	}
	return false
}

// errCut says that the server has kept less of a file than it was sent.
var errCut = errors.New("cut short by the server")

// refused reports whether a server said no and the connection is as good as before.
func refused(err error) bool { return err != nil && !broken(err) }

// missing gives the refusal of a command on a file its meaning: there is no such file.
func missing(err error) error {
	if replied(err) == noFile {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}

// said names the command that an error is the answer to.
func said(command string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", command, err)
	}
	return err
}

// transferred is the outcome of a transfer: servers end one with 226 or with 250, and the library takes the second for an error.
func transferred(err error) error {
	if replied(err) != allDone {
		return err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 1 {
		return err
	}
	return nil
}

// upload stores what r yields.
func (c *conn) upload(name string, r io.Reader) error {
	return said("STOR", transferred(c.Stor(name, r)))
}

func (c *conn) rename(from, to string) error {
	return said("RNFR, RNTO", c.Rename(from, to))
}

func (c *conn) remove(name string) error {
	return said("DELE", c.Delete(name))
}

// info asks for a file's size and time. The time is zero if the server does not say. The error is fs.ErrNotExist if there is no such file.
func (c *conn) info(name string) (size int64, mod time.Time, err error) {
	size, err = c.FileSize(name)
	switch replied(err) {
	case unknown, unimplemented, notForThis:
		entry, mlst := c.GetEntry(name)
		if mlst != nil {
			return 0, time.Time{}, errors.Join(said("SIZE", err), said("MLST", missing(mlst)))
		}
		if entry.Type != ftp.EntryTypeFile {
			return 0, time.Time{}, fs.ErrNotExist
		}
		return int64(entry.Size), entry.Time.UTC(), nil
	}
	if err != nil {
		return 0, time.Time{}, said("SIZE", missing(err))
	}
	switch {
	case c.IsGetTimeSupported():
		mod, err = c.GetTime(name)
	case c.IsTimePreciseInList():
		var entry *ftp.Entry
		if entry, err = c.GetEntry(name); err == nil {
			mod = entry.Time
		}
	}
	var unreadable *time.ParseError
	if broken(err) && !errors.As(err, &unreadable) {
		return 0, time.Time{}, said("MDTM", err)
	}
	if err != nil {
		mod = time.Time{}
	}
	return size, mod.UTC(), nil
}

// makeFolder makes a folder, or finds it there.
func (c *conn) makeFolder(name string) error {
	err := c.MakeDir(name)
	if !refused(err) {
		return said("MKD", err)
	}
	// Servers have no common word for "it exists". All names are absolute, so that it does not matter where the connection stands.
	if there := c.ChangeDir(name); !refused(there) {
		return said("CWD", there)
	}
	return said("MKD "+name, err)
}

// enterFolder goes to a folder and returns its absolute name.
func (c *conn) enterFolder(name string) (string, error) {
	if name != "" {
		if err := c.ChangeDir(name); err != nil {
			return "", said("CWD "+name, err)
		}
	}
	here, err := c.CurrentDir()
	if err != nil {
		return "", said("PWD", err)
	}
	here = strings.ReplaceAll(here, `""`, `"`) // RFC 959, appendix II
	if !strings.HasPrefix(here, "/") {
		return "", fmt.Errorf("PWD: %q is no path with slashes", here)
	}
	return here, nil
}
