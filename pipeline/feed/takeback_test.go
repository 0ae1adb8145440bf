package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

const users = "{\"users\":1}\n"

// begun is a job in batches of one item that was killed before its second batch was committed. there is what was in that batch's file before, if anything.
func begun(t *testing.T, there string) (*job, crawl.Feed, string) {
	t.Helper()
	j, dir := newJob(t), t.TempDir()
	conf, second := crawl.Feed{URI: filepath.Join(dir, "%(batch_id)d.jsonl"), BatchItems: 1}, filepath.Join(dir, "2.jsonl")
	if there != "" {
		require.NoError(t, os.WriteFile(second, []byte(there), 0o600))
	}
	r := j.start(conf)
	r.commit(r.page(lamp))
	_, err := r.append(r.page(lamp))
	require.NoError(t, err)
	r.crash()
	require.Equal(t, there+lampJSON+"\n", read(t, second))
	return j, conf, second
}

// TestTakenBackOnce leaves alone what the user puts where a batch was taken back.
func TestTakenBackOnce(t *testing.T) {
	t.Parallel()
	j, conf, second := begun(t, "")
	j.start(conf).close()
	require.NoFileExists(t, second)
	require.NoError(t, os.WriteFile(second, []byte(users), 0o600))
	j.start(conf).close()
	require.Equal(t, users, read(t, second))

	r := j.start(conf)
	r.commit(r.page(chair))
	r.close()
	require.Equal(t, users+chairJSON+"\n", read(t, second))

	// The process that takes it back goes on itself.
	j, conf, second = begun(t, "")
	r = j.start(conf)
	require.NoError(t, os.WriteFile(second, []byte(users), 0o600))
	r.commit(r.page(chair))
	r.close()
	require.Equal(t, users+chairJSON+"\n", read(t, second))
}

// TestAnotherFileOfThatName is the user's, and was put there before the job goes on.
func TestAnotherFileOfThatName(t *testing.T) {
	t.Parallel()
	for _, there := range []string{"", users + users} {
		j, conf, second := begun(t, there)
		require.NoError(t, os.Remove(second))
		require.NoError(t, os.WriteFile(second, []byte(users), 0o600))
		env, logs := j.env()
		require.NoError(t, start(t, env, conf).Close())
		require.Equal(t, users, read(t, second))
		require.Equal(t, 1, logs.Len())
		require.Equal(t, map[string]any{"feed": conf.URI, "file": second, "error": "it is another file now"}, logs.All()[0].ContextMap())

		env, logs = j.env()
		require.NoError(t, start(t, env, conf).Close())
		require.Zero(t, logs.Len(), "it is said once")
	}
}

// TestAnotherFileFirst has replaced the file that nothing was committed to, whatever stood in it when the job began.
func TestAnotherFileFirst(t *testing.T) {
	t.Parallel()
	for _, there := range []string{"", users} {
		j := newJob(t)
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")}
		require.NoError(t, os.WriteFile(conf.URI, []byte(there), 0o600))
		r := j.start(conf)
		_, err := r.append(r.page(lamp))
		require.NoError(t, err)
		r.crash()
		require.NoError(t, os.Remove(conf.URI))
		require.NoError(t, os.WriteFile(conf.URI, []byte(users+users), 0o600))
		env, logs := j.env()
		r = &jobRun{j: j, s: start(t, env, conf)}
		r.commit(r.page(chair))
		r.close()
		require.Equal(t, there+chairJSON+"\n", read(t, conf.URI), "what stood there when the job began, and the items")
		require.Equal(t, users+users, read(t, conf.URI+".kept-1"), "nothing of anybody's is lost")
		require.Equal(t, 1, logs.Len())
		require.Equal(t, map[string]any{"feed": conf.URI, "file": conf.URI, "began": conf.URI, "copy": conf.URI + ".kept-1"}, logs.All()[0].ContextMap())
	}
}

