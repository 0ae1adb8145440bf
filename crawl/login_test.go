package crawl_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// TestLogin goes the whole way of a login: the form with its token and the cookie that belongs to it, a redirect, a page for members, and an upload.
func TestLogin(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "7"})
		fmt.Fprint(w, `<form id=login action=/login method=post><input type=hidden name=token value=t7><input name=user><input type=password name=password><button>In</button></form>`)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		visitor, err := r.Cookie("visitor")
		if err != nil || r.FormValue("token") != "t"+visitor.Value || r.FormValue("user") != "me" || r.FormValue("password") != "p&w" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "member", Value: "me"})
		http.Redirect(w, r, "/members", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /members", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("member"); err == nil {
			fmt.Fprint(w, `<h1>Welcome</h1><form action=/photo method=post enctype=multipart/form-data><input type=file name=photo><input type=submit></form>`)
		}
	})
	mux.HandleFunc("POST /photo", func(w http.ResponseWriter, r *http.Request) {
		f, head, err := r.FormFile("photo")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, _ := io.ReadAll(f)
		fmt.Fprintf(w, "<p>%s %s</p>", head.Filename, b)
	})
	spider := &crawl.Spider{
		Name: "login", StartURLs: []string{"http://example.com/"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Request(r.Form("#login").Set("user", "me").Set("password", "p&w").Request("welcome"))
			return nil
		},
		Routes: map[string]crawl.Callback{
			"welcome": func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				out.Item(map[string]any{"text": r.Text("h1")})
				out.Request(r.Form("").SetFile("photo", crawl.FormFile{Name: "a.jpg", Data: []byte("jpeg")}).Request("done"))
				out.Request(r.Form("#signup").Request("done"))
				return nil
			},
			"done": func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				out.Item(map[string]any{"text": r.Text("p")})
				return nil
			},
		},
	}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(mux))
	require.Equal(t, []any{map[string]any{"text": "Welcome"}, map[string]any{"text": "a.jpg jpeg"}}, res.Items)
	failed := res.Log.FilterFieldKey("error").All()
	require.Len(t, failed, 1)
	require.Contains(t, fmt.Sprint(failed[0].ContextMap()), `form: no form at "#signup" on http://example.com/members: there are: <form POST http://example.com/photo>`)
}
