package sink_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/sink"
)

type benched struct {
	ID    int       `json:"id"`
	URL   string    `json:"url"`
	Title string    `json:"title"`
	Price float64   `json:"price"`
	Seen  time.Time `json:"seen"`
	Tags  []string  `json:"tags"`
}

func benchedOf(i int) *benched {
	return &benched{ID: i, URL: fmt.Sprint("https://shop.example/book/", i), Title: fmt.Sprint("The book number ", i), Price: float64(i) / 100, Seen: time.Unix(int64(i), 0), Tags: []string{"a", "b"}}
}

// BenchmarkTable is the stage, with a crawl's hundred items in it at once, beside bare loops of the driver: a prepared INSERT of a row, a hundred in a transaction, and a
// hundred each on its own.
func BenchmarkTable(b *testing.B) {
	for _, on := range []func(testing.TB) *place{onSQLite, onPostgres} {
		p := on(b)
		for _, key := range [][]string{nil, {"id"}} {
			b.Run(fmt.Sprintf("%s/sink/key=%v", p.dialect, key), func(b *testing.B) {
				table := p.table()
				table.Table = fmt.Sprint("bench", tables.Add(1))
				table.Key, table.Items = key, []any{benched{}}
				env, _ := environment()
				stage, err := table.Open(b.Context(), env)
				require.NoError(b, err)
				b.ResetTimer()
				writeAll(b, stage)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
				b.StopTimer()
				require.NoError(b, stage.(interface{ Close() error }).Close())
			})
		}
		for _, together := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/bare/transaction=%d", p.dialect, together), func(b *testing.B) {
				name := fmt.Sprint("bench", tables.Add(1))
				p.exec(b, "CREATE TABLE "+name+" (id integer, url text, title text, price double precision, seen text, tags text)")
				b.ResetTimer()
				bare(b, p, name, together)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// writeAll sends b.N items in, as many at once as a crawl does.
func writeAll(b *testing.B, stage crawl.Pipeline) {
	items := make(chan int)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for i := range items {
				if _, err := stage.Process(context.Background(), benchedOf(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		items <- i
	}
	close(items)
	wg.Wait()
}

func bare(b *testing.B, p *place, name string, together int) {
	statement := "INSERT INTO " + name + " VALUES ($1, $2, $3, $4, $5, $6)"
	if p.dialect == sink.SQLite {
		statement = "INSERT INTO " + name + " VALUES (?, ?, ?, ?, ?, ?)"
	}
	prepared, err := p.db.Prepare(statement)
	require.NoError(b, err)
	defer prepared.Close()
	for i := 0; i < b.N; {
		tx, err := p.db.Begin()
		require.NoError(b, err)
		var in *sql.Stmt = tx.Stmt(prepared)
		for range min(together, b.N-i) {
			item := benchedOf(i)
			_, err := in.Exec(item.ID, item.URL, item.Title, item.Price, item.Seen.Format(time.RFC3339), `["a","b"]`)
			require.NoError(b, err)
			i++
		}
		require.NoError(b, tx.Commit())
	}
}
