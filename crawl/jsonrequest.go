package crawl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// JSONRequest asks with v as JSON: Content-Type application/json, and an Accept header for JSON. method "" is POST. A map's keys are sorted, so the same value makes the
// same body, and the same fingerprint. A nil v has no body; a [json.RawMessage] is sent as it is. A value that does not marshal is kept as the request's error.
func JSONRequest(method, rawURL string, v any, with ...func(*Request)) *Request {
	body, err := jsonBody(v)
	if err != nil {
		return Unusable(rawURL, err)
	}
	return Get(rawURL, append([]func(*Request){func(r *Request) {
		if r.Method = method; method == "" {
			r.Method = http.MethodPost
		}
		r.Header = http.Header{"Accept": {"application/json, text/javascript, */*; q=0.01"}}
		if r.Body = body; body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
	}}, with...)...)
}

func jsonBody(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		if !json.Valid(v) {
			return nil, fmt.Errorf("body is not JSON: %.40q", v)
		}
		return v, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as JSON.stringify
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("body of type %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
