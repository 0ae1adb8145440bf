package crawl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestFormsAreSentAsByBrowsers holds forms against what Chromium 156 sent for them, but for two cases where it differs from the HTML standard: it encodes a formenctype of
// text/plain as the form's own, and sends what stands in a <datalist>.
func TestFormsAreSentAsByBrowsers(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/forms.json")
	require.NoError(t, err)
	var cases []struct{ Name, HTML, Click, Method, URL, Type, Body string }
	require.NoError(t, json.Unmarshal(b, &cases))
	require.Greater(t, len(cases), 25)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r := page(t, "http://127.0.0.1/dir/page?old=1", htmlUTF8, "<!doctype html>"+strings.ReplaceAll(c.HTML, "PORT", "80"))
			form := r.Form("")
			switch c.Click {
			case "":
				form.NoClick()
			case "enter":
			default:
				form.Click("#k")
			}
			req := form.Request("next")
			require.NoError(t, req.Err())
			require.Equal(t, "next", req.Route)
			require.Equal(t, c.URL, req.URL.RequestURI())
			method, body := req.Method, string(req.Body)
			if method == "" {
				method = "GET"
			}
			require.Equal(t, c.Method, method)
			kind, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
			if c.Type == "" {
				require.Nil(t, req.Header)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.Type, kind)
			if b := params["boundary"]; b != "" {
				body = strings.ReplaceAll(body, b, "BOUNDARY")
			}
			require.Equal(t, c.Body, body)
		})
	}
}

const login = `<form id=search name=s action=/search><input name=q></form>
<div class=box><form id=login name=l action=/login method=post>
<input type=hidden name=token value=t1><input name=user><input type=password name=pass><input type=checkbox name=stay value=1>
<input type=submit name=how value=In><button name=how value=Register formaction=/register>Register</button></form></div>
<form id=l><input name=other></form>`

// TestFormValues holds what becomes of values against what Chromium 156 made of them, but for colours by name, which it has begun to take.
func TestFormValues(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/formvalues.json")
	require.NoError(t, err)
	var browser struct {
		HTML string
		Want [][2]string
	}
	require.NoError(t, json.Unmarshal(b, &browser))
	require.Greater(t, len(browser.Want), 70)
	got := page(t, "http://h/", htmlUTF8, browser.HTML).Form("").Fields()
	require.Len(t, got, len(browser.Want))
	for i, want := range browser.Want {
		if want[0] == "c1" {
			want[1] = "#000000"
		}
		require.Equal(t, want, [2]string{got[i].Name, strings.ReplaceAll(got[i].Value, "\r\n", "\n")})
	}
}

