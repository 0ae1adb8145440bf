package pipeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// askedFor are the requests that arrived at the site for a URL.
func (s *shop) askedFor(url string) []crawltest.Asked {
	var list []crawltest.Asked
	for _, a := range s.site.Asked() {
		if a.URL == url {
			list = append(list, a)
		}
	}
	return list
}

// withKnobs is a request with knobs.
func withKnobs(url string, k crawl.Knobs) *crawl.Request {
	req := crawl.Get(url)
	req.Knobs = &k
	return req
}

// slowly answers after a while, if anybody is still there.
func slowly(d time.Duration, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			next(w, r)
		case <-r.Context().Done():
		}
	}
}

func TestRowsOfLimits(t *testing.T) {
	t.Parallel()

	t.Run("D1 media passes neither the queue nor the spider's middlewares", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.settings.Depth.Limit, s.settings.URLLength.Limit = 1, 40
		item := withFiles("/a", "/a", "/a?"+strings.Repeat("x", 40))
		v := s.crawl(item)
		require.Len(t, filesOf(item), 3)
		require.Len(t, v.Requests, 1)
		require.EqualValues(t, 1, v.Stats.Int("scheduler/enqueued"))
		require.Zero(t, v.Stats.Int("dupefilter/filtered"))
		require.Empty(t, s.askedFor(media + "/a")[0].Header.Get("Referer"))
	})

	t.Run("D2 media leaves ahead of every page that waits at its host", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/pic": sayText("pic")})
			s.settings.ConcurrentPerHost = 1
			held := s.site.Hold("/first")
			s.spider.Parse = func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				if r.URL.Path != "/page" {
					return nil
				}
				out.Follow("/first", "")
				held.Wait()
				out.Request(&crawl.Request{URL: r.URL.JoinPath("../second"), Priority: 1000})
				out.Item(withFiles("http://shop.example/pic"))
				return nil
			}
			_, wait := s.start()
			synctest.Wait()
			held.Release()
			v := wait()
			require.Equal(t, []string{pageURL, "http://shop.example/first", "http://shop.example/pic", "http://shop.example/second"}, v.Asked)
		})
	})

	t.Run("D2 media leaves while pages wait for their callbacks", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a")})
			s.settings.ConcurrentRequests, s.settings.ConcurrentCallbacks = 2, 1
			s.spider.StartURLs = []string{pageURL + "1", pageURL + "2", pageURL + "3", pageURL + "4", pageURL + "5"}
			held := s.site.Hold("/a")
			var once sync.Once
			s.spider.Parse = func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				once.Do(func() {
					time.Sleep(time.Minute) // The others are there now.
					out.Item(withFiles("/a"))
					held.Wait()
					held.Release()
				})
				return nil
			}
			require.Len(t, s.crawl().Asked, 6)
		})
	})

	t.Run("D3 a hundred URLs on a hundred hosts keep to ConcurrentRequests", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": slowly(time.Second, sayText("a"))})
			s.settings.Robots.Ignore = true
			urls := make([]string, 100)
			for i := range urls {
				urls[i] = fmt.Sprintf("http://cdn%d.example/a", i)
			}
			item := withFiles(urls...)
			s.crawl(item)
			require.Len(t, filesOf(item), 100)
			require.Equal(t, 16, s.site.MostAtOnce(""))
		})
	})

	t.Run("D4 a hundred URLs on one host keep to ConcurrentPerHost, and to its delay", func(t *testing.T) {
		t.Parallel()
		for _, delay := range []time.Duration{0, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, answers{"/a": slowly(time.Second, sayText("a"))})
				s.settings.DownloadDelay, s.settings.FixedDelay = delay, true
				urls := make([]string, 100)
				for i := range urls {
					urls[i] = fmt.Sprintf("/a?%d", i)
				}
				item := withFiles(urls...)
				s.crawl(item)
				require.Len(t, filesOf(item), 100)
				if delay == 0 {
					require.Equal(t, 8, s.site.MostAtOnce("cdn.example"))
				}
				arrivals := s.site.Arrivals("cdn.example")
				for i := range arrivals[1:] {
					require.GreaterOrEqual(t, arrivals[i+1].Sub(arrivals[i]), delay)
				}
			})
		}
	})

	t.Run("D17 a stop waits for the media of items, also for what has not left yet, and for the items", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
			s.settings.ConcurrentPerHost = 1
			held := s.site.Hold("/a")
			item := withFiles("/a", "/b")
			e, wait := s.start(item)
			held.Wait()
			e.Stop("enough")
			synctest.Wait()
			held.Release()
			v := wait()
			require.Equal(t, "enough", v.Reason)
			require.Len(t, v.Items, 1)
			require.Len(t, filesOf(item), 2)
		})
	})
}

