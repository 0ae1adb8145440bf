package gcs

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

const (
	apiRoot    = "/storage/v1/b"
	uploadRoot = "/upload/storage/v1/b"
	jsonType   = "application/json; charset=utf-8"
	// cancelTimeout is how long it may take to take an upload back when nobody waits for it any more.
	cancelTimeout = 10 * time.Second
)

// object is the resource that stands for an object, as far as it matters here.
type object struct {
	Name           string             `json:"name,omitempty"`
	ContentType    string             `json:"contentType,omitempty"`
	Metadata       map[string]*string `json:"metadata,omitempty"` // in a patch nil removes one
	MD5            string             `json:"md5Hash,omitempty"`
	Size           int64              `json:"size,string,omitempty"`
	Created        time.Time          `json:"timeCreated,omitzero"`
	Generation     int64              `json:"generation,string,omitempty"`
	Metageneration int64              `json:"metageneration,string,omitempty"`
}

// put uploads a file. In one request if it is small: the server then refuses it if its MD5 is another.
func (s *Store) put(ctx context.Context, up *objects.Upload, what object) error {
	if !up.Last {
		return s.putPieces(ctx, up, what)
	}
	sum := md5.Sum(up.Part)
	what.MD5 = encodeSum(sum[:])
	resource, err := json.Marshal(what)
	if err != nil {
		return err
	}
	boundary := rand.Text()
	head := fmt.Sprintf("--%s\r\nContent-Type: %s\r\n\r\n%s\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary, jsonType, resource, boundary, what.ContentType)
	var stored object
	err = s.client.json(ctx, call{
		method: http.MethodPost, url: s.uploadURL("multipart"),
		header: http.Header{"Content-Type": {"multipart/related; boundary=" + boundary}},
		body:   [][]byte{[]byte(head), up.Part, []byte("\r\n--" + boundary + "--\r\n")},
	}, &stored)
	if err != nil {
		return err
	}
	return s.verify(ctx, &stored, what.Name, what.MD5)
}

// uploadURL is where uploads of a kind begin.
func (s *Store) uploadURL(kind string) string {
	query := url.Values{"uploadType": {kind}}
	if s.acl != "" {
		query.Set("predefinedAcl", s.acl)
	}
	return s.client.url(uploadRoot, query, s.place.Bucket, "o")
}

// putPieces uploads what is larger than a piece. Whatever ends it early, the upload is taken back.
func (s *Store) putPieces(ctx context.Context, up *objects.Upload, what object) error {
	resource, err := json.Marshal(what)
	if err != nil {
		return err
	}
	resp, err := s.client.do(ctx, call{
		method: http.MethodPost, url: s.uploadURL("resumable"), body: [][]byte{resource},
		header: http.Header{"Content-Type": {jsonType}, "X-Upload-Content-Type": {what.ContentType}},
	})
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	session := resp.Header.Get("Location")
	if session == "" {
		return errors.New("the server began an upload and did not say where")
	}
	p := pieces{client: s.client, session: session, sum: md5.New()}
	stored, err := p.send(ctx, up)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
		defer cancel()
		if resp, err := s.client.send(ctx, call{method: http.MethodDelete, url: session}); err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	return s.verify(ctx, stored, what.Name, encodeSum(p.sum.Sum(nil)))
}

// verify holds what the server has against what was sent, and removes it if it is something else. This very generation: somebody may have stored another since.
func (s *Store) verify(ctx context.Context, stored *object, key, want string) error {
	if stored.MD5 == "" || stored.MD5 == want {
		return nil
	}
	err := fmt.Errorf("what has arrived has another MD5: %s in place of %s", stored.MD5, want)
	query := url.Values{"ifGenerationMatch": {strconv.FormatInt(stored.Generation, 10)}}
	resp, gone := s.client.do(ctx, call{method: http.MethodDelete, url: s.client.url(apiRoot, query, s.place.Bucket, "o", key)})
	if gone != nil {
		return errors.Join(err, gone)
	}
	_ = resp.Body.Close()
	return err
}

func encodeSum(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// pieces is a resumable upload (https://cloud.google.com/storage/docs/performing-resumable-uploads).
type pieces struct {
	client  *client
	session string
	sum     hash.Hash
	offset  int64 // of the piece in hand
}

// send sends everything and returns what became of it.
func (p *pieces) send(ctx context.Context, up *objects.Upload) (*object, error) {
	for {
		p.sum.Write(up.Part)
		stored, err := p.piece(ctx, up.Part, up.Last)
		if err != nil || up.Last {
			return stored, err
		}
		p.offset += int64(len(up.Part))
		if err := up.Next(); err != nil {
			return nil, err
		}
	}
}

// piece sends one piece, from wherever the server has got to. It returns the object after the last one.
func (p *pieces) piece(ctx context.Context, data []byte, last bool) (*object, error) {
	end := p.offset + int64(len(data))
	at := p.offset // what the server has
	total := "*"
	if last {
		total = strconv.FormatInt(end, 10)
	}
	ask := false // to be told where the server is, after something broke
	stalled := 0
	for attempt := 1; ; {
		r := call{method: http.MethodPut, url: p.session, header: make(http.Header), slow: last && !ask}
		if ask || at == end {
			r.header.Set("Content-Range", "bytes */"+total)
		} else {
			r.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", at, end-1, total))
			r.body = [][]byte{data[at-p.offset:]}
			if last {
				r.header.Set("X-Goog-Hash", "md5="+encodeSum(p.sum.Sum(nil)))
			}
		}
		stored, has, err := p.exchange(ctx, r)
		switch {
		case err == nil && stored != nil:
			if !last {
				return nil, errors.New("the server took a piece for the last one")
			}
			return stored, nil
		case err == nil && (has < p.offset || has > end):
			return nil, fmt.Errorf("the server has %d bytes, where %d to %d were sent", has, p.offset, end)
		case err == nil && has == end && !last:
			return nil, nil
		case err == nil && has > at:
			at, ask, attempt, stalled = has, false, 1, 0
			continue
		case err == nil && ask:
			ask = false
			continue
		case err == nil:
			err = fmt.Errorf("the server does not go beyond byte %d", has)
		case !passing(ctx, err):
			return nil, err
		}
		if errors.Is(err, objects.ErrStalled) {
			stalled++
		}
		if attempt >= p.client.tries || stalled >= stalls {
			return nil, err
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
		attempt, ask = attempt+1, true
	}
}

// exchange sends a request and returns the object if it is there now, else how many bytes the server has.
func (p *pieces) exchange(ctx context.Context, r call) (*object, int64, error) {
	resp, err := p.client.send(ctx, r)
	switch {
	case err != nil:
		return nil, 0, err
	case resp.StatusCode == http.StatusPermanentRedirect: // "308 Resume Incomplete", Google's own meaning
		_ = resp.Body.Close()
		has, err := received(resp.Header.Get("Range"))
		return nil, has, err
	case resp.StatusCode >= 300:
		return nil, 0, readError(resp)
	}
	stored := new(object)
	return stored, 0, readJSON(resp, stored)
}

// received reads "bytes=0-41", which is 42 bytes. Nothing is none.
func received(ranged string) (int64, error) {
	if ranged == "" {
		return 0, nil
	}
	last, ok := strings.CutPrefix(ranged, "bytes=0-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("the server's Range %q makes no sense", ranged)
	}
	return n + 1, nil
}
