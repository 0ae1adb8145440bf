package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// A Recorder is a [crawl.Store] that can note what is known of a file that is already there: of files that another program stored, which have no record,
// and of thumbnails that were made later. Without it such a file is read for its checksum each time somebody asks.
type Recorder interface {
	// Record makes info.Meta the file's record and leaves its time as it is. It does nothing if the file's size or time are no longer those
	// of info: somebody has replaced it. The error is fs.ErrNotExist if there is none.
	Record(ctx context.Context, name string, info crawl.Info) error
}

// Open opens the store at an address. Its scheme chooses among Settings.Parts.Stores and the built-in ones; without a scheme it is a folder, which is made
// if need be. {spider} stands for the spider's name. A scheme that nobody knows is an error that lists those that this program has, and so is one without its "//": a
// folder of such a name is written ./s3:x.
//
// env.Settings are the settings of the pipeline that opens it. If the store is an io.Closer, the caller closes it.
func Open(ctx context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
	if env.Spider != nil {
		uri = strings.ReplaceAll(uri, "{spider}", env.Spider.Name)
	}
	s, err := open(ctx, uri, env)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", redacted(uri), err)
	}
	return s, nil
}

func open(ctx context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
	scheme, rest := cutScheme(uri)
	if scheme == "" {
		if before, _, found := strings.Cut(uri, "://"); found && len(before) != 1 && !strings.ContainsAny(before, `/\`) {
			return nil, fmt.Errorf("%q is not a scheme", before)
		}
		return openFolder(uri)
	}
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return nil, fmt.Errorf("%s: is followed by //; a folder of that name is ./%s", scheme, redacted(uri))
	}
	if open := env.Settings.Parts.Stores[scheme]; open != nil {
		return open(ctx, uri, env)
	}
	switch scheme {
	case "file":
		return openFile(rest)
	case "memory":
		return new(Memory), nil
	}
	known := slices.Collect(maps.Keys(env.Settings.Parts.Stores))
	known = append(known, "file", "memory")
	slices.Sort(known)
	return nil, fmt.Errorf("unknown scheme %q (this program has: %s)", scheme, strings.Join(slices.Compact(known), ", "))
}

// openFile opens what follows file://, which is a path, with or without this machine's name before it (RFC 8089).
func openFile(rest string) (crawl.Store, error) {
	host, path, _ := strings.Cut(rest, "/")
	if host != "" && !strings.EqualFold(host, "localhost") {
		return nil, fmt.Errorf("%s would be another machine: write file:///path, or the path alone, which may be relative", host)
	}
	if path == "" {
		return openFolder("")
	}
	return openFolder("/" + path)
}

func openFolder(path string) (crawl.Store, error) {
	if path == "" {
		return nil, errors.New("no folder is named")
	}
	return OpenDir(path)
}

// cutScheme returns an address's scheme in lower case, and what follows its colon. A drive letter is not a scheme.
func cutScheme(uri string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || len(scheme) < 2 {
		return "", uri
	}
	scheme = strings.ToLower(scheme)
	for i, c := range scheme {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return "", uri
		}
	}
	return scheme, rest
}

// redacted is an address without its password, and otherwise as it was given.
func redacted(uri string) string {
	scheme, rest := cutScheme(uri)
	if scheme == "" || scheme == "file" {
		return uri
	}
	// All up to the last @ may be a password: people write / and # into theirs.
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return uri
	}
	slashes := rest[:len(rest)-len(strings.TrimLeft(rest, "/"))]
	user, _, found := strings.Cut(rest[len(slashes):at], ":")
	if !found {
		return uri
	}
	return uri[:len(scheme)+1] + slashes + user + ":***" + rest[at:]
}
