package gcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

const (
	// tries is how often a request is sent, backOff how long to wait after the first time: twice as long after each, up to maxBackOff, and less by chance
	// (https://cloud.google.com/storage/docs/retry-strategy).
	tries      = 5
	backOff    = 500 * time.Millisecond
	maxBackOff = 8 * time.Second
	// stalls is how many of a request's attempts may stand still: each of them takes minutes.
	stalls = 2
	// maxAnswer is more than any JSON that is asked for here.
	maxAnswer = 1 << 20
)

// client speaks the JSON API (https://cloud.google.com/storage/docs/json_api/v1).
type client struct {
	http     *http.Client
	slow     *http.Client // for what the server works on by itself
	endpoint string       // scheme://host[:port]
	project  string       // who pays; may be empty
	tries    int
}

// call is one request. Its body is in memory, so that it can be sent again.
type call struct {
	method string
	url    string
	header http.Header
	body   [][]byte
	slow   bool // the server may take its time to answer
}

// apiError is an answer that says no.
type apiError struct {
	Status  int
	Reason  string // such as notFound; may be empty
	Message string
	isJSON  bool // as the API's own answers are
}

func (e *apiError) Error() string {
	reason := fmt.Sprintf("status %d", e.Status)
	if e.Reason != "" {
		reason = e.Reason + ", " + reason
	}
	return fmt.Sprintf("%s (%s)", e.Message, reason)
}

// Is makes an object that is missing fs.ErrNotExist.
func (e *apiError) Is(target error) bool {
	return target == fs.ErrNotExist && e.Status == http.StatusNotFound
}

// url is the address of a resource. elements are escaped.
func (c *client) url(root string, query url.Values, elements ...string) string {
	var b strings.Builder
	b.WriteString(c.endpoint)
	b.WriteString(root)
	for _, e := range elements {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(e))
	}
	if query == nil {
		query = make(url.Values)
	}
	if c.project != "" {
		query.Set("userProject", c.project)
	}
	if len(query) > 0 {
		b.WriteByte('?')
		b.WriteString(query.Encode())
	}
	return b.String()
}

// do sends a request until there is an answer that is not passing trouble. The answer's status is below 300; the caller closes its body.
func (c *client) do(ctx context.Context, r call) (*http.Response, error) {
	stalled := 0
	for attempt := 1; ; attempt++ {
		resp, err := c.send(ctx, r)
		if err == nil && resp.StatusCode >= 300 {
			err = readError(resp)
		}
		if err == nil {
			return resp, nil
		}
		if errors.Is(err, objects.ErrStalled) {
			stalled++
		}
		if attempt >= c.tries || stalled >= stalls || !passing(ctx, err) {
			return nil, err
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// send sends a request once.
func (c *client) send(ctx context.Context, r call) (*http.Response, error) {
	readers := make([]io.Reader, len(r.body))
	var length int64
	for i, b := range r.body {
		readers[i] = bytes.NewReader(b)
		length += int64(len(b))
	}
	var body io.Reader = http.NoBody
	if length > 0 {
		body = io.MultiReader(readers...)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.slow {
		return c.slow.Do(req)
	}
	return c.http.Do(req)
}

// get asks for JSON.
func (c *client) json(ctx context.Context, r call, into any) error {
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	return readJSON(resp, into)
}

func readJSON(resp *http.Response, into any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}

// readError reads an answer that says no, and closes it.
func readError(resp *http.Response) error {
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	e := &apiError{Status: resp.StatusCode, Message: http.StatusText(resp.StatusCode)}
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &answer) == nil && answer.Error.Message != "" {
		e.isJSON, e.Message = true, strings.TrimRight(answer.Error.Message, ".")
		if len(answer.Error.Errors) > 0 {
			e.Reason = answer.Error.Errors[0].Reason
		}
	}
	return e
}

// passing reports whether the same request may do better later.
func passing(ctx context.Context, err error) bool {
	var (
		answer *apiError
		token  *oauth2.RetrieveError
	)
	switch {
	case ctx.Err() != nil:
		return false
	case errors.As(err, &answer):
		return passingStatus(answer.Status)
	case errors.As(err, &token):
		return token.Response == nil || passingStatus(token.Response.StatusCode)
	}
	return true
}

func passingStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// pause waits before the next attempt.
func pause(ctx context.Context, attempt int) error {
	wait := min(backOff<<(attempt-1), maxBackOff)
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
