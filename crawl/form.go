package crawl

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/encoding"
)

// A Form is a form on a page, to be filled in and sent as a browser would send it. Its methods return it, so that a login is one statement:
//
//	out.Request(r.Form("#login").Set("user", "me").Set("password", "secret").Request("welcome"))
//
// What goes wrong, a form that is not there above all, is kept: it becomes the error of the request that [Form.Request] makes, and so the callback's. A Form is for one
// goroutine.
type Form struct {
	page *Response
	node *html.Node // nil if there is an error
	err  error

	set    map[string][]FormField // by name; none takes the field out
	order  []string               // the names that were set, in that order
	button *html.Node             // what was clicked
	none   bool                   // nothing is clicked
	files  bool                   // there is a file among what was set

	ofPage  *formPage                 // shared by those that Forms returned together; else nil until it is wanted
	legends map[*html.Node]*html.Node // the first one of each fieldset that was asked about
}

// Form is the form that a CSS selector matches, else the form of the first element it matches, else the first form within that: "#login", "form[name=search]",
// "input[type=password]", "div.login". "" is the page's first form.
func (r *Response) Form(selector string) *Form {
	if selector == "" {
		return r.form(r.formNodes(), "no form")
	}
	if _, err := r.Selectors.compileCSS(selector); err != nil {
		return &Form{page: r, err: err}
	}
	return r.form(r.CSS(selector).Nodes, fmt.Sprintf("no form at %q", selector))
}

// FormXPath is Form for an XPath expression.
func (r *Response) FormXPath(expr string) *Form {
	if _, err := r.Selectors.compileXPath(expr); err != nil {
		return &Form{page: r, err: err}
	}
	var nodes []*html.Node
	for _, n := range r.XPath(expr) {
		nodes = append(nodes, n.Node)
	}
	return r.form(nodes, fmt.Sprintf("no form at %q", expr))
}

// FormNamed is the form with a name, or if none has it, with an id.
func (r *Response) FormNamed(name string) *Form {
	var found []*html.Node
	for _, attr := range [...]string{"name", "id"} {
		for _, n := range r.formNodes() {
			if v, ok := nodeAttr(n, attr); ok && v == name {
				found = append(found, n)
			}
		}
	}
	return r.form(found, fmt.Sprintf("no form named %q", name))
}

// Forms are the page's forms, in its order.
func (r *Response) Forms() []*Form {
	var all []*Form
	shared := r.newFormPage()
	for _, n := range r.formNodes() {
		all = append(all, &Form{page: r, node: n, ofPage: shared})
	}
	return all
}

func (r *Response) formNodes() []*html.Node {
	var all []*html.Node
	root := r.document().doc.Nodes[0]
	for n := root; n != nil; n = following(n) {
		if n.Type == html.ElementNode && n.DataAtom == atom.Form {
			all = append(all, n)
		}
	}
	return all
}

// form is that of the first node that has one.
func (r *Response) form(nodes []*html.Node, otherwise string) *Form {
	if owner := r.ownerOf(nodes); owner != nil {
		return &Form{page: r, node: owner}
	}
	if err := r.Err(); err != nil && len(nodes) == 0 {
		return &Form{page: r, err: err}
	}
	var there []string
	for i, f := range r.Forms() {
		if i == 10 {
			there = append(there, "…")
			break
		}
		there = append(there, f.String())
	}
	list := "the page has no form"
	if len(there) > 0 {
		list = "there are: " + strings.Join(there, "; ")
	}
	return &Form{page: r, err: fmt.Errorf("%s on %s: %s", otherwise, r.URL, list)}
}

// String is for logs and errors: <form id="login" name="l" POST https://example.com/login>.
func (f *Form) String() string {
	if f.node == nil {
		return "<no form>"
	}
	s := "<form"
	for _, attr := range [...]string{"id", "name"} {
		if v, ok := nodeAttr(f.node, attr); ok {
			s += fmt.Sprintf(" %s=%q", attr, v)
		}
	}
	action, _ := nodeAttr(f.node, "action")
	if u, err := f.target(action); err == nil {
		action = Redacted(u)
	}
	return s + " " + strings.ToUpper(cmp.Or(methodOf(f.node, "method"), "get")) + " " + action + ">"
}

