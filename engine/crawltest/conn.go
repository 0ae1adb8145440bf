package crawltest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// connPair is a connection in memory. Unlike net.Pipe's ends, its ends buffer what is written, as a kernel does: TLS and HTTP/2 write before they read.
func connPair(name addr) (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &conn{name: name, in: down, out: up}, &conn{name: name, in: up, out: down}
}

type conn struct {
	name    addr
	in, out *stream
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr         { return c.name }
func (c *conn) RemoteAddr() net.Addr        { return c.name }

// Close lets the other end read what was written, then end; what it writes fails.
func (c *conn) Close() error {
	c.out.update(func(s *stream) { s.ended = true })
	c.in.update(func(s *stream) { s.ended, s.gone = true, true })
	return nil
}

// reset ends the connection as a server does that breaks down: what was written and not yet read is lost, and the other end reads ECONNRESET.
func (c *conn) reset() {
	c.out.update(func(s *stream) {
		s.buf, s.ended, s.broken = nil, true, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	})
	_ = c.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.update(func(s *stream) { s.until(&s.readBy, &s.readTimer, t) })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.update(func(s *stream) { s.until(&s.writeBy, &s.writeTimer, t) })
	return nil
}

// maxBuffered is how much one direction holds before its writer waits.
const maxBuffered = 256 << 10

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte // Guarded by mu, as all below.
	ended   bool   // nothing more will be written
	broken  error  // what is read at the end in place of io.EOF, if not nil
	gone    bool   // the reader has left

	readBy, writeBy       time.Time
	readTimer, writeTimer *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) update(f func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.changed.Broadcast()
}

// until sets a deadline, at which those who wait look again.
func (s *stream) until(by *time.Time, timer **time.Timer, t time.Time) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	if *by = t; !t.IsZero() {
		*timer = time.AfterFunc(time.Until(t), func() { s.update(func(*stream) {}) })
	}
}

func past(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case past(s.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			if s.buf = s.buf[n:]; len(s.buf) == 0 {
				s.buf = nil
			}
			s.changed.Broadcast()
			return n, nil
		case s.ended && s.broken != nil:
			return 0, s.broken
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		switch {
		case s.gone, s.ended:
			return n, io.ErrClosedPipe
		case past(s.writeBy):
			return n, os.ErrDeadlineExceeded
		case len(s.buf) < maxBuffered:
			k := min(len(b), maxBuffered-len(s.buf))
			s.buf = append(s.buf, b[:k]...)
			b, n = b[k:], n+k
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
	return n, nil
}
