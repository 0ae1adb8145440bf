package gcs_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
)

const all = `{"permissions":["storage.objects.create","storage.objects.get","storage.objects.delete","storage.objects.update"]}`

// openFake opens a store on a server of the test's own.
func openFake(t *testing.T, h http.HandlerFunc) *gcs.Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return openAt(t, crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: "none"}, "gs://pictures")
}

func openError(t *testing.T, uri string, set crawl.GCSSettings) string {
	t.Helper()
	e, _ := env(t, set)
	e.Settings.Parts.Stores = map[string]crawl.OpenStore{"gs": gcs.Open}
	_, err := store.Open(t.Context(), uri, e)
	require.Error(t, err)
	return err.Error()
}

func refuse(status int, reason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"reason":%q}]}}`, status, message, reason)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		uri    string
		answer http.HandlerFunc
		change func(*crawl.GCSSettings)
		want   string
	}{
		{"gs://", nil, nil, "no bucket is named"},
		{"gs://bucket/x?y", nil, nil, "the address has a query"},
		{"gs://b/x", refuse(404, "notFound", "The specified bucket does not exist."), nil, "open store gs://b/x: there is no bucket b at http://127.0.0.1:"},
		{"gs://b", refuse(401, "authError", "Invalid Credentials"), nil, "refuses: Invalid Credentials (authError, status 401)"},
		{"gs://b", http.NotFound, nil, "does not answer as Google Cloud Storage does: Not Found (status 404)"},
		{"gs://b", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, nil, "does not answer: the server's answer: invalid character '<'"},
		{"gs://b", nil, func(s *crawl.GCSSettings) { s.Endpoint = gone.URL }, "the server " + gone.URL + " does not answer: "},
		{"gs://b", nil, func(s *crawl.GCSSettings) { s.Endpoint = "ftp://x" }, "gcs.endpoint ftp://x is not http://host:port or https://host:port"},
		{"gs://b", nil, func(s *crawl.GCSSettings) { s.CredentialsFile = "/no/such/file.json" }, "gcs.credentials_file: open /no/such/file.json"},
	} {
		srv := httptest.NewServer(c.answer)
		set := crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: "none"}
		if c.change != nil {
			c.change(&set)
		}
		require.Contains(t, openError(t, c.uri, set), c.want)
		srv.Close()
	}
}

func TestOpenOnARealServer(t *testing.T) {
	t.Parallel()
	set := start(t)
	openAt(t, set, "gs://pictures/x")
	require.Contains(t, openError(t, "gs://nothing", set), "there is no bucket nothing at "+set.Endpoint)
}

// G1
func TestPermissions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		toucher      bool
		warned       []string
	}{
		{"all", all, true, nil},
		{"get", strings.Replace(all, `"storage.objects.get",`, "", 1), true, []string{"the credentials may not read the bucket: files will be downloaded every time"}},
		{"create", strings.Replace(all, `"storage.objects.create",`, "", 1), true, []string{"the credentials may not create objects in the bucket: nothing can be stored"}},
		{"delete", strings.Replace(all, `"storage.objects.delete",`, "", 1), true, []string{"the credentials may not replace objects in the bucket: files that have expired can't be renewed"}},
		{"update", strings.Replace(all, `,"storage.objects.update"`, "", 1), false, nil},
		{"none", `{}`, false, []string{
			"the credentials may not create objects in the bucket: nothing can be stored", "the credentials may not read the bucket: files will be downloaded every time",
			"the credentials may not replace objects in the bucket: files that have expired can't be renewed",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/storage/v1/b/pictures/iam/testPermissions" {
					fmt.Fprint(w, c.answer)
				}
			}))
			t.Cleanup(srv.Close)
			e, logs := env(t, crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: "none"})
			s, err := gcs.Open(t.Context(), "gs://pictures", e)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.(interface{ Close() error }).Close()) })
			_, toucher := s.(crawl.Toucher)
			require.Equal(t, c.toucher, toucher)
			var warned []string
			for _, entry := range logs.All() {
				warned = append(warned, entry.Message)
			}
			require.Equal(t, c.warned, warned)
		})
	}
	t.Run("may not ask", func(t *testing.T) {
		t.Parallel()
		openFake(t, refuse(403, "forbidden", "denied"))
	})
}

// keyFile is a service account's, whose tokens come from url.
func keyFile(t *testing.T, url string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "tulle@example.iam.gserviceaccount.com", "private_key_id": "1", "token_uri": url,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(file, b, 0o600))
	return file
}

func TestServiceAccount(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"good","token_type":"Bearer","expires_in":3600}`)
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
		case r.Header.Get("Authorization") != "Bearer good":
			refuse(401, "required", "no token")(w, r)
		default:
			fmt.Fprint(w, all)
		}
	}))
	t.Cleanup(srv.Close)
	openAt(t, crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: keyFile(t, srv.URL+"/token")}, "gs://pictures")
	require.Contains(t, openError(t, "gs://pictures", crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: keyFile(t, srv.URL+"/refused")}), "invalid_grant")
	broken := filepath.Join(t.TempDir(), "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o600))
	require.Contains(t, openError(t, "gs://pictures", crawl.GCSSettings{Endpoint: srv.URL, CredentialsFile: broken}), "gcs.credentials_file "+broken)
}

func TestEnvironment(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			fmt.Fprint(w, all)
		}
	}))
	t.Cleanup(srv.Close)
	for _, host := range []string{srv.URL, strings.TrimPrefix(srv.URL, "http://"), srv.URL + "/storage/v1/"} {
		t.Setenv("STORAGE_EMULATOR_HOST", host)
		openAt(t, crawl.GCSSettings{}, "gs://pictures")
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")
	require.Contains(t, openError(t, "gs://pictures", crawl.GCSSettings{}), "no credentials are found: set gcs.credentials_file or GOOGLE_APPLICATION_CREDENTIALS")
}
