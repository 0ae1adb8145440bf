package crawl_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

func TestCharset(t *testing.T) {
	t.Parallel()
	const ja, zh, ru = "これは日本語で書かれた文章です。", "这是一个用中文写的网页,谢谢大家。", "Это обычный русский текст, который написан для того, чтобы его можно было узнать."
	enc := func(e encoding.Encoding, s string) string {
		out, err := e.NewEncoder().String(s)
		require.NoError(t, err)
		return out
	}
	sjis, gbk, win := enc(japanese.ShiftJIS, ja), enc(simplifiedchinese.GBK, zh), enc(charmap.Windows1251, ru)
	for name, c := range map[string]struct{ header, body, want string }{
		"shift_jis by header":    {"text/html; charset=Shift_JIS", sjis, ja},
		"gbk by header":          {`text/html;charset="gb2312"`, gbk, zh},
		"windows-1251 by header": {"text/html; charset=windows-1251", win, ru},
		"shift_jis by meta":      {"text/html", `<meta charset=shift_jis>` + sjis, `<meta charset=shift_jis>` + ja},
		"gbk by http-equiv":      {"text/html", `<meta http-equiv=content-type content="text/html; charset=gbk">` + gbk, `<meta http-equiv=content-type content="text/html; charset=gbk">` + zh},
		"header wins over meta":  {"text/html; charset=windows-1251", `<meta charset=shift_jis>` + win, `<meta charset=shift_jis>` + ru},
		"utf-8 header over meta": {htmlUTF8, `<meta charset=shift_jis>` + ja, `<meta charset=shift_jis>` + ja},
		"mark wins over header":  {"text/html; charset=gbk", "\xef\xbb\xbf" + ja, ja},
		"utf-16le by mark":       {"text/html", enc(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), ja), ja},
		"utf-16be by mark":       {htmlUTF8, enc(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), ja), ja},
		"unknown in header":      {"text/html; charset=klingon", ja, ja},
		"nothing, utf-8":         {"", ru, ru},
		"nothing, windows-1251":  {"", win + win, ru + ru},
		"nothing, shift_jis":     {"", sjis + sjis, ja + ja},
		"not what it says":       {htmlUTF8, "a\xffb", "a\ufffdb"},
		"empty":                  {"", "", ""},
	} {
		got, err := page(t, "http://h/", c.header, c.body).Decoded()
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	require.Equal(t, ja, page(t, "http://h/", "text/html; charset=shift_jis", "<p>"+sjis).Text("p"), "selectors see text")
	utf16 := enc(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "<p>"+ru)
	require.Equal(t, ru, page(t, "http://h/", "", utf16).Text("p"))
}

type charsetCase struct{ Charset, Text string }

// charsetCases are pages of testdata/charsets, written by Python: one for each charset, which say nothing of it.
func charsetCases(t testing.TB) []charsetCase {
	t.Helper()
	data, err := os.ReadFile("testdata/charsets/texts.json")
	require.NoError(t, err)
	var cases []charsetCase
	require.NoError(t, json.Unmarshal(data, &cases))
	return cases
}

