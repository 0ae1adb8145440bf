package sink

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"syscall"
)

// trouble says what is to be done about an error of the database.
type trouble int

const (
	troubleRow  trouble = iota // of one row: the others may be written
	troubleBusy                // of the moment: try again
	troubleAll                 // of the table, or of what we are allowed: no row will be written
	troubleOpen                // not known
)

// judge reads an error of any driver by what the databases themselves say: PostgreSQL's SQLSTATE, SQLite's result code.
func judge(err error) trouble {
	if _, ok := errors.AsType[*rowError](err); ok {
		return troubleRow
	}
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return judgeState(state.SQLState())
	}
	if code, ok := sqliteCode(err); ok {
		return judgeCode(code & 0xff)
	}
	var netErr net.Error
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ENOENT),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr):
		return troubleBusy
	}
	return troubleOpen
}

// judgeState reads a SQLSTATE: see https://www.postgresql.org/docs/current/errcodes-appendix.html
func judgeState(state string) trouble {
	if len(state) != 5 {
		return troubleOpen
	}
	switch state {
	case "40001", "40P01", "55P03", "57014", "25006": // lost against another transaction, or a server that has become a standby
		return troubleBusy
	}
	switch state[:2] {
	case "08", "53", "57", "58":
		return troubleBusy
	case "28", "3D", "3F", "42":
		return troubleAll
	}
	return troubleRow
}

// sqliteError is the code for what has none of its own: no such table, and what functions say of a value. See attempt.
const sqliteError = 1

// judgeCode reads a primary result code of SQLite: see https://www.sqlite.org/rescode.html
func judgeCode(code int) trouble {
	switch code {
	case 18, 19, 20, 25: // TOOBIG, CONSTRAINT, MISMATCH, RANGE
		return troubleRow
	case 5, 6, 7, 8, 10, 13, 14, 15, 17: // BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN, PROTOCOL, SCHEMA
		return troubleBusy
	case sqliteError, 3, 4, 11, 23, 26: // PERM, ABORT, CORRUPT, AUTH, NOTADB
		return troubleAll
	}
	return troubleOpen
}

// sqliteCode finds the result code in a driver's error: what a method Code returns (modernc.org/sqlite), or a field Code has (mattn/go-sqlite3).
func sqliteCode(err error) (int, bool) {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code(), true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() == reflect.Struct && strings.Contains(strings.ToLower(v.Type().PkgPath()), "sqlite") {
			if f := v.FieldByName("Code"); f.IsValid() && f.CanInt() {
				return int(f.Int()), true
			}
		}
	}
	return 0, false
}

// secretsOf are the texts of a DSN that must not be seen: itself, and its password.
func secretsOf(dsn string) []string {
	if dsn == "" {
		return nil
	}
	secrets := []string{dsn}
	if u, err := url.Parse(dsn); err == nil {
		if p, ok := u.User.Password(); ok && p != "" {
			secrets = append(secrets, p, url.QueryEscape(p), url.PathEscape(p))
		}
		if p := u.Query().Get("password"); p != "" {
			secrets = append(secrets, p)
		}
	}
	if m := passwordInURL.FindStringSubmatch(dsn); m != nil {
		// As it stands there, which may be in no way that a URL can be read: what follows a slash in it is taken for something else, and what is before it for a port.
		secrets = append(secrets, m[1])
		if i := strings.IndexAny(m[1], "/?#"); i > 0 {
			secrets = append(secrets, ":"+m[1][:i])
		}
	}
	for _, m := range passwordPair.FindAllStringSubmatch(dsn, -1) {
		if p := strings.Trim(m[1], "'"); p != "" {
			secrets = append(secrets, p)
		}
	}
	return secrets
}

var (
	passwordInURL = regexp.MustCompile(`://[^/@:]*:(.+)@`)
	passwordPair  = regexp.MustCompile(`(?i)password\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)`)
)

// scrub takes the secrets out of an error's text.
func (s *stage) scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, secret := range s.secrets {
		clean = strings.ReplaceAll(clean, secret, "***")
	}
	if clean == text {
		return err
	}
	return &scrubbed{clean, err}
}

// scrubbed is an error whose text had secrets in it.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.err }
