package crawl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
)

// A Spider says where a crawl starts and what to do with each response. The zero value of every field but Name works.
//
// A spider with state is a struct with methods and a constructor that returns a *Spider whose fields hold its method values.
// The engine reads a Spider and never writes to it; one value may be crawled twice, one after the other.
type Spider struct {
	// Name is how the command line, the logs and `{spider}` in store addresses call it.
	Name string
	// StartURLs are asked first, with GET, and answered by Parse. They are filtered as seen like every other request.
	StartURLs []string
	// AllowedDomains are the only ones that pages are asked from: a domain stands for its subdomains too. Empty: all.
	AllowedDomains []string
	// Start produces the first requests (and items, if it likes) instead of StartURLs. It is read lazily: its Out blocks while the crawl has enough to do,
	// so it may produce millions. It runs on a goroutine of its own; an error ends the crawl with the reason "start_error" when what was asked is done.
	Start func(ctx context.Context, out *Out) error
	// Parse is given the responses to requests without a Route.
	Parse Callback
	// Routes are the named callbacks. A request names its callback and never holds it, so that it can be written to disk.
	Routes map[string]Callback
	// Errback is told of requests that failed for good: not downloaded after all attempts, filtered, or answered with a status that is not handled.
	Errback Errback
	// Configure changes the settings for this spider. The settings file, the environment and the command line come after it.
	Configure func(*Settings)
	// Checks are what a saved page is held against, route by route.
	Checks []Check
	// Verify is what a kind of spider holds against itself before a crawl: a rule whose route does not exist, a pattern that does not compile. Its error keeps the
	// crawl from starting. nil: there is nothing more to hold.
	Verify func(*Spider) error
	// Items are examples of the items that the callbacks make, such as Book{} or &Book{}: their tags are compiled before the crawl starts, and feeds take columns and
	// schemas from them. Empty: what comes first is the example.
	Items []any
	// Closed is called once, when the crawl is over, with the reason: "finished", "shutdown", or that of a CloseSpider.
	Closed func(ctx context.Context, reason string)
}

// CheckArgs refuses arguments that a spider does not have: a mistyped -a would change nothing, and nobody would see it. A constructor calls it with its args, and the
// names of those that it reads; none is a spider that takes no arguments. The error says which there are.
func CheckArgs(args map[string]string, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if slices.Contains(known, name) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("-a %s: it takes no arguments", name)
		}
		return fmt.Errorf("-a %s: no such argument; it takes: %s", name, strings.Join(known, ", "))
	}
	return nil
}

// A Callback turns a response into items and requests, which it hands to out. It runs on a goroutine of its own beside others and may block. What it has
// handed over counts even if it then returns an error or panics: both are logged with the page, counted, and the crawl goes on.
// A [DropItem] error is not for callbacks; [CloseSpider] ends the crawl; [Reschedule], before anything was handed over, asks for the page again.
type Callback func(ctx context.Context, resp *Response, out *Out) error

// An Errback is told of a request that failed for good, and why. It may hand over items and requests as a callback may. Ask err with errors.As for
// a [*DownloadError], a [*StatusError] (whose response it may read) or an [*IgnoreRequestError].
type Errback func(ctx context.Context, req *Request, err error, out *Out) error

// A Check says what one route must make of one page. The command check holds a spider against its checks, on saved pages or on the live site; in tests
// crawltest.Checks does so on saved pages.
type Check struct {
	// Name is how reports call the check. "" is its page.
	Name string
	// Route is the callback's name; "" is Parse.
	Route string
	// URL is the page's address: links are resolved against it.
	URL string
	// Page is the file with the saved page. A relative name is one in the working directory, which in a test is the folder of its package; the command check also looks in
	// the project's folder and in its folder spiders. Empty: the page is asked from URL.
	Page string
	// Data is what the request carries, as with [With]. nil is nothing.
	Data any
	// Status is the saved page's. 0 is 200.
	Status int
	// MinItems and MinRequests are the least numbers that the callback must produce. MaxItems and MaxRequests are the most; 0 means any number, negative none.
	MinItems, MaxItems, MinRequests, MaxRequests int
	// Fields must be present and not empty in every item, by their names in the feed. Empty are "", 0, null, lists and objects without entries, and the zero time; false is not.
	Fields []string
	// Func looks at what the callback produced, if the numbers above do not say all that is wanted. Its error is what is wrong. nil: nothing more is asked.
	Func func(items []any, requests []*Request) error
}

// Callback returns the callback of a route, "" being Parse. The error for an unknown route lists those that exist.
func (s *Spider) Callback(route string) (Callback, error) {
	if route == "" {
		if s.Parse == nil {
			return nil, fmt.Errorf("spider %s has no Parse, and the request names no route (routes: %s)", s.Name, s.routeList())
		}
		return s.Parse, nil
	}
	if cb := s.Routes[route]; cb != nil {
		return cb, nil
	}
	return nil, fmt.Errorf("spider %s has no route %q (routes: %s)", s.Name, route, s.routeList())
}

func (s *Spider) routeList() string {
	if len(s.Routes) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(s.Routes)), ", ")
}

// Validate returns what keeps the spider from being crawled: no name, nothing to start with, a route without a function.
func (s *Spider) Validate() error {
	if s == nil {
		return errors.New("no spider")
	}
	var errs []error
	if s.Name == "" {
		errs = append(errs, errors.New("the spider has no Name"))
	}
	if s.Start == nil && len(s.StartURLs) == 0 {
		errs = append(errs, fmt.Errorf("spider %s has neither StartURLs nor Start", s.Name))
	}
	if s.Start == nil && s.Parse == nil {
		errs = append(errs, fmt.Errorf("spider %s has StartURLs but no Parse to give their responses to", s.Name))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Routes)) {
		if s.Routes[name] == nil {
			errs = append(errs, fmt.Errorf("spider %s: route %q has no function", s.Name, name))
		}
	}
	if err := CheckItems(s.Items); err != nil {
		errs = append(errs, fmt.Errorf("spider %s: items: %w", s.Name, err))
	}
	if err := s.verify(); err != nil {
		errs = append(errs, fmt.Errorf("spider %s: %w", s.Name, err))
	}
	return errors.Join(errs...)
}

// verify calls Verify, whose panic is an error.
func (s *Spider) verify() (err error) {
	if s.Verify == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("verify: %w", &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return s.Verify(s)
}
