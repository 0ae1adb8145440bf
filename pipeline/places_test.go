package pipeline

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// S11: what holds for a pipeline's store is its value's, over Settings.Images or Settings.Files, over Settings, field by field. Credentials go together.
func TestPlacesOfAPipeline(t *testing.T) {
	t.Parallel()
	shared := crawl.Settings{
		AWS: crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token", Region: "r", ACL: "private"},
		GCS: crawl.GCSSettings{CredentialsFile: "key.json", Project: "p"},
		FTP: crawl.FTPSettings{User: "u", Password: "pw", Connections: 2},
		Images: crawl.ImagesSettings{
			Store: "spy://x", AWS: crawl.AWSSettings{ACL: "public-read"}, GCS: crawl.GCSSettings{Project: "images"}, FTP: crawl.FTPSettings{Connections: 9},
		},
		Files: crawl.FilesSettings{Store: "spy://x", AWS: crawl.AWSSettings{AccessKeyID: "files", SecretAccessKey: "s", ACL: "authenticated-read"}, FTP: crawl.FTPSettings{User: "files"}},
	}
	for _, c := range []struct {
		name     string
		pipeline crawl.Opener
		aws      crawl.AWSSettings
		gcs      crawl.GCSSettings
		ftp      crawl.FTPSettings
	}{
		{
			"images", &ImagesPipeline{},
			crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token", Region: "r", ACL: "public-read"},
			crawl.GCSSettings{CredentialsFile: "key.json", Project: "images"},
			crawl.FTPSettings{User: "u", Password: "pw", Connections: 9},
		},
		{
			"files: no token with another key, no password with another user", &FilesPipeline{},
			crawl.AWSSettings{AccessKeyID: "files", SecretAccessKey: "s", Region: "r", ACL: "authenticated-read"},
			crawl.GCSSettings{CredentialsFile: "key.json", Project: "p"},
			crawl.FTPSettings{User: "files", Connections: 2},
		},
		{
			"a value of its own", &FilesPipeline{Settings: crawl.FilesSettings{AWS: crawl.AWSSettings{Region: "own", ACL: "own"}, FTP: crawl.FTPSettings{Password: "own"}}},
			crawl.AWSSettings{AccessKeyID: "files", SecretAccessKey: "s", Region: "own", ACL: "own"},
			crawl.GCSSettings{CredentialsFile: "key.json", Project: "p"},
			crawl.FTPSettings{User: "files", Password: "own", Connections: 2},
		},
	} {
		var got crawl.Settings
		settings := shared
		settings.Parts.Stores = map[string]crawl.OpenStore{"spy": func(_ context.Context, _ string, env *crawl.Env) (crawl.Store, error) {
			got = *env.Settings
			return new(store.Memory), nil
		}}
		b := newBench(t, settings, nil)
		_, err := c.pipeline.Open(t.Context(), b.Env)
		require.NoError(t, err)
		require.Equal(t, c.aws, got.AWS, c.name)
		require.Equal(t, c.gcs, got.GCS, c.name)
		require.Equal(t, c.ftp, got.FTP, c.name)
		require.Equal(t, "secret", b.Settings.AWS.SecretAccessKey, "the crawl's own settings are as they were")
	}
}

// A pipeline's own credentials replace those that Settings.Files has for all, as one.
func TestOwnCredentialsReplaceThoseOfTheKind(t *testing.T) {
	t.Parallel()
	var got crawl.Settings
	b := newBench(t, crawl.Settings{
		Files: crawl.FilesSettings{Store: "spy://x", AWS: crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token"}},
		Parts: crawl.Parts{Stores: map[string]crawl.OpenStore{"spy": func(_ context.Context, _ string, env *crawl.Env) (crawl.Store, error) {
			got = *env.Settings
			return new(store.Memory), nil
		}}},
	}, nil)
	own := crawl.AWSSettings{AccessKeyID: "own", SecretAccessKey: "s"}
	_, err := (&FilesPipeline{Settings: crawl.FilesSettings{AWS: own}}).Open(t.Context(), b.Env)
	require.NoError(t, err)
	require.Equal(t, own, got.AWS)
}