func TestRowsOfAnswers(t *testing.T) {
	t.Parallel()

	t.Run("D5 V1 every 2xx with a body is a success, a redirect is not followed", func(t *testing.T) {
		t.Parallel()
		site := answers{"/moved": sayMoved("/200"), "/200": sayText("ok")}
		paths := []string{"/200", "/moved"}
		for _, code := range []int{201, 202, 203, 207, 299, 300, 304, 400, 401, 403, 404, 410, 501} {
			path := fmt.Sprintf("/%d", code)
			paths = append(paths, path)
			site[path] = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				if code != http.StatusNotModified {
					fmt.Fprint(w, "a body")
				}
			}
		}
		s := newShop(t, site)
		item := withFiles(paths...)
		v := s.crawl(item)
		require.Len(t, filesOf(item), 6)
		require.Len(t, v.Failures, len(paths)-6)
		for _, f := range v.Failures {
			if strings.HasSuffix(f.URL, "/moved") {
				require.Equal(t, pipeline.KindRedirect, f.Kind)
				require.Equal(t, http.StatusFound, f.Status)
				require.ErrorContains(t, f, "redirected to /200 (set media.allow_redirects)")
				continue
			}
			require.Equal(t, pipeline.KindStatus, f.Kind)
			require.Equal(t, media+fmt.Sprintf("/%d", f.Status), f.URL)
		}
	})

	t.Run("D5 Media.Statuses narrows and widens what is a success", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/created": sayStatus(http.StatusCreated), "/gone": sayStatus(http.StatusGone), "/a": sayText("a")})
		s.settings.Media.Statuses = []int{200, 410}
		item := withFiles("/created", "/gone", "/a")
		v := s.crawl(item)
		require.Len(t, filesOf(item), 2)
		require.Equal(t, http.StatusCreated, v.Failures[0].Status)
	})

	t.Run("D5 D6 a redirect that would not be followed in any case says so", func(t *testing.T) {
		t.Parallel()
		for _, allow := range []bool{false, true} {
			s := newShop(t, answers{"/file": sayMoved("file:///etc/passwd"), "/own": sayMoved("/elsewhere")})
			s.settings.Media.AllowRedirects = allow
			s.files.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) {
				return []*crawl.Request{crawl.Get(media + "/file"), withKnobs(media+"/own", crawl.Knobs{DontRedirect: true})}, nil
			}
			v := s.crawl(map[string]any{})
			require.Len(t, v.Failures, 2)
			for _, f := range v.Failures {
				require.Equal(t, pipeline.KindRedirect, f.Kind)
				says := "status 302: redirected to file:///etc/passwd: only http and https are followed"
				if strings.HasSuffix(f.URL, "/own") {
					says = "status 302: redirected to /elsewhere" + map[bool]string{false: " (set media.allow_redirects)", true: ", which is not followed"}[allow]
				}
				require.EqualError(t, f.Err, says)
			}
		}
	})

	t.Run("D6 D7 Media.AllowRedirects follows them, and the result is the original request's", func(t *testing.T) {
		t.Parallel()
		site := answers{"/target": sayText("target"), "/lost": sayMoved("/nowhere")}
		paths := []string{"/lost"}
		for _, code := range []int{301, 302, 303, 307, 308} {
			path := fmt.Sprintf("/%d", code)
			paths = append(paths, path)
			site[path] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/target?"+r.URL.Path, code) }
		}
		s := newShop(t, site)
		s.settings.Media.AllowRedirects = true
		item := withFiles(paths...)
		v := s.crawl(item)
		files := filesOf(item)
		require.Len(t, files, 5)
		for i, path := range paths[1:] {
			require.Equal(t, media+path, files[i].URL)
			require.Equal(t, media+"/target?"+path, files[i].FinalURL)
			require.Equal(t, sha1Name(media+path), files[i].Path)
		}
		require.Len(t, v.Failures, 1)
		require.Equal(t, pipeline.KindStatus, v.Failures[0].Kind)
		require.Equal(t, media+"/lost", v.Failures[0].URL)
		require.Equal(t, http.StatusNotFound, v.Failures[0].Status)
	})

	t.Run("D8 a meta refresh is not followed", func(t *testing.T) {
		t.Parallel()
		page := `<html><head><meta http-equiv="refresh" content="0; url=/elsewhere"></head></html>`
		for _, allow := range []bool{false, true} {
			s := newShop(t, answers{"/a": say("text/html", []byte(page)), "/elsewhere": sayText("elsewhere")})
			s.settings.Media.AllowRedirects = allow
			item := withFiles("/a")
			require.Equal(t, mediaURLs("/a"), s.crawl(item).media())
			require.Equal(t, page, string(contentOf(t, s.files.Store, one(t, filesOf(item)).Path)))
		}
	})

	t.Run("D9 what may pass is asked three times, with waits in which others go on", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var hits atomic.Int32
			s := newShop(t, answers{"/busy": sayStatus(http.StatusBadGateway), "/a": sayText("a"), "/later": func(w http.ResponseWriter, _ *http.Request) {
				if hits.Add(1) == 1 {
					w.Header().Set("Retry-After", "120")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				fmt.Fprint(w, "later")
			}})
			s.settings.ConcurrentPerHost = 1
			item := withFiles("/busy", "/a", "http://other.example/later")
			v := s.crawl(item)
			require.Len(t, filesOf(item), 2)
			busy := s.askedFor(media + "/busy")
			require.Len(t, busy, 3)
			first, second := busy[1].At.Sub(busy[0].At), busy[2].At.Sub(busy[1].At)
			require.GreaterOrEqual(t, first, 500*time.Millisecond)
			require.GreaterOrEqual(t, second, time.Second, "the wait doubles")
			require.True(t, s.askedFor(media + "/a")[0].At.Before(busy[1].At), "nobody waits with a place")
			later := s.askedFor("http://other.example/later")
			require.GreaterOrEqual(t, later[1].At.Sub(later[0].At), 2*time.Minute, "Retry-After")
			require.Equal(t, http.StatusBadGateway, v.Failures[0].Status)
		})
	})

	t.Run("D10 the knobs of a request hold for media", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{
				"/busy": sayStatus(http.StatusServiceUnavailable), "/big": say("", make([]byte, 1000)), "/mute": slowly(time.Hour, sayText("at last")),
				"/slot": slowly(time.Second, sayText("slot")),
				"/jar":  func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "cookies: ", r.Header.Get("Cookie")) },
				"/set": func(w http.ResponseWriter, r *http.Request) {
					http.SetCookie(w, &http.Cookie{Name: "k", Value: r.URL.RawQuery})
				},
			})
			s.settings.Robots.Ignore = true
			s.settings.Slots = map[string]crawl.Limits{"narrow": {Concurrency: 1}}
			set := withKnobs(media+"/set?jar", crawl.Knobs{CookieJar: "mine"})
			s.settings.Media.Statuses = []int{200}
			s.files.MediaDownloaded = func(_ context.Context, resp *crawl.Response, _ any) (*crawl.File, error) {
				if resp.URL.Path == "/set" {
					return &crawl.File{}, nil // It has no body.
				}
				return nil, nil
			}
			s.files.MediaRequests = func(_ context.Context, item any) ([]*crawl.Request, error) {
				return item.(map[string]any)["requests"].([]*crawl.Request), nil
			}
			jars := map[string]any{"requests": []*crawl.Request{
				withKnobs(media+"/jar?1", crawl.Knobs{CookieJar: "mine"}), withKnobs(media+"/jar?2", crawl.Knobs{CookieJar: "other"}),
				withKnobs(media+"/jar?3", crawl.Knobs{CookieJar: "mine", DontMergeCookies: true}),
			}}
			rest := map[string]any{"requests": []*crawl.Request{
				withKnobs(media+"/busy", crawl.Knobs{DontRetry: true}), withKnobs(media+"/big", crawl.Knobs{MaxSize: 10}),
				withKnobs(media+"/mute", crawl.Knobs{Timeout: time.Second, DontRetry: true}),
				withKnobs("http://a.example/slot", crawl.Knobs{Slot: "narrow"}), withKnobs("http://b.example/slot", crawl.Knobs{Slot: "narrow"}),
			}}
			s.oneByOne()
			v := s.crawl(map[string]any{"requests": []*crawl.Request{set}}, jars, rest)
			for i, want := range []string{"cookies: k=jar", "cookies: ", "cookies: "} {
				require.Equal(t, want, string(contentOf(t, s.files.Store, filesOf(jars)[i].Path)))
			}
			require.Len(t, s.askedFor(media+"/busy"), 1)
			kinds := map[string]crawl.Kind{}
			for _, f := range v.Failures {
				kinds[f.URL] = f.Kind
			}
			require.Equal(t, map[string]crawl.Kind{media + "/busy": "status", media + "/big": "too-large", media + "/mute": "timeout"}, kinds)
			a, b := s.askedFor("http://a.example/slot"), s.askedFor("http://b.example/slot")
			require.GreaterOrEqual(t, b[0].At.Sub(a[0].At).Abs(), time.Second, "two hosts, one place")
		})
	})

	t.Run("D10 D11 proxies and passwords hold for media, the request's own and the crawl's", func(t *testing.T) {
		t.Parallel()
		// The shop's server is the proxies too: what comes through one has the host in its request line.
		tell := func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			fmt.Fprintf(w, "%t %s %s:%s", strings.HasPrefix(r.RequestURI, "http://"), r.Header.Get("Proxy-Authorization"), user, password)
		}
		s := newShop(t, answers{"/usual": tell, "/elsewhere": tell, "/direct": tell, "/own": tell})
		s.settings.Robots.Ignore = true
		s.settings.Proxy.URLs = []string{"http://proxy.example:3128"}
		s.settings.HTTPAuth = crawl.HTTPAuthSettings{User: "me", Password: "pw", Domain: "cdn.example"}
		s.files.MediaRequests = func(_ context.Context, item any) ([]*crawl.Request, error) {
			return item.(map[string]any)["requests"].([]*crawl.Request), nil
		}
		item := map[string]any{"requests": []*crawl.Request{
			crawl.Get(media + "/usual"), crawl.Get("http://other.example/elsewhere"), withKnobs(media+"/direct", crawl.Knobs{Proxy: crawl.ProxyDirect}),
			withKnobs(media+"/own", crawl.Knobs{Proxy: "http://a:b@own.example", HTTPUser: "own", HTTPPassword: "x"}),
		}}
		s.crawl(item)
		files := filesOf(item)
		require.Len(t, files, 4)
		for i, want := range []string{"true  me:pw", "true  :", "false  me:pw", "true Basic YTpi own:x"} {
			require.Equal(t, want, string(contentOf(t, s.files.Store, files[i].Path)), files[i].URL)
		}
	})

	t.Run("D11 headers, cookies, compression and the timeout are those of pages", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var zipped bytes.Buffer
			zip := gzip.NewWriter(&zipped)
			_, _ = zip.Write([]byte("unpacked"))
			require.NoError(t, zip.Close())
			s := newShop(t, answers{
				"/page": func(w http.ResponseWriter, _ *http.Request) {
					http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Domain: "example.com"})
				},
				"/a": func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Encoding", "gzip")
					say("text/plain", zipped.Bytes())(w, r)
				},
				"/mute": slowly(time.Hour, sayText("at last")),
			})
			s.spider.StartURLs = []string{"http://shop.example.com/page"}
			s.settings.UserAgent, s.settings.Download.Timeout = "tester", time.Minute
			s.settings.DefaultHeaders = map[string]string{"Accept-Language": "nl"}
			s.impatient()
			item := withFiles("http://cdn.example.com/a", "http://cdn.example.com/mute")
			began := time.Now()
			v := s.crawl(item)
			require.Equal(t, time.Minute, time.Since(began))
			require.Equal(t, "unpacked", string(contentOf(t, s.files.Store, one(t, filesOf(item)).Path)))
			require.Equal(t, crawl.KindTimeout, v.Failures[0].Kind)
			header := s.askedFor("http://cdn.example.com/a")[0].Header
			require.Equal(t, "session=1", header.Get("Cookie"))
			require.Equal(t, "tester", header.Get("User-Agent"))
			require.Equal(t, "nl", header.Get("Accept-Language"))
			require.Contains(t, header.Get("Accept-Encoding"), "gzip")
		})
	})

	t.Run("D11 robots.txt holds for media, unless Media.IgnoreRobots is set", func(t *testing.T) {
		t.Parallel()
		for _, ignore := range []bool{false, true} {
			s := newShop(t, answers{"cdn.example/robots.txt": sayText("User-agent: *\nDisallow: /private"), "/private/a": sayText("a"), "/b": sayText("b")})
			s.settings.Media.IgnoreRobots = ignore
			item := withFiles("/private/a", "/b")
			v := s.crawl(item)
			if ignore {
				require.Len(t, filesOf(item), 2)
				continue
			}
			require.Equal(t, media+"/b", one(t, filesOf(item)).URL)
			require.Equal(t, pipeline.KindFiltered, v.Failures[0].Kind)
			require.ErrorContains(t, v.Failures[0], "robots.txt")
			require.Empty(t, v.warnings())
		}
	})

	t.Run("D11 a host whose robots.txt can't be read now may be read later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var hits atomic.Int32
			s := newShop(t, answers{"/a": sayText("a"), "cdn.example/robots.txt": func(w http.ResponseWriter, r *http.Request) {
				if hits.Add(1) == 1 {
					sayStatus(http.StatusInternalServerError)(w, r)
					return
				}
				http.NotFound(w, r)
			}})
			s.impatient()
			s.oneByOne()
			s.settings.ItemPipelines = []crawl.Stage{
				{Order: 1, Pipeline: s.files},
				{Order: 2, Pipeline: stage(func(_ context.Context, item any) (any, error) {
					time.Sleep(time.Hour)
					return item, nil
				})},
			}
			first, second := withFiles("/a"), withFiles("/a")
			v := s.crawl(first, second)
			require.Empty(t, filesOf(first))
			require.Equal(t, pipeline.KindFiltered, v.Failures[0].Kind)
			require.Len(t, filesOf(second), 1)
		})
	})

	t.Run("D12 media may be anywhere, unless Media.ObeyAllowedDomains is set", func(t *testing.T) {
		t.Parallel()
		for _, obey := range []bool{false, true} {
			s := newShop(t, answers{"/a": sayText("a")})
			s.spider.AllowedDomains = []string{"shop.example"}
			s.settings.Media.ObeyAllowedDomains = obey
			item := withFiles("/a", "http://img.shop.example/a")
			v := s.crawl(item)
			if !obey {
				require.Len(t, filesOf(item), 2)
				continue
			}
			require.Equal(t, "http://img.shop.example/a", one(t, filesOf(item)).URL)
			require.Equal(t, pipeline.KindFiltered, v.Failures[0].Kind)
			require.Empty(t, v.warnings(), "it is no failure that anybody has to look at")
			require.Equal(t, 1, v.Log.FilterMessage("media filtered").Len())
		}
	})

	t.Run("D13 D14 data URLs are media, and are nowhere offsite", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		s.spider.AllowedDomains = []string{"shop.example"}
		s.settings.Media.ObeyAllowedDomains = true
		picture := "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpegOf(t, 30, 20))
		item := map[string]any{"file_urls": []string{"data:,hello%20there"}, "image_urls": picture}
		v := s.crawl(item)
		require.Empty(t, v.Failures)
		file := one(t, filesOf(item))
		require.Equal(t, "hello there", string(contentOf(t, s.files.Store, file.Path)))
		require.Equal(t, ".txt", filepath.Ext(file.Path))
		require.Equal(t, 30, one(t, imagesOf(item)).Width)
	})

	t.Run("D15 media comes by http, https and data, and by file where the page does or MediaRequests says so", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		local := func(name, content string) string {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
		}
		secret, page := local("local.txt", "local"), local("page.html", "<p>a page</p>")
		for _, test := range []struct {
			start string
			hook  bool
			ok    bool
		}{{start: pageURL}, {start: "data:text/html,x"}, {start: page, ok: true}, {start: pageURL, hook: true, ok: true}} {
			s := newShop(t, answers{"/a": sayText("a")})
			s.spider.StartURLs = []string{test.start}
			urls := mediaURLs("/a", "https://cdn.example/a", "data:,a", secret)
			item := map[string]any{"file_urls": urls}
			if test.hook {
				s.files.MediaRequests = func(context.Context, any) (reqs []*crawl.Request, err error) {
					for _, u := range urls {
						reqs = append(reqs, crawl.Get(u))
					}
					return reqs, nil
				}
			}
			v := s.crawl(item)
			files := filesOf(item)
			if test.ok {
				require.Empty(t, v.Failures)
				require.Len(t, files, 4)
				require.Equal(t, "local", string(contentOf(t, s.files.Store, files[3].Path)))
				continue
			}
			require.Len(t, files, 3)
			require.Len(t, v.Failures, 1)
			require.Equal(t, crawl.KindRequest, v.Failures[0].Kind)
			require.EqualError(t, v.Failures[0], "media <"+secret+">: request: only a file: page may name what is read from file: (MediaRequests may always)")
		}
	})

	t.Run("D15 an item of Start has no page, and names no local files; nor does a page name objects", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		item := map[string]any{"file_urls": []string{"file:///etc/passwd", "S3://bucket/key"}}
		s.spider.Start = func(_ context.Context, out *crawl.Out) error {
			out.Item(item)
			return nil
		}
		v := s.crawl()
		require.Len(t, v.Failures, 2)
		for _, f := range v.Failures {
			require.ErrorContains(t, f, "(MediaRequests may always)")
		}
	})

	t.Run("D16 media counts as downloads do, and its hooks are called", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.settings.Robots.Ignore = true
		var left, received, scheduled noted[string]
		s.settings.Trace.RequestLeft = func(req *crawl.Request) { left.add(req.URL.Path) }
		s.settings.Trace.ResponseReceived = func(resp *crawl.Response) { received.add(resp.URL.Path) }
		s.settings.Trace.RequestScheduled = func(req *crawl.Request) { scheduled.add(req.URL.Path) }
		v := s.crawl(withFiles("/a", "/gone"))
		for key, want := range map[string]int64{
			"downloader/request_count": 3, "downloader/response_count": 3, "downloader/response_status_count/200": 2,
			"downloader/response_status_count/404": 1, "response_received_count": 3,
		} {
			require.Equal(t, want, v.Stats.Int(key), key)
		}
		require.ElementsMatch(t, []string{"/page", "/a", "/gone"}, left.all())
		require.ElementsMatch(t, []string{"/page", "/a", "/gone"}, received.all())
		require.Equal(t, []string{"/page"}, scheduled.all())
	})
}

