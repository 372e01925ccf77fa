package main

import (
	"strings"
	"testing"
)

func TestRedisURLs(t *testing.T) {
	for s, want := range map[string]bool{
		"redis://h":           true,
		"redis://:p%40@h:1/3": true,
		"rediss://u:p@h:1/3?ca=/a&cert=/b&key=/c": true,
		"unix:///run/redis.sock":                  true,
		"redis://h?ca=/a":                         false,
		"rediss://h?ca=":                          false,
		"rediss://h?ca=/a&ca=/b":                  false,
		"rediss://h?skip_verify=1":                false,
		"unix://run/redis.sock":                   false,
		"unix:///":                                false,
		"unix:///run/redis.sock?ca=/a":            false,
		"redis://h#1":                             false,
		"http://h":                                false,
	} {
		if _, ok := redisURL(s); ok != want {
			t.Errorf("%s is accepted: %v", s, ok)
		}
	}
}

// TestWrongPasswordEndsTheStart in one line, which does not show it.
func TestWrongPasswordEndsTheStart(t *testing.T) {
	const mark = "Geheim7"
	server := startRedis(t)
	if got := server.do("CONFIG", "SET", "requirepass", "right"); got != "OK" {
		t.Fatal(got)
	}
	var out, told strings.Builder
	status := run([]string{"--demo", "--port=0", "--redis-url=redis://:" + mark + "@" + server.addr}, nil, &out, &told)
	if said := told.String(); status != 1 || strings.Contains(said, mark) || strings.Count(said, "\n") != 1 ||
		!strings.Contains(said, "REDIS_URL: the Redis server does not take this user and password") {
		t.Errorf("exit status %d, told as %q", status, said)
	}
}
