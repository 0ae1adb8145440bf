package cmd_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// The size of the site that is crawled and killed.
const (
	killProducts = 80
	killPerList  = 10 // products on a list
)

// killHosts are the names of the site's hosts, each a slot of its own. All lead to one server.
var killHosts = []string{"a.kill.test", "b.kill.test", "c.kill.test", "d.kill.test"}

// killSite is the site that the killed crawls ask. It lives in the test's process, so it survives them, and it remembers what it was asked.
type killSite struct {
	server *httptest.Server
	mux    *http.ServeMux
	many   int           // items of one page
	gate   chan struct{} // closed when the page that kills has been asked

	mu          sync.Mutex
	asked       map[string]int // Guarded by mu: by host and path, since begin.
	total       int            // Guarded by mu: requests.
	first, last time.Time      // Guarded by mu: when pages were asked, since mark.
}

func newKillSite(t *testing.T, many int) *killSite {
	s := &killSite{mux: http.NewServeMux(), many: many, gate: make(chan struct{}), asked: make(map[string]int)}
	s.route()
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *killSite) addr() string { return s.server.Listener.Addr().(*net.TCPAddr).String() }

// begin forgets what was asked.
func (s *killSite) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = make(map[string]int)
}

// pages are what was asked since begin, and how often.
func (s *killSite) pages() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.asked)
}

// count is how many different pages were asked since begin.
func (s *killSite) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// requests is how many there were.
func (s *killSite) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// mark begins the times of another run.
func (s *killSite) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.last = time.Time{}, time.Time{}
}

// times are when the first and the last page was asked since mark, zero if none was.
func (s *killSite) times() (first, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last
}

