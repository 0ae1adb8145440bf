package crawl_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func nothing(context.Context, *crawl.Response, *crawl.Out) error { return nil }

func TestSpiderValidate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spider *crawl.Spider
		want   string
	}{
		"none":             {nil, "no spider"},
		"no name":          {&crawl.Spider{StartURLs: []string{"http://a.example/"}, Parse: nothing}, "no Name"},
		"nothing to start": {&crawl.Spider{Name: "s", Parse: nothing}, "neither StartURLs nor Start"},
		"no Parse":         {&crawl.Spider{Name: "s", StartURLs: []string{"http://a.example/"}}, "no Parse"},
		"empty route": {&crawl.Spider{Name: "s", StartURLs: []string{"http://a.example/"}, Parse: nothing, Routes: map[string]crawl.Callback{"x": nil}},
			`route "x" has no function`},
		"Verify panics": {&crawl.Spider{Name: "s", StartURLs: []string{"http://a.example/"}, Parse: nothing, Verify: func(*crawl.Spider) error { panic("boom") }},
			"spider s: verify: panic: boom"},
	} {
		require.ErrorContains(t, test.spider.Validate(), test.want, name)
	}
	require.NoError(t, (&crawl.Spider{Name: "s", Start: func(context.Context, *crawl.Out) error { return nil }}).Validate())
}

func TestSpiderCallback(t *testing.T) {
	t.Parallel()
	s := &crawl.Spider{Name: "s", Routes: map[string]crawl.Callback{"b": nothing, "a": nothing}}
	cb, err := s.Callback("a")
	require.NoError(t, err)
	require.NotNil(t, cb)
	_, err = s.Callback("c")
	require.EqualError(t, err, `spider s has no route "c" (routes: a, b)`)
	_, err = s.Callback("")
	require.ErrorContains(t, err, "no Parse")
}

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, err := crawl.NewLogger(crawl.LogSettings{Level: "warn", Format: "json"}, &b)
	require.NoError(t, err)
	log.Info("quiet")
	log.Warn("loud")
	require.Equal(t, 1, strings.Count(b.String(), "\n"))
	require.Contains(t, b.String(), `"msg":"loud"`)
	_, err = crawl.NewLogger(crawl.LogSettings{Level: "noisy"}, &b)
	require.ErrorContains(t, err, "noisy")
	_, err = crawl.NewLogger(crawl.LogSettings{Format: "xml"}, &b)
	require.ErrorContains(t, err, "xml")
}