// Err is what is wrong with the form so far: it is not there, or what was to be clicked is not.
func (f *Form) Err() error { return f.err }

func (f *Form) fail(err error) *Form {
	if f.err == nil {
		f.err = err
	}
	return f
}

// Set gives a field its values, in place of those that it has on the page; also a field that is disabled, not checked, or not there. No value takes the field out.
func (f *Form) Set(name string, values ...string) *Form {
	fields := make([]FormField, len(values))
	for i, v := range values {
		fields[i] = FormField{Name: name, Value: v}
	}
	return f.put(name, fields)
}

// Remove takes fields out, as if they were not in the form.
func (f *Form) Remove(names ...string) *Form {
	for _, name := range names {
		f.put(name, nil)
	}
	return f
}

// SetFile gives a field files. A form that is sent by POST and has files set is multipart/form-data, whatever it says itself.
func (f *Form) SetFile(name string, files ...FormFile) *Form {
	fields := make([]FormField, len(files))
	for i := range files {
		file := files[i]
		fields[i] = FormField{Name: name, File: &file}
	}
	f.files = f.files || len(files) > 0
	return f.put(name, fields)
}

func (f *Form) put(name string, fields []FormField) *Form {
	if f.set == nil {
		f.set = make(map[string][]FormField)
	}
	if _, ok := f.set[name]; !ok {
		f.order = append(f.order, name)
	}
	f.set[name] = fields
	return f
}

// Click sends the form by the button that a CSS selector matches first among the form's buttons. Without a Click it is the first one that is not disabled, as when the
// Enter key is pressed. A button's name and value are sent, and its formaction, formmethod and formenctype hold.
func (f *Form) Click(selector string) *Form {
	if f.err != nil {
		return f
	}
	if _, err := f.page.Selectors.compileCSS(selector); err != nil {
		return f.fail(err)
	}
	matched := make(map[*html.Node]bool)
	for _, n := range f.page.CSS(selector).Nodes {
		matched[n] = true
	}
	return f.click(func(_ int, n *html.Node) bool { return matched[n] }, fmt.Sprintf("no button at %q", selector))
}

// ClickNamed sends the form by the first button with a name.
func (f *Form) ClickNamed(name string) *Form {
	return f.click(func(_ int, n *html.Node) bool { return attrOf(n, "name") == name }, fmt.Sprintf("no button named %q", name))
}

// ClickAt sends the form by one of its buttons, the first being 0.
func (f *Form) ClickAt(i int) *Form {
	return f.click(func(at int, _ *html.Node) bool { return at == i }, fmt.Sprintf("no button number %d", i))
}

// NoClick sends the form as a script does, by no button.
func (f *Form) NoClick() *Form {
	f.button, f.none = nil, true
	return f
}

func (f *Form) click(fits func(i int, n *html.Node) bool, otherwise string) *Form {
	if f.err != nil {
		return f
	}
	var there []string
	for i, n := range f.buttons() {
		if fits(i, n) {
			f.button, f.none = n, false
			return f
		}
		switch {
		case i < 10:
			there = append(there, startTag(n))
		case i == 10:
			there = append(there, "…")
		}
	}
	list := "it has none"
	if len(there) > 0 {
		list = "it has " + strings.Join(there, ", ")
	}
	return f.fail(fmt.Errorf("%s in %s on %s: %s", otherwise, f, f.page.URL, list))
}

// startTag is an element for an error.
func startTag(n *html.Node) string {
	s := "<" + n.Data
	for _, a := range n.Attr {
		if slices.Contains([]string{"type", "name", "value", "id", "class"}, a.Key) {
			s += fmt.Sprintf(" %s=%q", a.Key, a.Val)
		}
	}
	if t := nodeText(n, true); t != "" {
		return s + ">" + t + "</" + n.Data + ">"
	}
	return s + ">"
}

// Fields are what the form would send now, in its order. They are nil if the form is not there.
func (f *Form) Fields() []FormField {
	if f.err != nil {
		return nil
	}
	_, name := f.charset()
	return f.entries(f.submitter(), name)
}