// TestFormsTogether has so many forms that looking through the page for each of them would take minutes.
func TestFormsTogether(t *testing.T) {
	t.Parallel()
	const many = 20_000
	r := page(t, "http://h/", htmlUTF8, strings.Repeat("<form action=/x><input name=a value=1></form>", many))
	forms := r.Forms()
	require.Len(t, forms, many)
	for _, f := range forms {
		require.Len(t, f.Fields(), 1)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/", htmlUTF8, login)
	for _, f := range []*crawl.Form{
		r.Form("#login"), r.Form("input[type=password]"), r.Form("div.box"), r.Form("div.box *"), r.FormNamed("l"), r.FormXPath("(//form)[2]"), r.FormXPath("//input[@name='user']"),
		r.FormXPath("//input/@value"), r.Forms()[1],
	} {
		req := f.Set("user", "me").Set("pass", "a b").Request("in")
		require.NoError(t, req.Err())
		require.Equal(t, "https://example.com/login token=t1&user=me&pass=a+b&how=In", req.URL.String()+" "+string(req.Body))
	}
	require.Equal(t, `<form id="login" name="l" POST https://example.com/login>`, r.Form("#login").String())
	require.Equal(t, "other", r.FormNamed("l").Set("x").Remove("token", "user", "pass", "how").Set("other", "1").Fields()[0].Name)
	require.Len(t, r.Forms(), 3)

	f := r.Form("#login").Set("stay", "1").Set("tag", "a", "b").Remove("token").Click("[value=Register]")
	require.Equal(t, []crawl.FormField{{Name: "user"}, {Name: "pass"}, {Name: "stay", Value: "1"}, {Name: "how", Value: "Register"}, {Name: "tag", Value: "a"}, {Name: "tag", Value: "b"}}, f.Fields())
	require.Equal(t, "/register", f.Request("").URL.Path)
	require.Equal(t, "In", f.ClickNamed("how").Value("how"))
	require.Equal(t, "Register", f.ClickAt(1).Value("how"))
	require.Empty(t, f.NoClick().Value("how"))
	require.Equal(t, "t1", r.Form("#login").Value("token"))
	require.Empty(t, r.Form("#none").Value("token"))
	require.NoError(t, r.Err())

	req := r.Form("#search").Set("q", "x").Request("", crawl.With(7), func(r *crawl.Request) { r.Priority = 3 })
	require.Equal(t, "https://example.com/search?q=x", req.URL.String())
	require.Equal(t, 3, req.Priority)
	require.Equal(t, "7", string(req.Data))
}

func TestFormErrors(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/", htmlUTF8, login+`<form id=d method=dialog></form><form id=m action="mailto:a@b.c"></form><form id=j action="javascript:x()"></form>
		<form id=h action="http://[bad/"></form><button id=alone></button>`)
	there := `: there are: <form id="search" name="s" GET https://example.com/search>; <form id="login" name="l" POST https://example.com/login>; <form id="l" GET https://example.com/>; ` +
		`<form id="d" DIALOG https://example.com/>; <form id="m" GET mailto:a@b.c>; <form id="j" GET javascript:x()>; <form id="h" GET http://[bad/>`
	big := crawl.FormFile{Name: "x", Data: make([]byte, 65<<20)}
	for want, f := range map[string]*crawl.Form{
		`form: no form at "#signin" on https://example.com/` + there:                                                                         r.Form("#signin").Set("a", "b"),
		`form: no form at "#alone" on https://example.com/` + there:                                                                          r.Form("#alone"),
		`form: no form at "//i" on https://example.com/` + there:                                                                             r.FormXPath("//i"),
		`form: no form named "signin" on https://example.com/` + there:                                                                       r.FormNamed("signin").ClickAt(3),
		`form: <form id="d" DIALOG https://example.com/> on https://example.com/ closes a dialog and sends nothing`:                          r.Form("#d"),
		`form: <form id="m" GET mailto:a@b.c> on https://example.com/ is sent to mailto:, which is not followed`:                             r.Form("#m"),
		`form: <form id="j" GET javascript:x()> on https://example.com/ is sent to javascript:, which is not followed`:                       r.Form("#j"),
		`form: <form id="search" name="s" GET https://example.com/search> on https://example.com/ is sent by GET, which cannot carry a file`: r.Form("#search").SetFile("f", crawl.FormFile{Name: "a"}),
		`form: no button at ".go" in <form id="login" name="l" POST https://example.com/login> on https://example.com/: it has <input type="submit" name="how" value="In">, ` +
			`<button name="how" value="Register">Register</button>`: r.Form("#login").Click(".go"),
		`form: no button number 0 in <form id="l" GET https://example.com/> on https://example.com/: it has none`:                                                                                      r.Form("#l").ClickAt(0),
		`form: <form id="login" name="l" POST https://example.com/login> on https://example.com/: a form of 68157461 bytes: a request waits with its body in memory, and at most 67108864 are allowed`: r.Form("#login").SetFile("f", big),
	} {
		require.EqualError(t, f.Request("").Err(), want)
	}
	for _, f := range []*crawl.Form{r.Form("p["), r.FormXPath("//p["), r.Form("#login").Click("p[")} {
		require.ErrorContains(t, f.Request("").Err(), "p[")
		require.Error(t, f.Err())
		require.Nil(t, f.Fields())
	}
	require.Error(t, r.Form("#h").Request("").Err())
	require.NoError(t, r.Err(), "a form's error is the request's")

	require.EqualError(t, page(t, "https://example.com/", htmlUTF8, "<p>").Form("").Request("").Err(), "form: no form on https://example.com/: the page has no form")
	require.ErrorContains(t, page(t, "https://example.com/", "application/json", `{"a": 1}`).Form("").Request("").Err(), "page is JSON")
}

// A page's charset is that of its forms: the standard's "encoding from a list of encodings".
func TestFormCharset(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/", "text/html; charset=iso-8859-1", "<form><input name=a value='\xe9'><input type=hidden name=_charset_></form>")
	require.Equal(t, "a=%E9&_charset_=windows-1252", r.Form("").Request("").URL.RawQuery)
	r = page(t, "https://example.com/", "text/html; charset=utf-16le", "<\x00f\x00o\x00r\x00m\x00>\x00<\x00i\x00n\x00p\x00u\x00t\x00 \x00n\x00a\x00m\x00e\x00=\x00\xe9\x00>\x00")
	require.Equal(t, "%C3%A9=", r.Form("").Request("").URL.RawQuery)
	for _, unusable := range []string{"bogus", "", "iso-2022-kr"} {
		r = page(t, "https://example.com/", "text/html; charset=iso-8859-1", "<form accept-charset='"+unusable+"'><input name=a value='\xe9'></form>")
		require.Equal(t, "a=%C3%A9", r.Form("").Request("").URL.RawQuery, unusable)
	}
	r = page(t, "https://example.com/", htmlUTF8, "<form><input name=a></form>")
	require.Equal(t, "a=%EF%BF%BD", r.Form("").Set("a", "\xff").Request("").URL.RawQuery)
}

func TestMultipartRequest(t *testing.T) {
	t.Parallel()
	fields := []crawl.FormField{
		{Name: "a", Value: "1\n2"}, {Name: `q"`, Value: "é"},
		{Name: "f", File: &crawl.FormFile{Name: `x".PNG`, Type: "image/png", Data: []byte("\x89PNG\r\n\x00")}},
		{Name: "g", File: &crawl.FormFile{Name: "x.json", Data: []byte("{}")}}, {Name: "h", File: &crawl.FormFile{Name: "x"}},
	}
	req := crawl.MultipartRequest("https://example.com/up", fields, func(r *crawl.Request) { r.Route = "done" })
	require.NoError(t, req.Err())
	require.Equal(t, "POST done", req.Method+" "+req.Route)
	again := crawl.MultipartRequest("https://example.com/up", fields)
	require.Equal(t, req.Body, again.Body)
	require.Equal(t, req.Header, again.Header)
	require.NotEqual(t, req.Header, crawl.MultipartRequest("https://example.com/up", fields[1:]).Header)

	_, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	require.NoError(t, err)
	m := multipart.NewReader(strings.NewReader(string(req.Body)), params["boundary"])
	var got []string
	for {
		p, err := m.NextRawPart()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		b, err := io.ReadAll(p)
		require.NoError(t, err)
		got = append(got, fmt.Sprintf("%s|%s|%s|%q", p.FormName(), p.FileName(), p.Header.Get("Content-Type"), b))
	}
	require.Equal(t, []string{`a|||"1\r\n2"`, `q%22|||"é"`, `f|x%22.PNG|image/png|"\x89PNG\r\n\x00"`, `g|x.json|application/json|"{}"`, `h|x|application/octet-stream|""`}, got)

	bad := crawl.MultipartRequest("https://example.com/up", []crawl.FormField{{Name: "f", File: &crawl.FormFile{Name: "x", Type: "a/b\r\nX: y"}}})
	require.EqualError(t, bad.Err(), `url "https://example.com/up": the type of file "x" has a line break`)
	require.ErrorContains(t, crawl.MultipartRequest("https://example.com/", []crawl.FormField{{File: &crawl.FormFile{Data: make([]byte, 65<<20)}}}).Err(), "at most 67108864")
}

// What a browser does with an id that two elements have: the first one counts, whatever it is.
func TestFormOfAnotherID(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/", htmlUTF8, `<p id=x></p><form id=x><input name=a></form><input form=x name=b><input form=y name=c><form id=y><input name=d></form>`)
	require.Equal(t, "a=", r.Forms()[0].Request("").URL.RawQuery)
	require.Equal(t, "c=&d=", r.Forms()[1].Request("").URL.RawQuery)
}

// A form to which a file is given is multipart, and a boundary that stands in a file is not taken.
func TestFormFiles(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/", htmlUTF8, login)
	req := r.Form("#login").SetFile("photo", crawl.FormFile{Name: "a.txt", Data: []byte("x")}).Request("")
	_, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Contains(t, string(req.Body), `name="photo"; filename="a.txt"`)

	req = r.Form("#login").SetFile("photo", crawl.FormFile{Name: "a.txt", Data: []byte("x" + params["boundary"])}).Request("")
	_, other, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.NotEqual(t, params, other)
	require.Equal(t, 6, strings.Count(string(req.Body), other["boundary"]))
	require.NotContains(t, r.Form("#login").SetFile("photo").Request("").Header.Get("Content-Type"), "multipart")
}

func TestFormRequest(t *testing.T) {
	t.Parallel()
	req := crawl.FormRequest("https://example.com/login", url.Values{"user": {"me"}, "tag": {"a b", "é"}}, func(r *crawl.Request) { r.Header.Set("X", "y") })
	require.Equal(t, "POST", req.Method)
	require.Equal(t, "tag=a+b&tag=%C3%A9&user=me", string(req.Body))
	require.Equal(t, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X": {"y"}}, req.Header)
	require.Error(t, crawl.FormRequest("nowhere", nil).Err())
}

func TestJSONRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		v      any
		want   string
	}{
		{"", map[string]any{"b": 1, "a": "<é&>"}, `POST {"a":"<é&>","b":1} application/json`},
		{"PUT", struct {
			B int `json:"b"`
		}{2}, `PUT {"b":2} application/json`},
		{"GET", nil, "GET  "},
		{"", json.RawMessage(`[1, 2]`), "POST [1, 2] application/json"},
	} {
		req := crawl.JSONRequest(c.method, "https://example.com/api", c.v, func(r *crawl.Request) { r.Route = "api" })
		require.NoError(t, req.Err())
		require.Equal(t, c.want, req.Method+" "+string(req.Body)+" "+req.Header.Get("Content-Type"))
		require.Equal(t, "application/json, text/javascript, */*; q=0.01", req.Header.Get("Accept"))
		require.Equal(t, "api", req.Route)
	}
	a := crawl.JSONRequest("", "https://example.com/api", map[string]int{"a": 1, "b": 2})
	b := crawl.JSONRequest("", "https://example.com/api", map[string]int{"b": 2, "a": 1})
	require.Equal(t, a.Fingerprint(), b.Fingerprint())
	require.NotEqual(t, a.Fingerprint(), crawl.JSONRequest("", "https://example.com/api", map[string]int{"a": 1}).Fingerprint())
	require.ErrorContains(t, crawl.JSONRequest("", "https://example.com/", make(chan int)).Err(), `url "https://example.com/": body of type chan int: json: unsupported type`)
	require.ErrorContains(t, crawl.JSONRequest("", "https://example.com/", json.RawMessage("{")).Err(), "body is not JSON")
}

