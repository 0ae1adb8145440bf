package page

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestRendered(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<main></main><script>setTimeout(() => document.querySelector("main").innerHTML = "<article class=result>A lamp</article>", 200)</script>`)
	}))
	defer server.Close()
	var got string
	spider := &crawl.Spider{Name: "lamps", StartURLs: []string{server.URL}, Parse: rendered, Routes: map[string]crawl.Callback{
		"results": func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			got = r.Text("article.result")
			return nil
		},
	}}
	_, settings, err := linksBrowser(t.Context(), spider, crawl.Settings{})
	require.NoError(t, err)
	require.NotNil(t, settings.Parts.Renderer)

	called := works(t, rendered, "https://example.com/", "")
	require.Equal(t, []string{"results https://example.com/search?q=lamp"}, addresses(called.Requests))
	require.Equal(t, "article.result", called.Requests[0].Knobs.Render.WaitFor)
	if _, err := exec.LookPath("chromium-headless-shell"); err != nil {
		t.Skip("there is no browser to render a page with")
	}
	_, err = quiet(t.Context(), spider, settings)
	require.NoError(t, err)
	require.Equal(t, "A lamp", got)
}