// TestAnotherWorkingFolder is a job with a relative name. What it has begun is taken back where it is; what has the same name where the job goes on is the user's.
func TestAnotherWorkingFolder(t *testing.T) {
	j, a, b := newJob(t), t.TempDir(), t.TempDir()
	conf := crawl.Feed{URI: "%(batch_id)d.jsonl", BatchItems: 1}
	t.Chdir(a)
	r := j.start(conf)
	_, err := r.append(r.page(lamp, lamp, lamp))
	require.NoError(t, err)
	r.crash()
	t.Chdir(b)
	for n := range 3 {
		require.NoError(t, os.WriteFile(fmt.Sprintf("%d.jsonl", n+1), []byte(users), 0o600))
	}
	j.start(conf).close()
	require.Equal(t, []string{"1.jsonl"}, files(t, a))
	for n := range 3 {
		require.Equal(t, users, read(t, fmt.Sprintf("%d.jsonl", n+1)))
	}
}

// TestMovedFolder is a job with a relative name whose working folder was moved, with all that is in it.
func TestMovedFolder(t *testing.T) {
	parent := t.TempDir()
	a, b := filepath.Join(parent, "a"), filepath.Join(parent, "b")
	require.NoError(t, os.Mkdir(a, 0o700))
	t.Chdir(a)
	require.NoError(t, os.WriteFile("3.jsonl", []byte(users), 0o600))
	j := newJob(t)
	conf := crawl.Feed{URI: "%(batch_id)d.jsonl", BatchItems: 1}
	r := j.start(conf)
	_, err := r.append(r.page(lamp, lamp, lamp))
	require.NoError(t, err)
	r.crash()
	if err := os.Rename(a, b); err != nil {
		t.Skip("a working folder cannot be moved here")
	}
	t.Chdir(b)
	j.start(conf).close()
	require.Equal(t, []string{"1.jsonl", "3.jsonl"}, files(t, b))
	require.Empty(t, read(t, "1.jsonl"))
	require.Equal(t, users, read(t, "3.jsonl"))
}

// TestNotCutBack goes on although a file that was appended to is not that any more.
func TestNotCutBack(t *testing.T) {
	t.Parallel()
	rewrite := func(text string) func(string) error {
		return func(name string) error { return os.WriteFile(name, []byte(text), 0o600) }
	}
	for _, c := range []struct {
		name   string
		change func(name string) error
		want   string // what is said of it
	}{
		{"another format", rewrite("[1]\n"), "the file begins as json does, and this feed writes jsonl: overwrite it (-O), or append to another file"},
		{"longer", rewrite("{\"another\":\"file\"}\n"), "it does not go on as the job has left it"},
		{"folder", func(name string) error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o700)) }, "it is another file now"},
		{"gone", os.Remove, ""},
	} {
		j, conf, second := begun(t, users)
		require.NoError(t, c.change(second))
		before := files(t, filepath.Dir(second))
		env, logs := j.env()
		require.NoError(t, start(t, env, conf).Close(), c.name)
		require.Equal(t, before, files(t, filepath.Dir(second)), c.name)
		if c.want == "" {
			require.Zero(t, logs.Len(), c.name)
			continue
		}
		require.Equal(t, 1, logs.Len(), c.name)
		require.Equal(t, map[string]any{"feed": conf.URI, "file": second, "error": c.want}, logs.All()[0].ContextMap(), c.name)
	}
}

// TestOverwriteIsRemembered decides by how a batch was begun, and not by how the job goes on.
func TestOverwriteIsRemembered(t *testing.T) {
	t.Parallel()
	j, conf, second := begun(t, users)
	conf.Overwrite = true
	j.start(conf).close()
	require.Equal(t, users, read(t, second))

	j = newJob(t)
	require.NoError(t, os.WriteFile(second, []byte(users), 0o600))
	r := j.start(conf)
	r.commit(r.page(lamp))
	_, err := r.append(r.page(lamp))
	require.NoError(t, err)
	r.crash()
	conf.Overwrite = false
	j.start(conf).close()
	require.NoFileExists(t, second, "what was in it has gone before")
}

// TestOverwrittenThroughALink takes back what is behind the link.
func TestOverwrittenThroughALink(t *testing.T) {
	t.Parallel()
	j, dir := newJob(t), t.TempDir()
	link, behind := filepath.Join(dir, "2.jsonl"), filepath.Join(dir, "behind")
	require.NoError(t, os.WriteFile(behind, []byte(users), 0o600))
	if err := os.Symlink(behind, link); err != nil {
		t.Skip("no symbolic links here")
	}
	conf := crawl.Feed{URI: filepath.Join(dir, "%(batch_id)d.jsonl"), BatchItems: 1, Overwrite: true}
	r := j.start(conf)
	_, err := r.append(r.page(lamp, lamp))
	require.NoError(t, err)
	r.crash()
	j.start(conf).close()
	require.Equal(t, []string{"1.jsonl", "2.jsonl", "behind"}, files(t, dir))
	require.Empty(t, read(t, behind))
}

