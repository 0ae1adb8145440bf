package cmd

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode"
)

// paint colours text for a terminal. The zero value leaves it as it is.
type paint struct{ on bool }

// painter colours what goes to a terminal, unless NO_COLOR (no-color.org) is set.
func painter(w io.Writer) paint { return paint{isTerminal(w) && os.Getenv("NO_COLOR") == ""} }

func (p paint) with(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string   { return p.with("1", s) }
func (p paint) dim(s string) string    { return p.with("2", s) }
func (p paint) red(s string) string    { return p.with("31", s) }
func (p paint) green(s string) string  { return p.with("32", s) }
func (p paint) yellow(s string) string { return p.with("33", s) }
func (p paint) blue(s string) string   { return p.with("34", s) }
func (p paint) cyan(s string) string   { return p.with("36", s) }

// status colours a status line by its class.
func (p paint) status(status int, s string) string {
	switch {
	case status >= 500:
		return p.red(s)
	case status >= 300:
		return p.yellow(s)
	}
	return p.green(s)
}

// json indents JSON and colours it.
func (p paint) json(raw []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return visible(string(raw))
	}
	text := visible(b.String())
	if !p.on {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end++
			if end < len(text) && text[end] == ':' {
				out.WriteString(p.blue(text[i:end]))
			} else {
				out.WriteString(p.green(text[i:end]))
			}
			i = end
		case strings.IndexByte("-0123456789tfn", c) >= 0:
			end := len(text)
			if n := strings.IndexAny(text[i:], ",\n]} "); n >= 0 {
				end = i + n
			}
			out.WriteString(p.yellow(text[i:end]))
			i = end
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String()
}

// visible is text from a page that cannot steer a terminal.
func visible(s string) string {
	bad := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// oneLine is visible text with its white space folded.
func oneLine(s string) string { return strings.Join(strings.Fields(visible(s)), " ") }

// cut shortens a line to a width, with an ellipsis at its end.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

// cutLeft shortens a line at its beginning.
func cutLeft(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return "…" + string(r[len(r)-width+1:])
}
