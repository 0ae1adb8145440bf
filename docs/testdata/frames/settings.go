package page

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
)

func books(map[string]string) (*crawl.Spider, error) {
	return &crawl.Spider{Name: "books", StartURLs: []string{"https://books.toscrape.com/"}}, nil
}

func TestProgram(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, cmd.Run(t.Context(), program(), []string{"settings", "--changed", "--no-config"}, &stdout, &stderr), "%s", &stderr)
	require.Regexp(t, `(?m)^download_delay +1s +program$`, stdout.String())
	require.Regexp(t, `(?m)^retry.times +4 +program$`, stdout.String())
	stdout.Reset()
	require.Equal(t, 0, cmd.Run(t.Context(), program(), []string{"list"}, &stdout, &stderr), "%s", &stderr)
	require.Contains(t, stdout.String(), "books")
	spider, err := program().Spiders["books"](nil)
	require.NoError(t, err)
	require.Equal(t, "books", spider.Name)
}
