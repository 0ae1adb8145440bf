package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The pages for those who come from Colly and from Scrapy set a program beside ours. Here both are run as they stand on the page, on a site in the shape of
// books.toscrape.com, and must find the same. Neither knows that it does not talk to the real one: a proxy answers in its place.

var booksAndPrices = []string{"A Light in the Attic £51.77", "Soumission £50.10", "Tipping the Velvet £53.74"}

func TestColly(t *testing.T) {
	t.Parallel()
	site := newBookshop(t)
	colly := `package main

import (
	"fmt"
	"log"
	"time"

	"github.com/gocolly/colly/v2"
)

func main() {
` + onPage(t, "coming-from-colly.md", "go colly") + "}\n"
	for who, source := range map[string]string{"Colly": colly, "tulle": onPage(t, "coming-from-colly.md", "go")} {
		out := site.run(t, t.TempDir(), compiled(t, source))
		require.Equal(t, booksAndPrices, sortedLines(out), "%s", who)
	}
	require.Equal(t, 2, site.asked("books.toscrape.com/catalogue/soumission_998/index.html"))
}

func TestScrapy(t *testing.T) {
	t.Parallel()
	python := os.Getenv("TULLE_TEST_SCRAPY")
	if python == "" {
		t.Skip("TULLE_TEST_SCRAPY names no Python interpreter that has Scrapy")
	}
	site := newBookshop(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "books.py"), []byte("import scrapy\n\n\n"+onPage(t, "coming-from-scrapy.md", "python")), 0o644))
	site.run(t, dir, python, "-m", "scrapy", "runspider", "books.py", "-L", "ERROR", "-O", "scrapy.jsonl")

	program := compiled(t, `package main

import (
	"context"
	"log"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

func main() {
	spider, err := Books(nil)
	if err == nil {
		_, err = engine.Run(context.Background(), spider, crawl.Settings{Feeds: []crawl.Feed{{URI: "books.jsonl"}}})
	}
	if err != nil {
		log.Fatal(err)
	}
}

`+onPage(t, "coming-from-scrapy.md", "go decls"))
	site.run(t, dir, program)
	ours := itemsOf(t, filepath.Join(dir, "books.jsonl"))
	require.Len(t, ours, 3)
	require.ElementsMatch(t, ours, itemsOf(t, filepath.Join(dir, "scrapy.jsonl")))
	require.Equal(t, 2, site.asked("books.toscrape.com/catalogue/soumission_998/index.html"))
}

// onPage is the first block with this fence on a page of the documentation.
func onPage(t *testing.T, page, fence string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "\n```"+fence+"\n")
	require.True(t, ok, "%s has no block ```%s", page, fence)
	block, _, ok := strings.Cut(rest, "\n```")
	require.True(t, ok)
	return block + "\n"
}

// compiled is a program of this module. It is built outside of the module's folder, by an overlay: nothing is written into the tree.
func compiled(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	file, overlay, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o644))
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "onpage", "main.go"): file}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o644))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-w", "-overlay", overlay, "-o", program, "./onpage").CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, source)
	return program
}

// sortedLines are what a program has printed, in an order of their own: pages are worked on at once.
func sortedLines(text []byte) []string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Sort(lines)
	return lines
}

func itemsOf(t *testing.T, name string) []map[string]any {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	var items []map[string]any
	for d := json.NewDecoder(f); d.More(); {
		var item map[string]any
		require.NoError(t, d.Decode(&item))
		items = append(items, item)
	}
	return items
}

// A bookshop is a proxy that answers for every host itself: with the pages of testdata/books, or 404.
type bookshop struct {
	addr string // of the proxy
	ca   string // the file with the certificate of what it says to be
	mu   sync.Mutex
	urls []string // that were asked, without the scheme. Guarded by mu.
}

func newBookshop(t *testing.T) *bookshop {
	t.Helper()
	s := &bookshop{ca: filepath.Join(t.TempDir(), "ca.pem")}
	certificate := s.certificate(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			s.ServeHTTP(w, r)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		s.tunnel(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	}))
	t.Cleanup(proxy.Close)
	s.addr = proxy.Listener.Addr().String()
	return s
}

// tunnel answers one request after the other, until the client has no more.
func (s *bookshop) tunnel(conn net.Conn) {
	for in := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		resp := rec.Result()
		resp.ContentLength = int64(rec.Body.Len())
		if err := resp.Write(conn); err != nil {
			return
		}
	}
}

func (s *bookshop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.urls = append(s.urls, r.Host+r.URL.Path)
	s.mu.Unlock()
	name := filepath.Join("..", "books", filepath.FromSlash(r.URL.Path))
	if r.URL.Path == "/" {
		name = filepath.Join(name, "index.html")
	}
	page, err := os.ReadFile(name)
	if err != nil || r.Host != "books.toscrape.com" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

func (s *bookshop) asked(url string) (times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.urls {
		if u == url {
			times++
		}
	}
	return times
}

// certificate is that of the site, signed by itself, and trusted through the file ca.
func (s *bookshop) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "books.toscrape.com"}, DNSNames: []string{"books.toscrape.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// run runs a program in a folder, with the bookshop for its web, and returns what it prints.
func (s *bookshop) run(t *testing.T, dir, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = dir
	proxy := "http://" + s.addr
	c.Env = append(os.Environ(), "HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "http_proxy="+proxy, "https_proxy="+proxy, "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE="+s.ca, "SSL_CERT_DIR="+t.TempDir())
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	require.NoError(t, c.Run(), "%s\n%s", &stdout, &stderr)
	return stdout.Bytes()
}