// sha1Name is the name of a file without an extension.
func sha1Name(url string) string {
	sum := sha1.Sum([]byte(url))
	return "full/" + hex.EncodeToString(sum[:])
}

func TestRowsOfSizes(t *testing.T) {
	t.Parallel()

	t.Run("D18 a large file is stored as it came, by way of the spool, which is empty afterwards", func(t *testing.T) {
		t.Parallel()
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s := newShop(t, answers{"/big.bin": say("application/octet-stream", body)})
		dir, spool := t.TempDir(), t.TempDir()
		s.files.Store, s.settings.Files.Store = nil, dir
		s.settings.Download.SpoolDir, s.settings.Download.SpoolOver = spool, 1<<10
		item := withFiles("/big.bin")
		s.crawl(item)
		file := one(t, filesOf(item))
		stored, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file.Path)))
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, stored))
		sum := md5.Sum(body)
		require.Equal(t, hex.EncodeToString(sum[:]), file.Checksum)
		require.EqualValues(t, len(body), file.Size)
		left, err := os.ReadDir(spool)
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("D18 a body that ends early is no file", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/cut": sayTooLittle})
		s.impatient()
		item := withFiles("/cut")
		v := s.crawl(item)
		require.Empty(t, filesOf(item))
		require.Equal(t, crawl.KindTruncated, v.Failures[0].Kind)
		require.Empty(t, s.files.Store.(*store.Memory).Names())
	})

	t.Run("D18 a body that ends early is no file where pages may end early", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "a part")
		}})
		s.settings.Download.AllowTruncated = true
		item := withFiles("/a")
		v := s.crawl(item)
		require.Empty(t, filesOf(item))
		require.Equal(t, crawl.KindTruncated, v.Failures[0].Kind)
		require.Empty(t, s.files.Store.(*store.Memory).Names())
	})

	t.Run("D19 Media.MaxSize ends a download early, by its length or while it streams", func(t *testing.T) {
		t.Parallel()
		var sent atomic.Int64
		s := newShop(t, answers{
			"/long": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "1000000000000")
				w.WriteHeader(http.StatusOK)
				require.NoError(t, http.NewResponseController(w).Flush())
				<-r.Context().Done() // Not a byte of it comes.
			},
			"/endless": func(w http.ResponseWriter, _ *http.Request) {
				for {
					n, err := w.Write(make([]byte, 4096))
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			},
			"/small": say("", make([]byte, 50_000)),
		})
		s.settings.Media.MaxSize = 50_000
		item := withFiles("/long", "/endless", "/small")
		v := s.crawl(item)
		require.Equal(t, media+"/small", one(t, filesOf(item)).URL, "equality passes")
		require.Len(t, v.Failures, 2)
		for _, f := range v.Failures {
			require.Equal(t, crawl.KindTooLarge, f.Kind)
			require.ErrorIs(t, f, crawl.ErrBodyTooLarge)
			require.Len(t, s.askedFor(f.URL), 1, "it would be too large again")
		}
		require.Less(t, sent.Load(), int64(8<<20))
	})

	t.Run("D19 Download.WarnSize warns of a large file", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": say("", make([]byte, 5000)), "/b": say("", make([]byte, 500))})
		s.settings.Download.WarnSize = 1000
		item := withFiles("/a", "/b")
		v := s.crawl(item)
		require.Len(t, filesOf(item), 2)
		require.Len(t, v.warnings(), 1)
		require.Contains(t, fmt.Sprint(v.warnings()[0].ContextMap()), media+"/a")
	})
}

// sayTooLittle promises more than it sends.
func sayTooLittle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, "not a hundred bytes")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
