package sink_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/sink"
)

// TestServerKilled kills the server in the middle and starts it again: nothing that was written is lost, and nothing is written twice.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	server, why := newPostgres()
	if why != "" {
		t.Skip(why)
	}
	defer server.remove()
	p := open(t, &place{dialect: sink.PostgreSQL, driver: "pgx", dsn: server.dsn()})
	table := p.table()
	table.Key, table.Items, table.Patience = []string{"id"}, []any{&product{}}, time.Minute
	s := start(t, table)
	const all, before = 3000, 1000
	done := make(chan error, all)
	busy := make(chan struct{}, 100)
	half := make(chan struct{})
	go func() {
		for i := range all {
			busy <- struct{}{}
			if i == before {
				close(half)
			}
			go func() {
				defer func() { <-busy }()
				_, err := s.Process(t.Context(), full(i))
				done <- err
			}()
		}
	}()
	<-half
	require.NoError(t, server.kill())
	require.NoError(t, server.start())
	for range all {
		require.NoError(t, <-done)
	}
	require.Equal(t, all, p.count(t))
	require.NotZero(t, s.Stats.Int("sink/retry_count/"+p.name))

	// For good.
	require.NoError(t, s.close())
	table.Patience = 300 * time.Millisecond
	s = start(t, table)
	require.NoError(t, server.kill())
	var stop *crawl.CloseSpiderError
	for _, err := range s.write(t, full(1), full(2), full(3)) {
		require.ErrorAs(t, err, &stop)
		require.Equal(t, sink.ReasonDown, stop.Reason)
	}
	require.ErrorAs(t, s.write(t, full(4))[0], &stop, "at once")
	require.Equal(t, 1, s.logs.FilterMessage("the table cannot be written to: the crawl is closed").Len())
	for _, e := range s.logs.All() {
		require.NotContains(t, fmt.Sprint(e.ContextMap()), "swordfish")
	}
}

// TestTableGone closes the crawl at the first row: no other would be written.
func TestTableGone(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		s := start(t, p.table())
		s.must(t, &size{1})
		p.exec(t, "DROP TABLE "+p.name)
		var stop *crawl.CloseSpiderError
		for _, err := range s.write(t, &size{2}, &size{3}) {
			require.ErrorAs(t, err, &stop)
		}
		require.Zero(t, s.Stats.Int("sink/retry_count/"+p.name))
	})
}

// TestBusy waits for somebody who holds the database.
func TestBusy(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	table := p.table()
	table.DSN = table.DSN[:len(table.DSN)-len("?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)")]
	table.Items = []any{size{}}
	s := start(t, table)
	tx, err := p.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO "+p.name+" VALUES (0)")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.write(t, size{1})[0] }()
	require.Eventually(t, func() bool { return s.Stats.Int("sink/retry_count/"+p.name) > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
	require.Equal(t, []string{"0", "1"}, p.rows(t, "w"))
}

type coded struct{ code int }

func (e coded) Error() string { return "coded" }
func (e coded) Code() int     { return e.code }

type stated string

func (e stated) Error() string    { return "stated" }
func (e stated) SQLState() string { return string(e) }

// TestJudge is what is done about errors of any driver.
func TestJudge(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		driver.ErrBadConn: "again", io.ErrUnexpectedEOF: "again", io.EOF: "again",
		stated("08006"): "again", stated("57P01"): "again", stated("40001"): "again", stated("53100"): "again", stated("25006"): "again", stated("55P03"): "again",
		stated("23505"): "row", stated("22P02"): "row", stated("54000"): "row", stated("P0001"): "row", stated("21000"): "row",
		stated("42P01"): "all", stated("42501"): "all", stated("28P01"): "all", stated("odd"): "ask",
		coded{5}: "again", coded{261}: "again", coded{13}: "again", coded{778}: "again", coded{1}: "all", coded{11}: "all",
		coded{19}: "row", coded{2067}: "row", coded{20}: "row", coded{99}: "ask", errors.New("what"): "ask",
	} {
		require.Equal(t, want, sink.Judge(fmt.Errorf("x: %w", err)), "%#v", err)
	}
}
