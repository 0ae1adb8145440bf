package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// ErrName says that a name can't be used in any store. Trying again is of no use.
var ErrName = errors.New("bad name")

// The longest names, in bytes: what file systems take for one element, and what S3 takes for a whole key.
const (
	maxElement = 255
	maxName    = 1024
)

// Private is the folder in which stores and pipelines keep their own notes. Names in it are refused, except below [By].
const Private = ".tulle"

// By is the folder in which pipelines note where the file of a request went when its name does not say so.
const By = Private + "/by/"

// CheckName says whether a file may have this name. The rules are the same for every store on every system, so that a folder can be copied to a
// bucket or to another machine. A name is slash-separated, relative and valid UTF-8; it has no empty element, no "." or "..", no backslash, no control
// character, no element that Windows reserves (con, nul.txt, …) or that is longer than 255 bytes, and no more than 1024 bytes in all. The error is an [ErrName].
func CheckName(name string) error {
	if why := badName(name); why != "" {
		if len(name) > maxElement {
			name = name[:maxElement] + "…"
		}
		return fmt.Errorf("%w: %q %s", ErrName, name, why)
	}
	return nil
}

func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return "is too long"
	case strings.HasPrefix(name, "/"):
		return "is absolute"
	case strings.Contains(name, `\`):
		return "has a backslash"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character"
	case !fs.ValidPath(name) || name == ".":
		return "is not a plain path"
	}
	first, rest, _ := strings.Cut(name, "/")
	if strings.EqualFold(first, Private) && (!strings.HasPrefix(name, By) || strings.Contains(rest[len("by/"):], "/")) {
		return "is in the store's own folder"
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case len(element) > maxElement:
			return "has an element that is too long"
		case reserved(element):
			return "has an element that Windows reserves"
		}
	}
	return ""
}

// reserved reports whether an element names a device on Windows, with or without an extension.
func reserved(element string) bool {
	base, _, _ := strings.Cut(element, ".")
	base = strings.ToLower(strings.TrimRight(base, " "))
	switch base {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	for _, device := range [...]string{"com", "lpt"} {
		if digit, ok := strings.CutPrefix(base, device); ok {
			switch digit {
			case "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
				return true
			}
		}
	}
	return false
}
