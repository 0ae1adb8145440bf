package feed

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// spoolPrefix begins the names of folders with feeds that are on their way, of crawls without a job.
	spoolPrefix = "tulle-feed-"
	// ownerFile says in such a folder whose it is, as long as somebody will see to it: what is kept for the user has none.
	ownerFile = ".owner"
	// leftAfter is how long a folder stays whose process was killed: its items may be wanted.
	leftAfter = 24 * time.Hour
)

// ownSpool makes a folder for a part that is on its way. It is this process's until owner is closed.
func ownSpool(dir string) (folder string, owner *os.File, err error) {
	folder, err = os.MkdirTemp(dir, spoolPrefix+"*")
	if err == nil {
		owner, err = os.OpenFile(filepath.Join(folder, ownerFile), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err == nil {
		hold(owner)
		_, err = owner.WriteString(ownerText(os.Getpid()))
	}
	if err != nil && dir != "" {
		err = fmt.Errorf("feed_export.temp_dir: %w", err)
	}
	return folder, owner, err
}

// ownerText names a process. The machine counts too: a folder may be shared by several, as containers do.
func ownerText(pid int) string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%d %s", pid, host)
}

// disown leaves a part's folder to the user.
func (p *part) disown() {
	p.release()
	if p.folder != "" {
		_ = os.Remove(filepath.Join(p.folder, ownerFile)) // it may have none
	}
}

// release ends that a part's folder is this process's.
func (p *part) release() {
	if p.owner != nil {
		_ = p.owner.Close() // nothing is lost with it, and it may be closed already
	}
}

// sweep removes what crawls without a job have left in the folder for feeds on their way, when their processes were killed a day ago or longer.
func (s *Feeds) sweep(now time.Time) {
	if s.past != nil && s.past.dir != "" {
		return
	}
	dir := s.env.Settings.FeedExport.TempDir
	if dir == "" {
		dir = os.TempDir()
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return // who cannot read it has left nothing
	}
	for _, d := range there {
		if !d.IsDir() || !strings.HasPrefix(d.Name(), spoolPrefix) {
			continue
		}
		folder := filepath.Join(dir, d.Name())
		if removed, err := removeLeft(folder, now); err != nil {
			s.env.Log.Warn("a feed that a killed crawl has left cannot be removed", zap.String("folder", folder), zap.Error(err))
		} else if removed {
			s.env.Log.Info("a feed that a killed crawl has left is removed", zap.String("folder", folder))
		}
	}
}

// removeLeft removes a folder of this user's, if it belonged to a process of this machine that has ended, and has not changed for a long time.
func removeLeft(folder string, now time.Time) (bool, error) {
	const longest = 1 << 10 // of an owner's name
	name := filepath.Join(folder, ownerFile)
	for _, of := range []string{folder, name} { // nobody else can put a pipe there after that
		info, err := os.Lstat(of)
		if err != nil || !mine(info) || of == name && (!info.Mode().IsRegular() || info.Size() > longest) {
			return false, nil
		}
	}
	owner, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false, nil
	}
	defer owner.Close()
	text, err := io.ReadAll(owner)
	if err != nil {
		return false, nil
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil || pid <= 0 || string(text) != ownerText(pid) {
		return false, nil
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return false, nil
	}
	for _, d := range files {
		info, err := d.Info()
		if err != nil || now.Sub(info.ModTime()) < leftAfter {
			return false, nil
		}
	}
	if !isFree(owner, pid) {
		return false, nil
	}
	if runtime.GOOS == "windows" {
		_ = owner.Close() // what is open stays there
	}
	return true, os.RemoveAll(folder)
}
