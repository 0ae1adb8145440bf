package cmd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// in runs a command line in a process of its own, in a folder and with variables.
func in(t *testing.T, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(append(os.Environ(), asProgram+"=1", "HOME="+filepath.Join(dir, "none")), env...)
	var out, errs bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	_ = c.Run() // the code says it
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

func write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

// sources are the settings that are not the default, as "value (source)".
func sources(t *testing.T, dir string, env []string, args ...string) map[string]string {
	t.Helper()
	code, stdout, stderr := in(t, dir, env, append([]string{"settings", "--changed", "--json"}, args...)...)
	require.Zero(t, code, stderr)
	var list []crawl.Explained
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	m := make(map[string]string)
	for _, s := range list {
		m[s.Name] = s.Value + " (" + s.Source + ")"
	}
	return m
}

func TestSettingsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tulle.yaml"), `# what a person writes
download_delay: 2s
Concurrent_Requests: 0x10
images:
  store: pics
  thumbs: {small: 50x50, big: [270, 180], "tall": {width: 10, height: 20}}
  aws:
    region: eu-central-1
robots:
IMAGES_EXPIRES: 30
HTTPCACHE_ENABLED: True
retry.statuses: [500, &busy 503]
http_error: {allowed: [404, *busy]}
default_headers.X-Shop: open
browser: {args: [--lang=de, 7, "a,b"]}
slots:
  example.com: {delay: 1s, concurrency: 2}
user_agent: "me: a, b"
feeds:
  - items.csv
  - {uri: items.jsonl, overwrite: true, fields: [no, title]}
job: {identity: {shop: 7}}
spiders:
  tiny:
    download_delay: 3s
    images.quality: 80
  shop:
  broken: {images: {quality: 90}}
  chatty: {download_delay: 0, retry.times: 2}
`)
	// 0x10 is no number that -s takes either.
	code, _, stderr := in(t, dir, nil, "settings")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: tulle.yaml:3:22: concurrent_requests: \"0x10\" is not a whole number\n", stderr)
	text := read(t, filepath.Join(dir, "tulle.yaml"))
	write(t, filepath.Join(dir, "tulle.yaml"), strings.Replace(text, "0x10", "1_0", 1))

	want := map[string]string{
		"download_delay":      "2s (tulle.yaml:2)",
		"concurrent_requests": "10 (tulle.yaml:3)",
		"images.store":        "pics (tulle.yaml:5)",
		"images.thumbs":       "big=270x180,small=50x50,tall=10x20 (tulle.yaml:6)",
		"images.aws.region":   "eu-central-1 (tulle.yaml:8)",
		"images.expires":      "30d (tulle.yaml:10)",
		"http_cache.on":       "true (tulle.yaml:11)",
		"retry.statuses":      "500,503 (tulle.yaml:12)",
		"http_error.allowed":  "404,503 (tulle.yaml:13)",
		"browser.args":        `["--lang=de","7","a,b"] (tulle.yaml:15)`,
		"slots":               `{"example.com":{"concurrency":2,"delay":"1s"}} (tulle.yaml:16)`,
		"user_agent":          "me: a, b (tulle.yaml:18)",
		"feeds":               `[{"uri":"items.csv"},{"uri":"items.jsonl","overwrite":true,"fields":["no","title"]}] (tulle.yaml:19)`,
		"job.identity":        "shop=7 (tulle.yaml:22)",
	}
	got := sources(t, dir, nil)
	require.Contains(t, got["default_headers"], `"X-Shop":"open"} (tulle.yaml:14)`)
	require.Contains(t, got["default_headers"], `"Accept":`)
	delete(got, "default_headers")
	require.Equal(t, want, got)

	// The spider's own section comes after the rest of the file, and after the spider's Configure.
	got = sources(t, dir, nil, "tiny")
	require.Equal(t, "3s (tulle.yaml:25)", got["download_delay"])
	require.Equal(t, "80 (tulle.yaml:26)", got["images.quality"])
	require.Equal(t, "10 (tulle.yaml:3)", got["concurrent_requests"])

	// What is set to its default is set: the general delay does not hold for that spider.
	got = sources(t, dir, nil, "chatty")
	require.Equal(t, "0s (tulle.yaml:29)", got["download_delay"])
	require.Equal(t, "2 (tulle.yaml:29)", got["retry.times"])

	// Then the environment, then -s.
	got = sources(t, dir, []string{"TULLE_DOWNLOAD_DELAY=4s", "TULLE_IMAGES_STORE=mine"}, "tiny", "-s", "images.store=last")
	require.Equal(t, "4s (TULLE_DOWNLOAD_DELAY)", got["download_delay"])
	require.Equal(t, "last (-s)", got["images.store"])

	// Below the folder it is found too; the nearest is it.
	below := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(below, 0o755))
	require.Equal(t, "2s (../../tulle.yaml:2)", sources(t, below, nil)["download_delay"])
	write(t, filepath.Join(dir, "a", "tulle.yaml"), "download_delay: 5s\n")
	require.Equal(t, map[string]string{"download_delay": "5s (../tulle.yaml:1)"}, sources(t, below, nil))

	// Not above the home folder.
	require.NoError(t, os.Remove(filepath.Join(dir, "a", "tulle.yaml")))
	require.Empty(t, sources(t, below, []string{"HOME=" + filepath.Join(dir, "a")}))

	// One entry of a map is written as in the map.
	write(t, filepath.Join(below, "entries.yaml"), "images.thumbs.wide: {width: 90, height: 30}\nimages.thumbs.tall: [30, 90]\nslots.a.b: {delay: 2s}\njob.identity.shop: 7\n")
	require.Equal(t, map[string]string{
		"images.thumbs": "tall=30x90,wide=90x30 (entries.yaml:2)",
		"slots":         `{"a.b":{"delay":"2s"}} (entries.yaml:3)`,
		"job.identity":  "shop=7 (entries.yaml:4)",
	}, sources(t, below, nil, "--config", "entries.yaml"))

	// Another file, or none.
	write(t, filepath.Join(below, "other.yaml"), "download_delay: 6s\n")
	require.Equal(t, map[string]string{"download_delay": "6s (other.yaml:1)"}, sources(t, below, nil, "--config", "other.yaml"))
	require.Equal(t, map[string]string{"download_delay": "6s (other.yaml:1)"}, sources(t, below, []string{"TULLE_CONFIG=other.yaml"}))
	require.Empty(t, sources(t, below, []string{"TULLE_CONFIG=other.yaml"}, "--no-config"))
}

// TestSettingsFileOfOthers is not read where anybody could have left it.
func TestSettingsFileOfOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	require.NoError(t, os.Mkdir(mine, 0o755))
	write(t, filepath.Join(dir, "tulle.yaml"), "browser.path: /tmp/evil\n")
	require.NoError(t, os.Chown(filepath.Join(dir, "tulle.yaml"), 4711, 4711))
	code, stdout, stderr := in(t, mine, nil, "settings", "--changed")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Equal(t, "tulle: warning: ../tulle.yaml is another user's, and is not read: --config reads it\n", stderr)

	require.Contains(t, sources(t, mine, nil, "--config", "../tulle.yaml"), "browser.path")

	// In the working directory itself it is no other, unless that is theirs.
	write(t, filepath.Join(mine, "tulle.yaml"), "browser.path: /tmp/evil\n")
	require.NoError(t, os.Chown(filepath.Join(mine, "tulle.yaml"), 4712, 4712))
	require.NoError(t, os.Chown(filepath.Join(dir, "tulle.yaml"), 0, 0))
	code, stdout, stderr = in(t, mine, nil, "settings", "--changed")
	require.Zero(t, code)
	require.Contains(t, stdout, "  ../tulle.yaml:1\n")
	require.Equal(t, "tulle: warning: tulle.yaml is another user's, and is not read: --config reads it\n", stderr)
	require.NoError(t, os.Remove(filepath.Join(mine, "tulle.yaml")))
	require.NoError(t, os.Symlink("../tulle.yaml", filepath.Join(mine, "tulle.yaml")))
	require.NoError(t, os.Lchown(filepath.Join(mine, "tulle.yaml"), 4712, 4712)) // a link is as good as its owner
	_, _, stderr = in(t, mine, nil, "settings", "--changed")
	require.Equal(t, "tulle: warning: tulle.yaml is another user's, and is not read: --config reads it\n", stderr)
	require.NoError(t, os.Remove(filepath.Join(mine, "tulle.yaml")))
	require.NoError(t, os.Chown(filepath.Join(dir, "tulle.yaml"), 4711, 4711))

	require.NoError(t, os.Chown(mine, 4711, 4711)) // all of it is theirs: a folder that root looks into
	require.Contains(t, sources(t, mine, nil), "browser.path")
}

// TestSettingsFileThatIsNone is passed over, with a warning.
func TestSettingsFileThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "tulle.yaml")
	require.NoError(t, os.Mkdir(file, 0o755))
	code, _, stderr := in(t, dir, nil, "settings", "--changed")
	require.Zero(t, code)
	require.Equal(t, "tulle: warning: tulle.yaml is a folder, and no settings file: nothing is read from it\n", stderr)
	require.NoError(t, os.Remove(file))
	if runtime.GOOS == "windows" {
		return
	}
	require.NoError(t, os.Symlink("nowhere.yaml", file))
	code, _, stderr = in(t, dir, nil, "settings", "--changed")
	require.Zero(t, code)
	require.Equal(t, "tulle: warning: tulle.yaml is not read: no such file or directory\n", stderr)
}

// TestSettingsFileMistakes are told with their places, all at once.
func TestSettingsFileMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "x.yaml")
	for text, want := range map[string]string{
		"":                                      "",
		"# nothing\n":                           "",
		"images:\n  # store: x\n":               "",
		"spiders:\n":                            "",
		"download_delay: soon\n":                `1:17: download_delay: "soon" is not a duration: want 90s, 1h30m, 2d or a number of seconds`,
		"images:\n  stroe: x\n":                 "2:3: unknown setting images.stroe: did you mean images.store?",
		"imagse: {store: x}\n":                  "1:1: unknown setting imagse: did you mean images.store, ",
		"images: x\n":                           "1:1: images is a group of settings: ",
		"images.store: ${HOME}/x\n":             "1:15: images.store: ${HOME} is not replaced by the environment's; set the setting there, as TULLE_IMAGES_STORE",
		"images: {quality: [1]}\n":              "1:19: images.quality is a list: want a whole number",
		"user_agent: {a: b}\n":                  "1:13: user_agent is a group of names: want a text",
		"images.thumbs: [a]\n":                  "1:16: images.thumbs is a list: want names with sizes such as 50x50",
		"images.thumbs: {a: 5x5, b: x}\n":       `1:28: images.thumbs: b: "x" is not a size in pixels such as 50x50`,
		"slots: {a.b: {delya: 1}}\n":            `1:14: slots: a.b.delya: "delya" is not a limit: want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s`,
		"retry.statuses: [500, abc]\n":          `1:23: retry.statuses: "abc" is not a whole number, in "[abc]"`,
		"feeds: [{url: x}]\n":                   `1:9: feeds: a feed has no "url"; did you mean uri?`,
		"feeds: [{uri: x, overwrite: maybe}]\n": `1:9: feeds: overwrite is "maybe": want true or false`,
		"\timages: 1\n":                         "x.yaml:1: found character that cannot start any token",
		"a: 1\na: 2\n":                          "2:1: a is there twice: on line 1 too",
		"images.store: a\nIMAGES_STORE: b":      "2:1: images.store is set twice: on line 1 too",
		"images: {store: a}\nimages.store: b\n": "2:1: images.store is set twice: on line 1 too",
		"images.thumbs.small: 5x5\nimages: {thumbs: {big: 6x6}}\n":      "2:10: images.thumbs is set twice: its small is on line 1",
		"images: {thumbs: {big: 6x6}}\nIMAGES.thumbs.small: 5x5\n":      "2:1: images.thumbs.small is set twice: all of images.thumbs is on line 1",
		"images.thumbs.a: 5x5\nspiders: {x: {images.thumbs: {b: q}}}\n": `2:34: images.thumbs: b: "q" is not a size in pixels such as 50x50`,
		"default_headers: {A: x, B: [x]}\n":                             `1:28: default_headers: B: ["x"] is a list: want a text`,
		"default_headers.B: {x: y}\n":                                   "1:20: default_headers.B is a group of names: want a text",
		"default_headers.B: [x]\n":                                      "1:20: default_headers.B is a list: want a text",
		"spiders: {tiny: {images.store: a}, tiny: {}}\n":                "1:36: tiny is there twice: on line 1 too",
		"user_agent:\n":                      `1:1: user_agent has no value: write "" for an empty one`,
		"item_pipelines: 3\n":                "1:1: item_pipelines cannot be set by name: it is a Go value, which the program sets",
		"- a\n":                              "1:1: this is a list: want settings, as in download_delay: 2s",
		"spiders: 3\n":                       `1:10: spiders is "3": want the settings of single spiders, below their names`,
		"spiders: {tiny: 3}\n":               `1:17: spiders.tiny is "3": want settings, as in download_delay: 2s`,
		"[a]: b\n":                           "1:1: a name is wanted here",
		"user_agent: !me x\n":                "1:13: the tag !me is not understood",
		"images:\n\tstore: x\n":              "x.yaml:2: found character that cannot start any token (YAML is indented by spaces",
		"images:\n  store: x\n thumbs: {}\n": "x.yaml:3: did not find expected key (the line begins in a column in which none above it does)",
		"images:\n  store: x\n thumbs: {}\norder: depth\n":  "x.yaml:3: did not find expected key",
		" order: depth\nuser_agent: x\n":                    "x.yaml:2: did not find expected <document start> (the line begins in a column",
		"user_agent: x: y\n":                                "x.yaml:1: mapping values are not allowed in this context (the line is indented too far, or a value",
		"feeds: [\n a]\nuser_agent: \"x\n\norder: depth\n":  "x.yaml:3: found unexpected end of stream (what is opened here is not closed: a quote)",
		"a: [1\nb: 1\n":                                     "1: did not find expected ',' or ']'",
		"a: 1\n---\nb: 1\n":                                 "a second document: a settings file has one",
		"spiders: {x: &a {cookies.off: true}, y: {<<: *a}}": "1:42: << is not understood",
		"feeds: &a [*a]\n":                                  "1:12: too much, or too deep, for a settings file",
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n" +
			"feeds: [*d,*d,*d,*d,*d,*d,*d]\n": "too much, or too deep, for a settings file",
		"a\x00b\n":                       "control characters are not allowed",
		strings.Repeat("# x\n", 300_000): "is larger than 1.0 MB: that is no settings file",
	} {
		write(t, file, text)
		code, stdout, stderr := run(t, "settings", "--changed", "--config", file)
		if want == "" {
			require.Zero(t, code, "%s%s", text, stderr)
			require.Empty(t, stdout)
			continue
		}
		require.Equal(t, 2, code, text)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want, "%.100s", text)
		require.Contains(t, stderr, "tulle: "+file, "%.100s", text)
	}

	write(t, file, "download_delay: x\nimages.quality: y\n")
	_, _, stderr := run(t, "crawl", "tiny", "--config", file)
	require.Equal(t, 2, strings.Count(stderr, "\n"), stderr)

	// What is wrong beside the others is told with the line.
	write(t, file, "\nimages.quality: 500\n")
	_, _, stderr = run(t, "settings", "--config", file)
	require.Equal(t, fmt.Sprintf("tulle: %s:2: images.quality: 500: want 1 to 100\n", file), stderr)

	// A spider of another program is no mistake: a folder may have several.
	write(t, file, "spiders:\n  tyni: {download_delay: 1s}\n")
	code, _, stderr := run(t, "settings", "--changed", "--config", file)
	require.Zero(t, code)
	require.Contains(t, stderr, `x.yaml:2:3: no spider is called "tyni"; there are: `)
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Equal(t, map[string]string{
		"images.store":      "x (TULLE_IMAGES_STORE)",
		"images.thumbs":     "small=50x50 (TULLE_IMAGES_THUMBS)",
		"robots.ignore":     "true (TULLE_ROBOTSTXT_OBEY)",
		"download.h2c":      "true (TULLE_DOWNLOAD_H2C)",
		"url_length.limit":  "100B (TULLE_URL_LENGTH_LIMIT)",
		"http_auth.domain":  "a.b (TULLE_HTTP_AUTH_DOMAIN)",
		"retry.back_off":    "3s (TULLE_RETRY_BACK_OFF)",
		"aws.access_key_id": "k (TULLE_AWS_ACCESS_KEY_ID)",
	}, func() map[string]string {
		m := sources(t, dir, []string{
			"TULLE_IMAGES_STORE=x", "TULLE_IMAGES_THUMBS=small=50x50", "TULLE_ROBOTSTXT_OBEY=False", "TULLE_DOWNLOAD_H2C=1", "TULLE_URL_LENGTH_LIMIT=100",
			"TULLE_HTTP_AUTH_DOMAIN=a.b", "TULLE_RETRY_BACK_OFF=3s", "TULLE_AWS_ACCESS_KEY_ID=k", "TULLE_USER_AGENT=", "TULLE_TEST_ANYTHING=1", "TULLE=1", "TULLE_=1",
			"OTHER=1",
		})
		if m["url_length.limit"] == "100 (TULLE_URL_LENGTH_LIMIT)" {
			m["url_length.limit"] = "100B (TULLE_URL_LENGTH_LIMIT)"
		}
		return m
	}())

	code, stdout, stderr := in(t, dir, []string{"TULLE_IMAGES.THUMBS.SMALL=50x50", "TULLE_IMAGES_THUMBS_SMALL=50x50", "TULLE_DEFAULT_HEADERS_X_SHOP=open"}, "settings", "--changed")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Equal(t, `tulle: warning: TULLE_DEFAULT_HEADERS_X_SHOP in the environment sets nothing: an entry of default_headers has no variable of its own: TULLE_DEFAULT_HEADERS sets all of them