func TestCharsetOfPages(t *testing.T) {
	t.Parallel()
	for _, c := range charsetCases(t) {
		t.Run(c.Charset, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join("testdata/charsets", c.Charset+".html"))
			require.NoError(t, err)
			bare := string(data)
			wide := strings.HasPrefix(c.Charset, "utf-16")
			pages := map[string][2]string{
				"by nothing":          {"text/html", bare},
				"by header":           {"text/html; charset=" + c.Charset, bare},
				"by a sloppy header":  {"TEXT/HTML;x; CharSet = '" + strings.ToUpper(c.Charset) + "', text/html", bare},
				"against a wrong one": {"text/html; charset=klingon", bare},
			}
			if c.Charset == "iso-8859-15" { // it differs from windows-1252 in the sign of the euro
				delete(pages, "by nothing")
				delete(pages, "against a wrong one")
			}
			if !wide {
				pages["by header, against the page"] = [2]string{"text/html; charset=" + c.Charset, "<meta charset=windows-1258>" + bare}
				pages["by meta"] = [2]string{"text/html", strings.Repeat(" ", 900) + "<META CHARSET='" + c.Charset + "'/>" + bare}
				pages["by http-equiv"] = [2]string{"", `<script>"<meta charset=big5>"</script><meta content='text/html; charset="` + c.Charset + `"' http-equiv=Content-Type>` + bare}
				pages["by its declaration"] = [2]string{"application/xhtml+xml", `<?xml version="1.0" encoding='` + c.Charset + `' ?>` + bare}
			}
			for name, p := range pages {
				r := page(t, "http://h/", p[0], p[1])
				require.Equal(t, c.Text, r.Text("p"), name)
				require.Equal(t, c.Text, r.CSS("p").Text(), name)
				require.Equal(t, c.Text, r.XPath("//p")[0].Text(), name)
				text, err := r.Decoded()
				require.NoError(t, err)
				require.Contains(t, text, "<p>"+c.Text+"</p>", name)
				require.NotContains(t, text, "\ufeff", name)
				require.NoError(t, r.Err())
			}
			r := page(t, "http://h/", "text/html; charset=windows-1258", bare)
			r.Charset = c.Charset
			require.Equal(t, c.Text, r.Text("p"), "what the user says wins")
		})
	}
	r := page(t, "http://h/", "", "a")
	r.Charset = "klingon"
	_, err := r.Decoded()
	require.EqualError(t, err, `decode page: unknown charset "klingon"`)
	r.CSS("p")
	require.ErrorContains(t, r.Err(), "unknown charset")
}

func TestCharsetOfJSON(t *testing.T) {
	t.Parallel()
	const text = "Всі люди"
	body, err := charmap.Windows1251.NewEncoder().String(`{"t": "` + text + `"}`)
	require.NoError(t, err)
	require.Equal(t, text, page(t, "http://h/", "application/json; charset=windows-1251", body).JSON("t").String())
	require.Equal(t, text, page(t, "http://h/", "application/json", body).JSON("t").String())
	body, err = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(`{"t": "` + text + `"}`)
	require.NoError(t, err)
	require.Equal(t, text, page(t, "http://h/", "application/json", body).JSON("t").String())
	require.Equal(t, text, page(t, "http://h/", "application/json", "\xef\xbb\xbf{\"t\": \""+text+"\"}").JSON("t").String())
}

