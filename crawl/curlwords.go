package crawl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The words of a command line as a shell sees them.

// commandWords splits a command line as bash does, or if it is written for it, cmd of Windows.
func commandWords(command string) ([]string, error) {
	words, cmd, err := bashWords(command)
	if cmd {
		return cmdWords(command)
	}
	return words, err
}

// bashWords knows quotes and escapes. What else a shell would do is an error: variables, pipes, a second command. cmd says that the command is for Windows: it has
// a ^ before a quote or a line's end, where nothing is quoted.
func bashWords(s string) (words []string, cmd bool, err error) {
	var word strings.Builder
	in := false // a word has begun, if only by its quotes
	end := func() {
		if in {
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n':
			end()
			if rest := strings.TrimSpace(s[i:]); len(words) > 0 && rest != "" {
				return nil, false, fmt.Errorf("a second command, or a line that does not end in a backslash before %s", excerpt(rest))
			}
			i++
		case c == ' ' || c == '\t' || c == '\r':
			end()
			i++
		case c == '\\':
			if i++; i < len(s) && s[i] == '\r' && strings.HasPrefix(s[i:], "\r\n") {
				i++
			}
			switch {
			case i == len(s):
			case s[i] == '\n':
				i++
			default:
				_, size := utf8.DecodeRuneInString(s[i:])
				word.WriteString(s[i : i+size])
				in = true
				i += size
			}
		case c == '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return nil, false, notClosed(s[i:])
			}
			word.WriteString(s[i+1 : i+1+n])
			in = true
			i += n + 2
		case c == '"':
			text, n, err := doubleQuoted(s[i:])
			if err != nil {
				return nil, false, err
			}
			word.WriteString(text)
			in = true
			i += n
		case c == '$' && strings.HasPrefix(s[i:], "$'"):
			text, n, err := ansiQuoted(s[i:])
			if err != nil {
				return nil, false, err
			}
			word.WriteString(text)
			in = true
			i += n
		case c == '$' && strings.HasPrefix(s[i:], `$"`): // a text to be translated
			i++
		case c == '^' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\n' || s[i+1] == '\r'):
			return nil, true, nil
		case c == '#' && !in:
			if i += strings.IndexByte(s[i:]+"\n", '\n'); i > len(s) {
				i = len(s)
			}
		case c == ';' && strings.TrimSpace(s[i+1:]) == "":
			end()
			i = len(s)
		case c == '|' || c == ';' || c == '&' || c == '<' || c == '>' || c == '(' || c == ')':
			return nil, false, fmt.Errorf("%s would be the shell's, not curl's: quote it if it belongs to an argument", excerpt(s[i:]))
		case c == '`' || c == '$' && expands(s[i:]):
			return nil, false, fmt.Errorf("%s is for the shell to replace, which is not done here", excerpt(s[i:]))
		default:
			word.WriteByte(c)
			in = true
			i++
		}
	}
	end()
	return words, false, nil
}

// expands reports whether a $ begins a variable or a command.
func expands(s string) bool {
	return len(s) > 1 && (s[1] == '_' || s[1] == '{' || s[1] == '(' || '0' <= s[1] && s[1] <= '9' || 'a' <= s[1]|0x20 && s[1]|0x20 <= 'z')
}

func notClosed(s string) error { return fmt.Errorf("a quote that is not closed: %s", excerpt(s)) }

func excerpt(s string) string {
	const enough = 30
	if utf8.RuneCountInString(s) > enough {
		s = string([]rune(s)[:enough]) + "…"
	}
	return strconv.Quote(s)
}

// doubleQuoted reads "…" at the beginning of s, n bytes of it.
func doubleQuoted(s string) (text string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			if i++; s[i] != '\n' {
				b.WriteByte(s[i])
			}
		case c == '`' || c == '$' && expands(s[i:]):
			return "", 0, fmt.Errorf("%s is for the shell to replace, which is not done here", excerpt(s[i:]))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, notClosed(s)
}

