package crawl_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// Scrapy's names for what stores need. FILES_STORE_S3_ACL and its like are a pipeline's own; the others are for all.
func TestScrapyNamesOfStores(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        func(*crawl.Settings)
	}{
		{"AWS_ACCESS_KEY_ID", "id", func(s *crawl.Settings) { s.AWS.AccessKeyID = "id" }},
		{"AWS_SECRET_ACCESS_KEY", "secret", func(s *crawl.Settings) { s.AWS.SecretAccessKey = "secret" }},
		{"AWS_SESSION_TOKEN", "token", func(s *crawl.Settings) { s.AWS.SessionToken = "token" }},
		{"AWS_REGION_NAME", "eu-west-1", func(s *crawl.Settings) { s.AWS.Region = "eu-west-1" }},
		{"AWS_ENDPOINT_URL", "http://localhost:9000", func(s *crawl.Settings) { s.AWS.Endpoint = "http://localhost:9000" }},
		{"AWS_VERIFY", "False", func(s *crawl.Settings) { s.AWS.InsecureTLS = true }},
		{"AWS_VERIFY", "True", func(*crawl.Settings) {}},
		{"FILES_STORE_S3_ACL", "public-read", func(s *crawl.Settings) { s.Files.AWS.ACL = "public-read" }},
		{"IMAGES_STORE_S3_ACL", "public-read", func(s *crawl.Settings) { s.Images.AWS.ACL = "public-read" }},
		{"FILES_STORE_GCS_ACL", "publicRead", func(s *crawl.Settings) { s.Files.GCS.ACL = "publicRead" }},
		{"IMAGES_STORE_GCS_ACL", "publicRead", func(s *crawl.Settings) { s.Images.GCS.ACL = "publicRead" }},
		{"FTP_USER", "u", func(s *crawl.Settings) { s.FTP.User = "u" }},
		{"FTP_PASSWORD", "p", func(s *crawl.Settings) { s.FTP.Password = "p" }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}
	var s crawl.Settings
	require.ErrorContains(t, s.Set("AWS_USE_SSL", "False"), "aws.endpoint says http:// or https://")
	require.ErrorContains(t, s.Set("GCS_PROJECT_ID", "p"), "leave it out")
}
