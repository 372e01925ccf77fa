package redisstore

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"
)

func TestURL(t *testing.T) {
	authority := newAuthority(t, t.TempDir(), "ca")
	ca := url.QueryEscape(authority.path("ca.pem"))
	tests := []struct {
		url   string
		addrs string
		check func(o rueidis.ClientOption) bool
	}{
		{"redis://localhost:6379", "localhost:6379", nil},
		{"redis://cache", "cache:6379", nil},
		{"valkey://cache/2", "cache:6379", func(o rueidis.ClientOption) bool { return o.SelectDB == 2 }},
		{"redis://u:p%40ss@h:1/3", "h:1", func(o rueidis.ClientOption) bool {
			return o.Username == "u" && o.Password == "p@ss" && o.SelectDB == 3
		}},
		{"redis://u:p@a:1,b:2,c", "a:1 b:2 c:6379", func(o rueidis.ClientOption) bool { return o.Password == "p" }},
		{"redis://a:1,b:2?db=4", "a:1 b:2", func(o rueidis.ClientOption) bool { return o.SelectDB == 4 }},
		{"rediss://a:1,b,[::1]:3,[::2]", "a:1 b:6379 [::1]:3 [::2]:6379", func(o rueidis.ClientOption) bool {
			return o.TLSConfig != nil && o.TLSConfig.ServerName == ""
		}},
		{"redis://u:p@a:1/5,redis://u:p@b:2/5,redis://c", "a:1 b:2 c:6379", func(o rueidis.ClientOption) bool {
			return o.Username == "u" && o.Password == "p" && o.SelectDB == 5
		}},
		{"rediss://a:1/0,rediss://b:2?ca=" + ca, "a:1 b:2", func(o rueidis.ClientOption) bool {
			return o.TLSConfig.RootCAs != nil
		}},
		{"rediss://a?ca=" + ca + ",rediss://b/3", "a:6379 b:6379", func(o rueidis.ClientOption) bool {
			return o.TLSConfig.RootCAs != nil && o.SelectDB == 3
		}},
		{"redis://a/,redis://b/3?x=%2", "", nil},
		{"redis://a/,redis://b/3", "a:6379 b:6379", func(o rueidis.ClientOption) bool { return o.SelectDB == 3 }},
		{"unix:///run/redis.sock", "/run/redis.sock", nil},
		{"", "", nil},
		{"localhost:6379", "", nil},
		{"http://localhost:6379", "", nil},
		{"redis://u:secret@h:port", "", nil},
		{"redis://u:secret@h:1/x", "", nil},
		{"unix://", "", nil},
		{"redis://h#1/3", "", nil},
	}
	for i, tt := range tests {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			o, err := Option(tt.url)
			if tt.addrs == "" {
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", tt.url, err)
				}
				if _, err := Open(Config{URL: tt.url}); err == nil {
					t.Error("a store without a Redis")
				}
				return
			}
			if err != nil || strings.Join(o.InitAddress, " ") != tt.addrs || tt.check != nil && !tt.check(o) {
				t.Errorf("%s: %v, %v", tt.url, o.InitAddress, err)
			}
		})
	}
}
