package sink_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	_ "modernc.org/sqlite"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/sink"
)

// shared is the server of all tests that do not hurt theirs.
var shared struct {
	sync.Once
	server *postgres
	why    string // there is none
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if shared.server != nil {
			shared.server.remove()
		}
		os.Exit(code)
	}))
}

// postgres is a server of our own, on a socket in a folder of its own.
type postgres struct {
	dir, bin string
	as       *syscall.SysProcAttr // nil: who we are
}

// newPostgres makes a server, and starts it. why says what is missing.
func newPostgres() (p *postgres, why string) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, "there is no PostgreSQL: install Debian's postgresql"
	}
	slices.Sort(found)
	p = &postgres{bin: filepath.Dir(found[len(found)-1])}
	var err error
	if p.dir, err = os.MkdirTemp("", "tulle-pg"); err != nil {
		return nil, err.Error()
	}
	if os.Getuid() == 0 {
		// PostgreSQL refuses to be root's.
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return nil, err.Error()
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		p.as = asUser(uid, gid)
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return nil, err.Error()
		}
	}
	if err := p.command("initdb", "-D", p.dir+"/data", "-U", "tulle", "-A", "trust", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"); err != nil {
		return nil, err.Error()
	}
	if err := p.start(); err != nil {
		return nil, err.Error()
	}
	return p, ""
}

func (p *postgres) command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	c.Dir = p.dir
	c.SysProcAttr = p.as
	// The server would hold a pipe of ours open.
	out, err := os.CreateTemp("", "tulle-pg-out")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	if err := c.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil
}

func (p *postgres) start() error {
	return p.command("pg_ctl", "-D", p.dir+"/data", "-w", "-l", p.dir+"/log", "-o", "-k "+p.dir+" -c listen_addresses= -c fsync=off -c max_connections=50", "start")
}

// kill is kill -9, as far as those who are connected are concerned.
func (p *postgres) kill() error {
	return p.command("pg_ctl", "-D", p.dir+"/data", "-w", "-m", "immediate", "stop")
}

func (p *postgres) remove() {
	_ = p.kill()
	_ = os.RemoveAll(p.dir)
}

func (p *postgres) dsn() string {
	return "host=" + p.dir + " user=tulle dbname=postgres password=swordfish sslmode=disable"
}

// place is a database that a test writes to.
type place struct {
	dialect     sink.Dialect
	driver, dsn string
	db          *sql.DB // a look at it from outside
	name        string  // a table that nobody else has
}

// both runs a test on PostgreSQL and SQLite.
func both(t *testing.T, f func(t *testing.T, p *place)) {
	t.Helper()
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		f(t, onSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		f(t, onPostgres(t))
	})
}

func onSQLite(t testing.TB) *place {
	t.Helper()
	return open(t, &place{dialect: sink.SQLite, driver: "sqlite", dsn: "file:" + filepath.Join(t.TempDir(), "items.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)"})
}

func onPostgres(t testing.TB) *place {
	t.Helper()
	shared.Do(func() { shared.server, shared.why = newPostgres() })
	if shared.why != "" {
		t.Skip(shared.why)
	}
	return open(t, &place{dialect: sink.PostgreSQL, driver: "pgx", dsn: shared.server.dsn()})
}

var tables atomic.Int64

func open(t testing.TB, p *place) *place {
	t.Helper()
	db, err := sql.Open(p.driver, p.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	p.db, p.name = db, fmt.Sprintf("items%d", tables.Add(1))
	return p
}

// table is a description for the place.
func (p *place) table() sink.Table {
	return sink.Table{Driver: p.driver, DSN: p.dsn, Table: p.name, Create: true, Patience: 20 * time.Second}
}

func (p *place) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := p.db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// rows are the table's, each as texts, in order.
func (p *place) rows(t testing.TB, columns string) []string {
	t.Helper()
	rows, err := p.db.QueryContext(t.Context(), "SELECT "+columns+" FROM "+p.name+" ORDER BY 1")
	require.NoError(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	var all []string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		line := ""
		for i, v := range values {
			if i > 0 {
				line += " | "
			}
			if v.Valid {
				line += v.String
			} else {
				line += "NULL"
			}
		}
		all = append(all, line)
	}
	require.NoError(t, rows.Err())
	return all
}

func (p *place) count(t testing.TB) (n int) {
	t.Helper()
	require.NoError(t, p.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+p.name).Scan(&n))
	return n
}

func environment() (*crawl.Env, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return &crawl.Env{Spider: &crawl.Spider{Name: "shop"}, Settings: &crawl.Settings{}, Stats: crawl.NewStats(), Log: zap.New(core)}, logs
}

// stage is an open table.
type stage struct {
	crawl.Pipeline
	*crawl.Env
	logs *observer.ObservedLogs
}

func start(t testing.TB, table sink.Table) *stage {
	t.Helper()
	env, logs := environment()
	p, err := table.Open(t.Context(), env)
	require.NoError(t, err)
	s := &stage{p, env, logs}
	t.Cleanup(func() { require.NoError(t, s.close()) })
	return s
}

func (s *stage) close() error { return s.Pipeline.(interface{ Close() error }).Close() }

// write sends items in all at once, and returns their errors.
func (s *stage) write(t testing.TB, items ...any) []error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() {
			out, err := s.Process(t.Context(), item)
			if err == nil && fmt.Sprintf("%p", out) != fmt.Sprintf("%p", item) {
				err = errors.New("another item came back")
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errs
}

// must sends items one by one.
func (s *stage) must(t testing.TB, items ...any) {
	t.Helper()
	for _, item := range items {
		require.NoError(t, s.write(t, item)[0])
	}
}