// A declaration is not believed when it cannot be true.
func TestCharsetLies(t *testing.T) {
	t.Parallel()
	const fr, ru, ja = "été, déjà vu", "Это обычный русский текст", "これは日本語で書かれた文章です"
	enc := func(e encoding.Encoding, s string) string {
		out, err := e.NewEncoder().String(s)
		require.NoError(t, err)
		return out
	}
	win, latin := enc(charmap.Windows1251, ru), enc(charmap.Windows1252, fr)
	mangled, err := charmap.Windows1251.NewDecoder().String(latin)
	require.NoError(t, err)
	for name, c := range map[string]struct{ header, body, want string }{
		"utf-8 said to be latin":               {"text/html; charset=iso-8859-1", fr, fr},
		"utf-8 said to be latin by meta":       {"text/html", "<meta charset=latin1>" + fr, "<meta charset=latin1>" + fr},
		"utf-8 said to be shift_jis":           {"text/html; charset=shift_jis", ja, ja},
		"a word that may be either":            {"text/html; charset=gbk", "\xc4\xa3\xc4\xa3", "模模"},
		"a letter that may be either":          {"text/html; charset=latin1", "\xc3\xa9", "Ã©"},
		"ascii said to be utf-16":              {"text/html; charset=utf-16", "<p>a</p>", "<p>a</p>"},
		"utf-16 by meta, read as ascii":        {"text/html", "<meta charset=utf-16>" + fr, "<meta charset=utf-16>" + fr},
		"utf-16 by meta, neither of both":      {"text/html", "<meta charset=utf-16>" + latin, "<meta charset=utf-16>" + fr},
		"windows-1251 said to be utf-8":        {htmlUTF8, win, ru},
		"windows-1251, the header lies":        {htmlUTF8, "<meta charset=windows-1251>" + latin + win, "<meta charset=windows-1251>" + mangled + ru},
		"latin said to be utf-8":               {htmlUTF8, latin, fr},
		"utf-8 with bad bytes":                 {htmlUTF8, ru + "\xff\xfe", ru + "\ufffd"},
		"utf-8 with bad bytes, said by nobody": {"", ru + "\xff\xfe", ru + "\ufffd"},
		"utf-8 cut short":                      {"", ru[:len(ru)-1], "Это обычный русский текс\ufffd"},
		"shift_jis with bad bytes":             {"text/html; charset=shift_jis", "\x82\xa0\xff\x82\xa2", "あ\ufffdい"},
		"gbk cut short":                        {"text/html; charset=gbk", "\xc1\xaa\xcd", "联\ufffd"},
		"what browsers do not read":            {"text/html; charset=hz-gb-2312", "~{<:Ky2;~}", "己所不"},
		"what nobody reads":                    {"text/html; charset=iso-2022-kr", "a", "a"},
		"two parameters":                       {"text/html; charset=utf-8; charset=koi8-r", ru, ru},
		"the word, but no parameter":           {"text/html; charsets; charset=koi8-r", enc(charmap.KOI8R, ru), ru},
		"utf-32":                               {"", "\xff\xfe\x00\x00a\x00\x00\x00\xe9\x00\x00\x00", "aé"},
		"utf-32, the other end first":          {"", "\x00\x00\xfe\xff\x00\x00\x00a\x00\x00\x00\xe9", "aé"},
		"one accent":                           {"", "d\xe9j", "déj"},
		"a sign":                               {"", "\xa9 2020", "© 2020"},
	} {
		got, err := page(t, "http://h/", c.header, c.body).Decoded()
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

// What a page costs grows with its size, and no more.
func TestCharsetOfLargePages(t *testing.T) {
	t.Parallel()
	ru, err := charmap.Windows1251.NewEncoder().String("Это обычный русский текст. ")
	require.NoError(t, err)
	for name, piece := range map[string]string{
		"windows-1251": ru, "open tags": "<meta ", "lone accents": "abcdefgh\xe9", "bad bytes": "\xff", "escapes": "\x1b$B", "quotes": `<meta content="charset=`,
	} {
		r := page(t, "http://h/", "text/html", strings.Repeat(piece, 8<<20/len(piece)))
		start := time.Now()
		_, err := r.Decoded()
		require.NoError(t, err)
		require.Less(t, time.Since(start), 20*time.Second, name)
	}
}

func FuzzDecoded(f *testing.F) {
	for _, c := range charsetCases(f) {
		data, err := os.ReadFile(filepath.Join("testdata/charsets", c.Charset+".html"))
		require.NoError(f, err)
		f.Add("text/html; charset="+c.Charset, data)
		f.Add("", append([]byte("<meta charset="+c.Charset+">"), data...))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := page(t, "http://h/", contentType, string(body))
		text, err := r.Decoded()
		require.NoError(t, err)
		require.True(t, utf8.ValidString(text))
		r.Kind()
		r.CSS("p")
		r.JSON("a")
	})
}

func BenchmarkDecoded(b *testing.B) {
	for _, c := range charsetCases(b) {
		switch c.Charset {
		case "windows-1251", "shift_jis", "utf-8":
		default:
			continue
		}
		data, err := os.ReadFile(filepath.Join("testdata/charsets", c.Charset+".html"))
		require.NoError(b, err)
		body := strings.Repeat(string(data), 100)
		for _, contentType := range []string{"text/html", "text/html; charset=" + c.Charset} {
			b.Run(c.Charset+"/"+contentType, func(b *testing.B) {
				r := page(b, "http://h/", contentType, body)
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if _, err := r.Decoded(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