tulle: warning: TULLE_IMAGES.THUMBS.SMALL in the environment sets nothing: an entry of images.thumbs has no variable of its own: TULLE_IMAGES_THUMBS sets all of them
tulle: warning: TULLE_IMAGES_THUMBS_SMALL in the environment sets nothing: an entry of images.thumbs has no variable of its own: TULLE_IMAGES_THUMBS sets all of them
`, stderr)

	code, stdout, stderr = in(t, dir, []string{"TULLE_IMAGE_STORE=x", "TULLE_IMAGES=x", "TULLE_ITEM_PIPELINES=x"}, "settings", "--changed")
	require.Zero(t, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "tulle: warning: TULLE_IMAGE_STORE in the environment sets nothing: unknown setting IMAGE_STORE: did you mean TULLE_IMAGES_STORE?\n")
	require.Equal(t, 3, strings.Count(stderr, "warning: TULLE_I"))

	code, _, stderr = in(t, dir, []string{"TULLE_RETRY_TIMES=x", "TULLE_PROXY_FAILURES=y"}, "settings")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: TULLE_PROXY_FAILURES=y: proxy.failures: \"y\" is not a whole number\ntulle: TULLE_RETRY_TIMES=x: retry.times: \"x\" is not a whole number\n", stderr)

	// Passwords are in no message and in no table.
	code, stdout, stderr = in(t, dir, []string{"TULLE_HTTP_AUTH_PASSWORD=hush", "TULLE_HTTP_AUTH_USER=me"}, "settings")
	require.Equal(t, 2, code)
	require.NotContains(t, stdout+stderr, "hush")
	_, stdout, _ = in(t, dir, []string{"TULLE_FTP_PASSWORD=hush"}, "settings", "--changed")
	require.Equal(t, "ftp.password  ***  TULLE_FTP_PASSWORD\n", stdout)
	code, _, stderr = run(t, "settings", "-s", "proxy.urls=http://me:hush@a:x", "-s", "HTTPAUTH_PASS=hush")
	require.Equal(t, 2, code)
	require.NotContains(t, stderr, "hush")
}

// TestEnvironmentNames are of one setting each, whatever stands between their words.
func TestEnvironmentNames(t *testing.T) {
	t.Parallel()
	all, err := crawl.Settings{}.Explain(nil)
	require.NoError(t, err)
	seen := make(map[string]string)
	for _, s := range all {
		name := strings.NewReplacer(".", "", "_", "").Replace(s.Name)
		require.Empty(t, seen[name], s.Name)
		seen[name] = s.Name
	}
}

// TestCommandLineFeeds take the place of those that the file names.
func TestCommandLineFeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tulle.yaml"), "feeds: [a.jsonl]\n")
	code, _, stderr := in(t, dir, nil, "crawl", "tiny")
	require.Zero(t, code, stderr)
	require.Equal(t, 3, strings.Count(read(t, filepath.Join(dir, "a.jsonl")), "\n"))
	require.NoError(t, os.Remove(filepath.Join(dir, "a.jsonl")))

	code, _, stderr = in(t, dir, []string{"TULLE_FEEDS=[c.jsonl]"}, "crawl", "tiny", "-O", "b.csv")
	require.Equal(t, 2, code, "a variable that is wrong is told all the same")
	require.Contains(t, stderr, "TULLE_FEEDS")
	code, _, stderr = in(t, dir, []string{`TULLE_FEEDS=[{"uri":"c.jsonl"}]`}, "crawl", "tiny", "-O", "b.csv")
	require.Zero(t, code, stderr)
	require.Equal(t, []string{"b.csv", "tulle.yaml"}, entries(t, dir))

	// A feed's place alone is a feed, wherever it is said.
	want := func(source string) map[string]string {
		return map[string]string{"feeds": `[{"uri":"a.jsonl"}] (` + source + ")"}
	}
	write(t, filepath.Join(dir, "one.yaml"), "feeds: a.jsonl\n")
	require.Equal(t, want("tulle.yaml:1"), sources(t, dir, nil))
	require.Equal(t, want("one.yaml:1"), sources(t, dir, nil, "--config", "one.yaml"))
	require.Equal(t, want("TULLE_FEEDS"), sources(t, dir, []string{"TULLE_FEEDS=a.jsonl"}))
	require.Equal(t, want("-s"), sources(t, dir, nil, "-s", "feeds=a.jsonl"))
	require.Equal(t, want("-s"), sources(t, dir, nil, "-s", `feeds=["a.jsonl"]`))
}