// Value is the first value that a field would send now, "" if it is not sent.
func (f *Form) Value(name string) string {
	for _, field := range f.Fields() {
		if field.Name == name {
			return field.value()
		}
	}
	return ""
}

// Request is the request that sends the form, by the rules of the HTML standard for browsers. route names the callback, "" being Parse. The form may be changed and
// sent again.
func (f *Form) Request(route string, with ...func(*Request)) *Request {
	req, err := f.request()
	if err != nil {
		req = &Request{bad: &unusable{err: fmt.Errorf("form: %w", err)}}
	}
	req = withRoute(req, route, with)
	if f.err == nil {
		req.obey(elementPolicy(f.node))
	}
	return req
}

func (f *Form) request() (*Request, error) {
	if f.err != nil {
		return nil, f.err
	}
	button := f.submitter()
	method, kind, action := f.how(button)
	u, err := f.target(action)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", f, f.page.URL, err)
	}
	switch {
	case method == "dialog":
		return nil, fmt.Errorf("%s on %s closes a dialog and sends nothing", f, f.page.URL)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s on %s is sent to %s:, which is not followed", f, f.page.URL, u.Scheme)
	case f.files && method != "post":
		return nil, fmt.Errorf("%s on %s is sent by GET, which cannot carry a file", f, f.page.URL)
	}
	enc, name := f.charset()
	fields := f.entries(button, name)
	if method != "post" {
		target := *u
		target.RawQuery, target.ForceQuery = urlEncoded(fields, enc), len(fields) == 0
		return &Request{URL: &target}, nil
	}
	req := &Request{URL: u, Method: http.MethodPost}
	switch {
	case kind == typeMultipart || f.files:
		if req.Body, kind, err = multipart(fields, enc); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", f, f.page.URL, err)
		}
	case kind == typePlain:
		req.Body = []byte(plainText(fields, enc))
	default:
		req.Body, kind = []byte(urlEncoded(fields, enc)), typeURLEncoded
	}
	req.Header = http.Header{"Content-Type": {kind}}
	return req, nil
}

// how the form is sent: as it says, or the button by which it is sent.
func (f *Form) how(button *html.Node) (method, kind, action string) {
	method, kind = methodOf(f.node, "method"), strings.ToLower(attrOf(f.node, "enctype"))
	action = attrOf(f.node, "action")
	if button != nil {
		if _, ok := nodeAttr(button, "formmethod"); ok {
			method = methodOf(button, "formmethod")
		}
		if v, ok := nodeAttr(button, "formenctype"); ok {
			kind = strings.ToLower(v)
		}
		if v, ok := nodeAttr(button, "formaction"); ok {
			action = v
		}
	}
	return method, kind, action
}

// methodOf is "post", "dialog" or "get", which all else is.
func methodOf(n *html.Node, name string) string {
	switch m := strings.ToLower(attrOf(n, name)); m {
	case "post", "dialog":
		return m
	}
	return "get"
}

func attrOf(n *html.Node, name string) string {
	v, _ := nodeAttr(n, name)
	return v
}

// target is where an action leads. An empty one is the page's own address, not its base.
func (f *Form) target(action string) (*url.URL, error) {
	if action == "" {
		if f.page.URL == nil {
			return nil, errors.New("the response has no URL")
		}
		u := *f.page.URL
		return &u, nil
	}
	return resolve(f.page.document().base, action)
}

// charset that the form is sent in: the first of accept-charset that is one, UTF-8 if none of them is, and the page's without it. What would be UTF-16 is UTF-8.
func (f *Form) charset() (enc encoding.Encoding, name string) {
	if labels, ok := nodeAttr(f.node, "accept-charset"); ok {
		for label := range strings.FieldsSeq(labels) {
			if enc, name := lookup(label); name != "" {
				return formCharset(enc, name)
			}
		}
		return nil, "UTF-8"
	}
	return f.shared().charset()
}

func formCharset(enc encoding.Encoding, name string) (encoding.Encoding, string) {
	if enc == nil || name == "other" || strings.HasPrefix(name, "utf-16") {
		return nil, "UTF-8"
	}
	return enc, name
}
