package s3_test

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/s3"
)

func openError(t *testing.T, uri string, set crawl.AWSSettings) string {
	t.Helper()
	e, _ := env(t, set)
	e.Settings.Parts.Stores = map[string]crawl.OpenStore{"s3": s3.Open}
	_, err := store.Open(t.Context(), uri, e)
	require.Error(t, err)
	return err.Error()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	srv := start(t, "open", "open-secret")
	for _, c := range []struct {
		name, uri string
		change    func(*crawl.AWSSettings)
		want      string
	}{
		{"bucket", "s3://nothing/x", nil, "open store s3://nothing/x: there is no bucket nothing at " + srv.settings.Endpoint},
		{"secret", "s3://pictures", func(s *crawl.AWSSettings) { s.SecretAccessKey = "wrong" }, "SignatureDoesNotMatch"},
		{"key", "s3://pictures", func(s *crawl.AWSSettings) { s.AccessKeyID = "wrong" }, "access key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := srv.settings
			if c.change != nil {
				c.change(&set)
			}
			require.Contains(t, openError(t, c.uri, set), c.want)
		})
	}
}

func TestOpenSaysWhatIsWrongWithTheAddress(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	keys := crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", Endpoint: web.URL, Region: "us-east-1"}
	with := func(change func(*crawl.AWSSettings)) crawl.AWSSettings {
		s := keys
		change(&s)
		return s
	}
	for _, c := range []struct {
		uri  string
		set  crawl.AWSSettings
		want string
	}{
		{"s3://", keys, "no bucket is named"},
		{"s3:///x", keys, "no bucket is named"},
		{"s3://id:secret@bucket/x", keys, "open store s3://id:***@bucket/x: the address is only a bucket and a prefix: credentials and endpoint are settings"},
		{"s3://bucket:9000/x", keys, "the address is only a bucket and a prefix"},
		{"s3://bucket/x?region=eu", keys, "the address has a query"},
		{"s3://bucket/../x", keys, "prefix: bad name"},
		{"s3://b/x", keys, "Bucket name cannot be shorter than 3 characters"},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.SecretAccessKey = "" }), "aws.access_key_id and aws.secret_access_key go together"},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.Endpoint = "ftp://host" }), "aws.endpoint ftp://host is not http://host:port or https://host:port"},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.Endpoint = "http://host/path" }), "aws.endpoint http://host/path is not"},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.Region = "" }), "the server " + web.URL + " does not answer as S3 does: status 404"},
		{"s3://bucket", keys, "the server " + web.URL + " does not answer as S3 does: status 404"},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.Endpoint = gone.URL }), "the server " + gone.URL + " does not answer: "},
		{"s3://bucket", with(func(s *crawl.AWSSettings) { s.Endpoint = strings.Replace(web.URL, "http:", "https:", 1) }), "server gave HTTP response to HTTPS client"},
	} {
		require.Contains(t, openError(t, c.uri, c.set), c.want)
	}
}

// Credentials that may put and read, and not list, are enough: a file that is not there is then denied.
func TestCredentialsThatMayNotList(t *testing.T) {
	t.Parallel()
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		}
	}))
	t.Cleanup(denied.Close)
	e, logs := env(t, crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", Endpoint: denied.URL})
	opened, err := s3.Open(t.Context(), "s3://pictures", e)
	require.NoError(t, err)
	s := opened.(*s3.Store)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.Equal(t, 1, logs.FilterMessageSnippet("may not list the bucket").Len())
	put(t, s, "a", "a", crawl.Meta{})
	_, err = s.Stat(t.Context(), "a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Open(t.Context(), "a")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestEnvironment(t *testing.T) {
	srv := start(t, "environment", "environment-secret")
	t.Setenv("AWS_ACCESS_KEY_ID", srv.settings.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", srv.settings.SecretAccessKey)
	t.Setenv("AWS_ENDPOINT_URL", srv.settings.Endpoint)
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	s := openAt(t, crawl.AWSSettings{}, "s3://pictures")
	put(t, s, "a", "a", crawl.Meta{})
	require.Contains(t, openError(t, "s3://pictures", crawl.AWSSettings{AccessKeyID: "another", SecretAccessKey: "x"}), "access key", "settings win")
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", gone.URL)
	require.Contains(t, openError(t, "s3://pictures", crawl.AWSSettings{}), "no credentials are found: set aws.access_key_id and aws.secret_access_key, or AWS_ACCESS_KEY_ID")
}

func TestInsecureTLS(t *testing.T) {
	t.Parallel()
	missing := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>no</Message></Error>`)
	}))
	missing.Config.ErrorLog = log.New(io.Discard, "", 0)
	missing.StartTLS()
	t.Cleanup(missing.Close)
	set := crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", Endpoint: missing.URL, Region: "us-east-1"}
	require.Contains(t, openError(t, "s3://pictures", set), "certificate")
	set.InsecureTLS = true
	openAt(t, set, "s3://pictures")
}
