package session

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"
)

func TestRedisURL(t *testing.T) {
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
		{"unix:///run/redis.sock", "/run/redis.sock", nil},
		{"", "", nil},
		{"localhost:6379", "", nil},
		{"http://localhost:6379", "", nil},
		{"redis://u:secret@h:port", "", nil},
		{"redis://u:secret@h:1/x", "", nil},
		{"unix://", "", nil},
	}
	for i, tt := range tests {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			o, err := RedisOption(tt.url)
			if tt.addrs == "" {
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", tt.url, err)
				}
				if _, err := NewRedis(RedisConfig{URL: tt.url}); err == nil {
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