// ansiQuoted reads $'…' at the beginning of s.
func ansiQuoted(s string) (text string, n int, err error) {
	var b []byte
	number := func(i, base, most int) (value uint64, end int) {
		for end = i; end < len(s) && end < i+most; end++ {
			if _, err := strconv.ParseUint(s[end:end+1], base, 8); err != nil {
				break
			}
		}
		value, _ = strconv.ParseUint(s[i:end], base, 32)
		return value, end
	}
	for i := 2; i < len(s); {
		c := s[i]
		if c == '\'' {
			return string(b), i + 1, nil
		}
		if c != '\\' || i+1 == len(s) {
			b = append(b, c)
			i++
			continue
		}
		i += 2
		switch e := s[i-1]; e {
		case 'x', 'u', 'U':
			digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[e]
			v, end := number(i, 16, digits)
			switch {
			case end == i:
				b = append(b, '\\', e)
			case e == 'x':
				b = append(b, byte(v))
			default:
				r := rune(v)
				if utf16.IsSurrogate(r) && strings.HasPrefix(s[end:], `\u`) { // browsers write one character as two escapes
					if low, after := number(end+2, 16, 4); after == end+6 {
						r, end = utf16.DecodeRune(r, rune(low)), after
					}
				}
				b = utf8.AppendRune(b, r)
			}
			i = end
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v, end := number(i-1, 8, 3)
			b, i = append(b, byte(v)), end
		case 'c':
			if i < len(s) {
				b = append(b, s[i]&0x1f)
				i++
			}
		default:
			if at := strings.IndexByte("abefnrtvE", e); at >= 0 {
				b = append(b, "\a\b\x1b\f\n\r\t\v\x1b"[at])
			} else if strings.IndexByte(`\'"?`, e) >= 0 {
				b = append(b, e)
			} else {
				b = append(b, '\\', e)
			}
		}
	}
	return "", 0, notClosed(s)
}

// cmdWords splits a command for Windows as cmd does, which knows ^ as an escape outside of its quotes, and then as curl.exe's start-up code does.
func cmdWords(command string) ([]string, error) {
	s := strings.ReplaceAll(command, "\r\n", "\n")
	var line strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\n' {
				return nil, fmt.Errorf("a line that ends within quotes before %s", excerpt(s[i+1:]))
			}
		case c == '^':
			if i++; i < len(s) && s[i] == '\n' {
				i++ // the line goes on, and what comes next is as if escaped
			}
			if i == len(s) {
				continue
			}
			c = s[i]
		case c == '\n':
			if rest := strings.TrimSpace(s[i:]); rest != "" && strings.TrimSpace(line.String()) != "" {
				return nil, fmt.Errorf("a second command, or a line that does not end in ^ before %s", excerpt(rest))
			}
			c = ' '
		case c == '&' || c == '|' || c == '<' || c == '>':
			if rest := strings.TrimSpace(s[i+1:]); c == '&' && rest == "" {
				c = ' '
				break
			}
			return nil, fmt.Errorf("%s would be cmd's, not curl's: quote it if it belongs to an argument", excerpt(s[i:]))
		}
		line.WriteByte(c)
	}
	return windowsArgs(line.String(), strings.Contains(command, `^"`))
}

// windowsArgs splits a command line as the C start-up code of Windows does: backslashes count before quotes only. doubled says that all of them are doubled: browsers do so in
// the commands that they write with ^", and send curl more backslashes than they have sent themselves.
func windowsArgs(s string, doubled bool) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			n := 1
			for i+n < len(s) && s[i+n] == '\\' {
				n++
			}
			in = true
			i += n - 1
			if i+1 < len(s) && s[i+1] == '"' {
				word.WriteString(strings.Repeat(`\`, n/2))
				if n%2 == 1 {
					word.WriteByte('"')
					i++
				}
				continue
			}
			if doubled && n%2 == 0 {
				n /= 2
			}
			word.WriteString(strings.Repeat(`\`, n))
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			word.WriteByte('"')
			i++
		case c == '"':
			quoted, in = !quoted, true
		case !quoted && (c == ' ' || c == '\t'):
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quoted {
		return nil, errors.New("a quote that is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// shellWord is a word as bash reads it.
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	if utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == utf8.RuneError }) < 0 {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || c == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	b.WriteByte('\'')
	return b.String()
}
