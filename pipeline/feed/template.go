package feed

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// uriTemplate is a feed's URI with variables in it, as Scrapy writes them: those of Python's % operator.
type uriTemplate struct {
	text   string
	values map[string]string // all that are the same for the whole crawl
	// batched says that two batches have two names, and varies that the name is not the text.
	batched, varies bool
}

// variable is one in a URI: its name, zeros and a width, and a letter. %%( is the text %(.
var variable = regexp.MustCompile(`%%\(|%\(([^()]*)\)(?:(0\d{1,2})?([a-zA-Z]))?|%\(`)

const (
	timeForm  = "2006-01-02T15-04-05"
	batchForm = "2006-01-02T15-04-05.000000"
)

// newTemplate checks a URI. began is when the crawl began.
func newTemplate(conf *crawl.Feed, env *crawl.Env, began time.Time) (*uriTemplate, error) {
	t := &uriTemplate{text: conf.URI, values: make(map[string]string)}
	maps.Copy(t.values, env.Settings.Job.Identity)
	maps.Copy(t.values, conf.Params)
	if env.Spider != nil {
		t.values["name"] = env.Spider.Name
	}
	t.values["time"] = began.UTC().Format(timeForm)
	for _, m := range variable.FindAllStringSubmatch(conf.URI, -1) {
		if m[0] == "%%(" {
			t.varies = true
			continue
		}
		name, width, verb := m[1], m[2], m[3]
		_, known := t.values[name]
		switch {
		case name == "" || verb == "":
			return nil, fmt.Errorf("%q in the URI is no variable: want %%(name)s, or %%(batch_id)d for a number; a plain %%( is written %%%%(", m[0])
		case name == "batch_id" && (verb == "d" || verb == "s" && width == ""), name == "batch_time" && verb == "s" && width == "":
			t.batched = true
		case name == "batch_id" || name == "batch_time" || known && (verb != "s" || width != ""):
			return nil, fmt.Errorf("%q in the URI: want %%(%s)s, and digits only in %%(batch_id)05d", m[0], name)
		case !known:
			return nil, fmt.Errorf("the URI has a variable %q that nobody knows; there are %s", name, strings.Join(t.names(), ", "))
		}
		t.varies = true
	}
	batches := conf.BatchItems > 0 || conf.BatchTime > 0
	switch {
	case batches && !t.batched:
		return nil, errors.New("a feed in batches needs a name for each: put %(batch_id)d or %(batch_time)s into the URI")
	case t.batched && !batches:
		return nil, errors.New("the URI has a batch in it, but the feed has no batches: set batch_items or batch_time")
	}
	return t, nil
}

func (t *uriTemplate) names() []string {
	list := slices.Collect(maps.Keys(t.values))
	list = append(list, "batch_id", "batch_time")
	slices.Sort(list)
	return slices.Compact(list)
}

// uri is the URI of a batch that begins now.
func (t *uriTemplate) uri(batch int, now time.Time) string {
	return variable.ReplaceAllStringFunc(t.text, func(s string) string {
		m := variable.FindStringSubmatch(s)
		switch m[1] {
		case "":
			return "%("
		case "batch_time":
			return now.UTC().Format(batchForm)
		case "batch_id":
			width, _ := strconv.Atoi(m[2])
			return fmt.Sprintf("%0*d", width, batch)
		}
		return t.values[m[1]]
	})
}

// fixed is the part of a URI, up to a slash, that is the same for all batches.
func (t *uriTemplate) fixed(uri string) string {
	if t.batched {
		for _, m := range variable.FindAllStringIndex(t.text, -1) {
			if strings.HasPrefix(t.text[m[0]:], "%(batch_") {
				head := uriTemplate{text: t.text[:m[0]], values: t.values}
				uri = head.uri(0, time.Time{})
				break
			}
		}
	}
	return uri[:strings.LastIndexByte(uri, '/')+1]
}
