package sink_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline/sink"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// The site of the tests with a job: pages that link to the next ones, ten items on each.
const (
	pages        = 300
	itemsOfPages = 10
)

// links is a spider of that site.
func links() *crawl.Spider {
	return &crawl.Spider{
		Name: "links", StartURLs: []string{"http://links.test/0"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			page, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			if err != nil {
				return err
			}
			for i := range itemsOfPages {
				out.Item(&product{ID: page*itemsOfPages + i, Name: r.URL.String(), Exact: "0"})
			}
			for next := page + 1; next <= page+5 && next < pages; next++ {
				out.Follow(fmt.Sprint("/", next), "")
			}
			return nil
		},
	}
}

// TestJobKilled ends a crawl with a job by kill -9, again and again, and lets it go on: every item is in the table, once.
func TestJobKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	both(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE "+p.name+" (id integer PRIMARY KEY, name text)")
		dir := filepath.Join(t.TempDir(), "job")
		child := func(stuckAfter int) *exec.Cmd {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJobChild$", "-test.v")
			c.Env = append(os.Environ(), "TULLE_SINK_JOB="+dir, "TULLE_SINK_DRIVER="+p.driver, "TULLE_SINK_DSN="+p.dsn, "TULLE_SINK_TABLE="+p.name, fmt.Sprint("TULLE_SINK_STUCK=", stuckAfter))
			return c
		}
		for range 3 {
			c := child(pages / 5)
			out, err := c.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, c.Start())
			stuck := false
			for said := bufio.NewScanner(out); !stuck && said.Scan(); {
				stuck = said.Text() == "stuck"
			}
			require.True(t, stuck, "the crawl has ended before its site was stuck")
			require.NoError(t, c.Process.Kill())
			_ = c.Wait()
		}
		require.NotZero(t, p.count(t))
		require.Less(t, p.count(t), pages*itemsOfPages)
		out, err := child(0).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, pages*itemsOfPages, p.count(t))
	})
}

// TestJobChild is the crawl that is killed.
func TestJobChild(t *testing.T) {
	dir := os.Getenv("TULLE_SINK_JOB")
	if dir == "" {
		t.Skip("TestJobKilled calls it")
	}
	stuckAfter, err := strconv.Atoi(os.Getenv("TULLE_SINK_STUCK"))
	require.NoError(t, err)
	var asked atomic.Int64
	site := crawltest.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if stuckAfter == 0 || n <= int64(stuckAfter) {
			return
		}
		if n == int64(stuckAfter)+1 {
			fmt.Println("\nstuck")
		}
		<-r.Context().Done()
	}))
	res := crawltest.Run(t, links(), crawl.Settings{
		Job: crawl.JobSettings{Dir: dir, Attempts: -1}, Parts: crawl.Parts{Job: jobdir.Open}, Robots: crawl.RobotsSettings{Ignore: true},
		ItemPipelines: []crawl.Stage{{Pipeline: sink.Table{
			Driver: os.Getenv("TULLE_SINK_DRIVER"), DSN: os.Getenv("TULLE_SINK_DSN"), Table: os.Getenv("TULLE_SINK_TABLE"), Key: []string{"id"}, Columns: []string{"id", "name"},
		}}},
	}, site)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
}

// TestCrawlDown closes a crawl whose table goes away, as a store that is down does; its job goes on when the table is there again.
func TestCrawlDown(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		table := p.table()
		table.Key, table.Items = []string{"id"}, []any{product{}}
		settings := crawl.Settings{
			Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job")}, Parts: crawl.Parts{Job: jobdir.Open}, Robots: crawl.RobotsSettings{Ignore: true},
			ItemPipelines: []crawl.Stage{{Pipeline: table}},
		}
		var asked atomic.Int64
		gone := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if asked.Add(1) == 50 {
				p.exec(t, "DROP TABLE "+p.name)
			}
		}))
		res := crawltest.Run(t, links(), settings, gone)
		require.Equal(t, sink.ReasonDown, res.Reason)
		require.Less(t, len(res.Asked), pages)
		scraped := len(res.Items)

		res = crawltest.Run(t, links(), settings, crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		require.NoError(t, res.Err)
		require.Equal(t, "finished", res.Reason)
		require.GreaterOrEqual(t, scraped+p.count(t), pages*itemsOfPages, "what the first crawl has written was dropped with the table; everything else is there")
		require.Equal(t, len(res.Items), p.count(t))
	})
}
