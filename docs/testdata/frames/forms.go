package page

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

const form = `<form id="login" action="/in" method="post"><input type="hidden" name="token" value="t"><input name="user"><input type="password" name="password"></form>`

func parseBook(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	out.Item(map[string]any{"title": r.Text("h1")})
	return nil
}

func TestLogin(t *testing.T) {
	t.Setenv("SHOP_PASSWORD", "swordfish")
	called := works(t, login, "https://example.com/login", form)
	require.Equal(t, []string{"welcome https://example.com/in"}, addresses(called.Requests))
	sent, err := url.ParseQuery(string(called.Requests[0].Body))
	require.NoError(t, err)
	require.Equal(t, url.Values{"token": {"t"}, "user": {"me"}, "password": {"swordfish"}}, sent)

	// A page without the form: the error says which there are.
	called = crawltest.Call(t, login, "https://example.com/login", []byte(`<form id="search"></form>`))
	require.ErrorContains(t, called.Err, "search")
}

func TestLoginFirst(t *testing.T) {
	shop := func() crawltest.Site {
		return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := r.Cookie("session")
			in := c != nil && c.Value == "me"
			switch r.URL.Path {
			case "/login":
				_, _ = io.WriteString(w, form)
			case "/in":
				if r.FormValue("password") == "swordfish" {
					http.SetCookie(w, &http.Cookie{Name: "session", Value: r.FormValue("user")})
					_, _ = io.WriteString(w, `<a class="logout" href="/out">Log out</a><a class="order" href="/orders/1">1</a>`)
				}
			case "/orders/1":
				if in {
					_, _ = io.WriteString(w, "<h1>A lamp</h1>")
				}
			default:
				http.NotFound(w, r)
			}
		}))
	}
	spider, settings, err := loginFirst(t.Context(), &crawl.Spider{Name: "orders"}, crawl.Settings{})
	require.NoError(t, err)
	t.Setenv("SHOP_PASSWORD", "swordfish")
	require.Equal(t, []any{map[string]any{"title": "A lamp"}}, crawltest.Run(t, spider, settings, shop()).Items)
	t.Setenv("SHOP_PASSWORD", "")
	require.Equal(t, "the login failed", crawltest.Run(t, spider, settings, shop()).Reason)
}