// TestBatchesWithoutAFolder are those of a scheduler that has a state, and no folder.
func TestBatchesWithoutAFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(t.TempDir())
	j := newJob(t)
	j.dir = ""
	r := j.start(crawl.Feed{URI: filepath.Join(dir, "%(batch_id)d.jsonl"), BatchItems: 1})
	r.commit(r.page(lamp, chair))
	r.close()
	require.Equal(t, []string{"1.jsonl", "2.jsonl"}, files(t, dir))
	require.Empty(t, files(t, "."))
}

// TestFeedsMeet is an error when the next batch of one feed is another one's file.
func TestFeedsMeet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	batches, other := crawl.Feed{URI: filepath.Join(dir, "%(batch_id)d.jsonl"), BatchItems: 1}, crawl.Feed{URI: filepath.Join(dir, "2.jsonl")}
	env, _ := environment(t)
	s := start(t, env, batches, other)
	write(t, s, lamp)
	_, err := s.Process(t.Context(), chair)
	requireReason(t, err, ReasonFailed)
	require.EqualError(t, s.Close(), "feed "+batches.URI+": "+other.URI+": this file is another feed's already")
	require.Equal(t, lampJSON+"\n"+chairJSON+"\n", read(t, other.URI))
}

// TestLaterBatchesAreNotRead looks at what the second one begins with, and reads the next one whole.
func TestLaterBatchesAreNotRead(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 'a' + byte(r.IntN(26))
	}
	whole := packed(t, "x.gz", `{"text":"`+string(noise)+"\"}\n")
	torn := whole[:len(whole)-9]
	for _, c := range []struct{ second, third, want string }{
		{whole, torn, ""},
		{torn, whole, "/2.jsonl.gz: the file is not whole"},
		{whole, string(noise), "/3.jsonl.gz: "},
	} {
		dir := t.TempDir()
		for n, text := range map[string]string{"2": c.second, "3": c.third} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, n+".jsonl.gz"), []byte(text), 0o600))
		}
		env, _ := environment(t)
		s, err := Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(dir, "%(batch_id)d.jsonl.gz"), BatchItems: 1}})
		if c.want != "" {
			require.ErrorContains(t, err, dir+c.want)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, s.Undo())
	}
}

// TestEndOfAPartFails says where the items of a part are kept that cannot be ended, with those that wait for a commit: nobody may take them for what a killed crawl has left.
func TestEndOfAPartFails(t *testing.T) {
	t.Parallel()
	env, _, temp, _ := remoteEnv(t)
	s := start(t, env, crawl.Feed{URI: "s3://bucket/f.jsonl"})
	write(t, s, lamp, chair)
	require.NoError(t, s.feeds[0].file.(*file).File.Close()) // as on a disk that fails
	requireKept(t, s.Close(), temp, lampJSON+"\n"+chairJSON+"\n")

	env, _, temp, _ = remoteEnv(t)
	env.State = make(map[string][]byte)
	s = start(t, env, crawl.Feed{URI: "s3://bucket/%(batch_id)d.jsonl", BatchItems: 1})
	r := &jobRun{j: &job{t: t}, s: s}
	_, err := r.append(r.page(lamp)) // it waits
	require.NoError(t, err)
	f := s.feeds[0]
	f.fail(errors.New("the disk fails"))
	_, _, err = f.Append(nil)
	require.ErrorContains(t, err, "the disk fails")
	requireKept(t, s.Close(), temp, lampJSON+"\n")
}

// requireKept looks for the folders of feeds on their way: there is one, nobody's but the user's, and the error names the file in it.
func requireKept(t *testing.T, err error, temp, text string) {
	t.Helper()
	kept, globErr := filepath.Glob(filepath.Join(temp, spoolPrefix+"*", "*.jsonl"))
	require.NoError(t, globErr)
	require.Len(t, kept, 1)
	require.ErrorContains(t, err, "kept in "+kept[0])
	require.NoFileExists(t, filepath.Join(filepath.Dir(kept[0]), ownerFile))
	require.Equal(t, text, read(t, kept[0]))
}
