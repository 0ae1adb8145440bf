package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// programs are the names that the browser is looked for by.
var programs = []string{
	"chromium-headless-shell", "headless-shell", "headless_shell", "chrome-headless-shell", "chromium", "chromium-browser",
	"google-chrome", "google-chrome-stable", "chrome", "msedge",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	`C:\Program Files\Google\Chrome\Application\chrome.exe`, `C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`,
}

// missingError says that there is no program to start: another try finds none either.
type missingError struct{ err error }

func (e *missingError) Error() string { return e.err.Error() }
func (e *missingError) Unwrap() error { return e.err }

// errNoBrowser says that no browser is installed.
var errNoBrowser = errors.New("no browser is found: install Chromium (on Debian the package chromium-headless-shell or chromium), or let the setting browser.path name one")

// find returns the file of the browser's program.
func find(path string) (string, error) {
	if path != "" {
		file, err := exec.LookPath(path)
		if err != nil {
			return "", &missingError{fmt.Errorf("browser.path: %w", err)}
		}
		return file, nil
	}
	for _, name := range programs {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", &missingError{errNoBrowser}
}

// closeWithin is how long the browser has to end when it is asked to.
const closeWithin = 3 * time.Second

// process is one start of the browser.
type process struct {
	ready chan struct{} // closed when it runs, or does not
	// Set when ready is closed.
	root context.Context // the browser's; it ends with it
	lost <-chan struct{} // closed when the browser has ended
	end  func()          // kills it
	err  error           // why it does not run

	killed atomic.Bool
}

// startsWithin is how long the browser has to start.
const startsWithin = 30 * time.Second

// answersWithin is how long a browser that is asked for its version may take, on a machine that has too much to do.
const answersWithin = 10 * time.Second

// answers reports whether the browser itself, not a page of it, answers.
func (p *process) answers() bool {
	within, done := context.WithTimeout(p.root, answersWithin)
	defer done()
	_, err := chromedp.CallBrowser(within, browser.GetVersion, cdp.Empty{})
	return err == nil
}

// kill ends a browser that does not answer: what is open in it fails.
func (p *process) kill() {
	p.killed.Store(true)
	p.end()
}

// alive reports whether a process runs, or is about to.
func (p *process) alive() bool {
	select {
	case <-p.ready:
	default:
		return true
	}
	if p.err != nil || p.killed.Load() {
		return false
	}
	select {
	case <-p.lost:
		return false
	default:
		return true
	}
}

// running returns a browser that runs.
func (r *renderer) running(ctx context.Context) (*process, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, crawl.ErrStopping
	}
	p := r.current
	if p == nil || !p.alive() {
		if p != nil && p.err == nil && !p.killed.Load() {
			r.log.Warn("the browser has ended by itself, and is started again")
		}
		p = &process{ready: make(chan struct{})}
		r.current = p
		r.work.Go(func() { r.run(p) })
	}
	r.mu.Unlock()
	select {
	case <-p.ready:
		return p, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run starts the browser, and returns when it has ended.
func (r *renderer) run(p *process) {
	file, err := find(r.settings.Browser.Path)
	if err == nil {
		err = r.proxy.listen()
	}
	if err != nil {
		p.err = err
		close(p.ready)
		return
	}
	sweep(os.TempDir())
	base, kill := context.WithCancel(context.Background())
	defer kill()
	var held io.Closer
	allocator, release := chromedp.NewExecAllocator(base, append(r.options(file), chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
		apart(cmd)
		held = r.hold(cmd.Args)
	}))...)
	defer func() {
		if held != nil {
			_ = held.Close()
		}
	}()
	root, cancel := chromedp.NewContext(allocator, chromedp.WithBrowserOption(chromedp.WithBrowserLogf(r.tell), chromedp.WithBrowserErrorf(r.tell)))
	// A command of the browser's own starts it without a page.
	defer context.AfterFunc(r.life, func() {
		select {
		case <-p.ready:
		default:
			kill() // it is about to start
		}
	})()
	late := time.AfterFunc(r.startsWithin, kill)
	version, err := chromedp.CallBrowser(root, browser.GetVersion, cdp.Empty{})
	hung := !late.Stop()
	if err != nil || hung {
		cancel()
		release()
		switch {
		case r.life.Err() != nil:
			p.err = crawl.ErrStopping
		case hung:
			p.err = fmt.Errorf("%s has not started within %s", file, r.startsWithin)
		default:
			p.err = fmt.Errorf("start %s: %w", file, err)
		}
		close(p.ready)
		return
	}
	r.log.Info("browser started", zap.String("program", file), zap.String("version", version.Product))
	if os.Getuid() == 0 {
		r.log.Warn("the browser runs as root and so without its sandbox: run the crawl as another user")
	}
	p.end, p.root, p.lost = kill, root, chromedp.FromContext(root).Browser.LostConnection
	close(p.ready)
	select {
	case <-root.Done():
	case <-r.life.Done():
		// If it is asked to, it sees its own children off. Those of a browser that is killed are left to the system.
		within, done := context.WithTimeout(root, closeWithin)
		_ = chromedp.Cancel(within)
		done()
	}
	kill()
	cancel()
	release()
}