func (s *killSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Host + r.URL.Path
	s.mu.Lock()
	s.asked[key]++
	n := s.asked[key]
	s.total++
	if s.last = time.Now(); s.first.IsZero() {
		s.first = s.last
	}
	s.mu.Unlock()
	time.Sleep(time.Duration(len(key)%7) * 2 * time.Millisecond) // as long as servers take, more or less
	if strings.HasPrefix(r.URL.Path, "/flaky/") && n <= 2 {
		http.Error(w, "come again", http.StatusServiceUnavailable)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// page answers with a page's links and pictures.
func page(w http.ResponseWriter, title string, links, pictures []string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!DOCTYPE html><title>%s</title><h1>%s</h1>\n", title, title)
	for _, l := range links {
		fmt.Fprintf(w, "<a href=\"%s\">on</a>\n", l)
	}
	for _, p := range pictures {
		fmt.Fprintf(w, "<img src=\"%s\">\n", p)
	}
}

// killURL is an address at the site's host number i.
func killURL(i int, path string) string { return "http://" + killHosts[i%len(killHosts)] + path }

func productURL(i int) string { return killURL(i%3, fmt.Sprintf("/product/%d", i)) }

// productPictures are the pictures of a product: one of its own, one that it shares with others, and one that may be missing or no picture at all.
func productPictures(i int) []string {
	third := fmt.Sprintf("/picture/%d-back.png", i)
	switch i % 10 {
	case 3:
		third = fmt.Sprintf("/missing/%d.jpg", i)
	case 6:
		third = "/text.jpg"
	}
	return []string{
		killURL(3, fmt.Sprintf("/picture/%d.jpg", i)),
		killURL(3, fmt.Sprintf("/picture/shared-%d.jpg", i%7)),
		killURL(3, third),
	}
}

func (s *killSite) route() {
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request, n int)) {
		s.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			n := 0
			_, _ = fmt.Sscan(r.PathValue("n"), &n)
			f(w, r, n)
		})
	}
	lists := killProducts / killPerList
	handle("/{$}", func(w http.ResponseWriter, _ *http.Request, _ int) {
		links := []string{
			killURL(0, "/list/0"), killURL(1, "/loop/1"), killURL(2, "/slow"), killURL(0, fmt.Sprintf("/many/%d", s.many)), killURL(1, "/thrice"), killURL(2, "/login"),
		}
		for i := range 8 {
			links = append(links, killURL(i, fmt.Sprintf("/flaky/%d", i)))
		}
		for i := range 3 {
			links = append(links, killURL(i, fmt.Sprintf("/broken/%d", i)), killURL(i, fmt.Sprintf("/gone/%d", i)))
		}
		page(w, "home", links, nil)
	})
	handle("/list/{n}", func(w http.ResponseWriter, _ *http.Request, n int) {
		var links []string
		for i := n * killPerList; i < (n+1)*killPerList; i++ {
			links = append(links, productURL(i))
			if i%4 == 0 {
				links = append(links, killURL(i+1, fmt.Sprintf("/go/%d", i)), killURL(i+2, fmt.Sprintf("/only/%d", i)))
			}
		}
		if n+1 < lists {
			links = append(links, killURL(n+1, fmt.Sprintf("/list/%d", n+1)))
		}
		page(w, fmt.Sprintf("list %d", n), links, nil)
	})
	handle("/product/{n}", func(w http.ResponseWriter, _ *http.Request, n int) {
		related := []string{productURL((n + 1) % killProducts), productURL((n * 7) % killProducts)}
		page(w, fmt.Sprintf("product %d", n), related, productPictures(n))
	})
	// One way leads to a page that lists name too, the other to one that nothing else names.
	handle("/go/{n}", func(w http.ResponseWriter, r *http.Request, n int) {
		http.Redirect(w, r, productURL(n), http.StatusFound)
	})
	handle("/only/{n}", func(w http.ResponseWriter, r *http.Request, n int) {
		http.Redirect(w, r, killURL(n, fmt.Sprintf("/hidden/%d", n)), http.StatusMovedPermanently)
	})
	handle("/hidden/{n}", func(w http.ResponseWriter, _ *http.Request, n int) {
		page(w, fmt.Sprintf("hidden %d", n), nil, productPictures(n)[:2])
	})
	for _, kind := range []string{"flaky", "seed", "again"} {
		handle("/"+kind+"/{n}", func(w http.ResponseWriter, _ *http.Request, n int) {
			page(w, fmt.Sprintf("%s %d", kind, n), []string{killURL(0, "/list/0")}, nil)
		})
	}
	handle("/broken/{n}", func(w http.ResponseWriter, _ *http.Request, _ int) {
		http.Error(w, "broken", http.StatusInternalServerError)
	})
	handle("/loop/{n}", func(w http.ResponseWriter, r *http.Request, n int) {
		http.Redirect(w, r, killURL(n, fmt.Sprintf("/loop/%d", 3-n)), http.StatusFound)
	})
	handle("/slow", func(w http.ResponseWriter, r *http.Request, _ int) {
		for _, b := range []byte("<h1>slow and steady</h1>") {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	handle("/many/{n}", func(w http.ResponseWriter, _ *http.Request, n int) {
		page(w, fmt.Sprintf("many items, %d of them", n), nil, nil)
	})
	handle("/thrice", func(w http.ResponseWriter, _ *http.Request, _ int) { page(w, "thrice", nil, nil) })
	handle("/login", func(w http.ResponseWriter, _ *http.Request, _ int) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "killed-but-not-forgotten", MaxAge: 3600})
		page(w, "login", nil, nil)
	})
	handle("/picture/{name}", func(w http.ResponseWriter, r *http.Request, _ int) { picture(w, r.PathValue("name")) })
	handle("/text.jpg", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "image/jpeg")
		fmt.Fprint(w, "this is no picture")
	})
	// What the poison spider asks: the innocent pages are slow until the other one has been asked.
	handle("/innocent/{n}", func(w http.ResponseWriter, r *http.Request, n int) {
		select {
		case <-s.gate:
			time.Sleep(100 * time.Millisecond)
		case <-r.Context().Done():
			return
		}
		page(w, fmt.Sprintf("innocent %d", n), nil, nil)
	})
	var once sync.Once
	handle("/poison", func(w http.ResponseWriter, _ *http.Request, _ int) {
		once.Do(func() { close(s.gate) })
		page(w, "poison", nil, nil)
	})
}

// picture draws a picture of its own for each name: noise, so that a part of it is not a whole one.
func picture(w http.ResponseWriter, name string) {
	x := uint32(2166136261) // FNV-1a
	for _, b := range []byte(name) {
		x = (x ^ uint32(b)) * 16777619
	}
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	for y := range 32 {
		for i := range 48 {
			x = x*1664525 + 1013904223 // Numerical Recipes
			img.SetRGBA(i, y, color.RGBA{byte(x >> 24), byte(i * 5), byte(y * 7), 255})
		}
	}
	var b bytes.Buffer
	var err error
	if strings.HasSuffix(name, ".png") {
		w.Header().Set("Content-Type", "image/png")
		err = (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, img)
	} else {
		w.Header().Set("Content-Type", "image/jpeg")
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b.Bytes())
}

// killFailures are the requests that end in the list of failures, with their kinds.
func killFailures() map[string]string {
	want := make(map[string]string)
	for i := range 3 {
		want[killURL(i, fmt.Sprintf("/broken/%d", i))] = "status"
	}
	return want
}
