package objects

import (
	"errors"
	"fmt"
	"strings"
)

// An Address is a place in a bucket: scheme://bucket/prefix.
type Address struct {
	Bucket string
	Prefix string // without a slash at its ends; may be empty

	check func(name string) error
}

// ParseAddress reads scheme://bucket/prefix. Nothing in it is unescaped. check says which names are allowed, for the prefix too.
func ParseAddress(uri string, check func(name string) error) (Address, error) {
	_, rest, _ := strings.Cut(uri, "://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.Trim(prefix, "/")
	switch {
	case bucket == "":
		return Address{}, errors.New("no bucket is named")
	case strings.ContainsAny(bucket, "@:"):
		return Address{}, errors.New("the address is only a bucket and a prefix: credentials and endpoint are settings")
	case strings.ContainsAny(rest, "?#"):
		return Address{}, errors.New("the address has a query, or a fragment: what is not bucket or prefix is a setting")
	}
	if prefix != "" {
		if err := check(prefix); err != nil {
			return Address{}, fmt.Errorf("prefix: %w", err)
		}
	}
	return Address{Bucket: bucket, Prefix: prefix, check: check}, nil
}

// Key is the key of a file. The error is check's: for its name, or for the whole key, which may be too long.
func (a Address) Key(name string) (string, error) {
	if err := a.check(name); err != nil {
		return "", err
	}
	key := a.Join(name)
	return key, a.check(key)
}

// Join is the key for a name that is not a file's.
func (a Address) Join(name string) string {
	if a.Prefix == "" {
		return name
	}
	return a.Prefix + "/" + name
}