// profiles is how the names of the temporary folders begin that the DevTools client makes for browsers.
const profiles = "chromedp-runner"

// hold marks the temporary folder in a browser's arguments as this program's, so that another one removes it if this one is killed. It returns nil if there is none.
func (r *renderer) hold(args []string) io.Closer {
	for _, arg := range args {
		folder, ok := strings.CutPrefix(arg, "--user-data-dir=")
		if !ok || !strings.HasPrefix(filepath.Base(folder), profiles) {
			continue
		}
		held, err := hold(folder)
		if err != nil {
			r.log.Debug("the browser's folder stays behind if this program is killed", zap.String("folder", folder), zap.Error(err))
			return nil
		}
		return held
	}
	return nil
}

// tell logs what the DevTools client has to say: of events that it does not know, mostly.
func (r *renderer) tell(format string, args ...any) {
	r.log.Debug("browser: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// options are the browser's arguments and environment.
func (r *renderer) options(file string) []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(file), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoInheritEnv, chromedp.Env(environment()...),
		chromedp.WindowSize(r.settings.Browser.Width, r.settings.Browser.Height),
		// Nothing leaves but through the proxy: neither for this machine, nor by UDP, nor for a host's address.
		chromedp.Flag("proxy-server", r.proxy.url()),
		chromedp.Flag("proxy-bypass-list", "<-loopback>"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("force-webrtc-ip-handling-policy", "disable_non_proxied_udp"),
		chromedp.Flag("disable-quic", true),
		// Frames of other sites stay in the page's process, where their requests can be blocked as the page's are.
		chromedp.Flag("disable-features", "IsolateOrigins,site-per-process,Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider"),
		chromedp.Flag("disable-site-isolation-trials", true),
		// Windows that pages open would ask for their pages before they could be closed.
		chromedp.Flag("block-new-web-contents", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-dev-shm-usage", true), // it is small in containers
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-hang-monitor", true),
		chromedp.Flag("disable-prompt-on-repost", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("metrics-recording-only", true),
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("use-mock-keychain", true),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("hide-scrollbars", true),
	}
	if shown := r.proxy.shown; shown != nil {
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", shown.hash))
	} else if r.settings.Download.InsecureTLS {
		options = append(options, chromedp.Flag("ignore-certificate-errors", true))
	}
	if r.settings.Download.DisableHTTP2 {
		options = append(options, chromedp.Flag("disable-http2", true))
	}
	for _, arg := range r.settings.Browser.Args {
		name, value, valued := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if valued {
			options = append(options, chromedp.Flag(name, value))
		} else {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	return options
}

// environment is what the browser needs of this program's, which may have secrets in it.
func environment() []string {
	var env []string
	for _, name := range []string{
		"HOME", "PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "LD_LIBRARY_PATH",
	} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"TEMP", "TMP", "LOCALAPPDATA", "USERPROFILE", "SYSTEMROOT"} {
			env = append(env, name+"="+os.Getenv(name))
		}
	}
	return env
}
