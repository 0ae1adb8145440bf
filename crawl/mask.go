package crawl

import (
	"net/url"
	"regexp"
	"strings"
)

// Redacted is an address for people to see: a password in it is ***, in logs and errors, tables and reports. nil is "".
func Redacted(u *url.URL) string {
	if u == nil {
		return ""
	}
	if _, secret := u.User.Password(); !secret {
		return u.String()
	}
	return strings.Replace(u.Redacted(), ":xxxxx@", ":***@", 1) // net/url's own mask; a colon or @ in a name is escaped
}

// userInfo is user:password@ in a URL.
var userInfo = regexp.MustCompile(`(://[^/@:,]*):[^/@,]*@`)

// badUserInfo is user:password@ in what was to be a URL: the password may have any character but a slash.
var badUserInfo = regexp.MustCompile(`^([^/:]*:?//[^/@:]*):[^/]*@`)

// hidden is what was to be a URL, without its password.
func hidden(rawURL string) string { return badUserInfo.ReplaceAllString(rawURL, "$1:***@") }

// masked is a setting's value without passwords and keys: tables and error texts are pasted into reports. name may be ours or Scrapy's.
func masked(name, value string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, secret := range []string{"password", "httpauth_pass", "secret_access_key", "session_token"} {
		if strings.HasSuffix(name, secret) && value != "" {
			return "***"
		}
	}
	return userInfo.ReplaceAllString(value, "$1:***@")
}