// A login is one statement; what is not given is sent as it stands on the page.
func ExampleForm() {
	r := savedPage("https://example.com/account", `<form id="login" action="/login" method="post">
		<input type="hidden" name="token" value="f00"> <input name="user"> <input type="password" name="password"> <button>Log in</button></form>`)

	parse := func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Request(r.Form("#login").Set("user", "me").Set("password", "open sesame").Request("welcome"))
		return nil
	}
	_ = parse // as a spider's callback

	req := r.Form("#login").Set("user", "me").Set("password", "open sesame").Request("welcome")
	fmt.Println(req, req.Route)
	fmt.Println(string(req.Body))
	fmt.Println(r.Form("#signup").Request("").Err())
	// Output:
	// <POST https://example.com/login> welcome
	// token=f00&user=me&password=open+sesame
	// form: no form at "#signup" on https://example.com/account: there are: <form id="login" POST https://example.com/login>
}

func ExampleJSONRequest() {
	req := crawl.JSONRequest("POST", "https://example.com/graphql", map[string]any{"query": "{ lamps { name } }", "variables": map[string]int{"first": 10}})
	fmt.Println(req)
	fmt.Println(string(req.Body))
	// Output:
	// <POST https://example.com/graphql>
	// {"query":"{ lamps { name } }","variables":{"first":10}}
}

// The controls of a large page are looked at once, whatever they say about their form.
func TestFormsOfLargePages(t *testing.T) {
	for name, doc := range map[string]func(n int) string{
		"by id": func(n int) string { return "<form id=f></form>" + strings.Repeat("<input form=f name=a value=1>", n) },
		"no form": func(n int) string {
			return "<form></form><table>" + strings.Repeat("<tr><td><input name=a>", n) + "</table>"
		},
		"fieldset": func(n int) string { return "<form><fieldset disabled>" + strings.Repeat("<input name=a><b>x</b>", n) },
		"buttons":  func(n int) string { return "<form>" + strings.Repeat("<button name=a>x</button>", n) },
	} {
		took := func(n int) time.Duration {
			r := page(t, "http://h/", htmlUTF8, doc(n))
			require.NotEmpty(t, r.Forms())
			begun := time.Now()
			_ = r.Form("form").Click("button, input").Fields()
			_ = r.Form("input").Request("")
			return time.Since(begun)
		}
		took(100)
		few := took(2000)
		require.Less(t, took(20_000), 40*few+200*time.Millisecond, name)
	}
}
