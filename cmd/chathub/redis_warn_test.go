package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// warned matches a line of the log at WARN that has these words in this order.
func warned(words ...string) *regexp.Regexp {
	for i := range words {
		words[i] = regexp.QuoteMeta(words[i])
	}
	return regexp.MustCompile(`(?m)^.*level=WARN.*` + strings.Join(words, ".*") + `.*$`)
}

// TestRedisNotThere: a wrong REDIS_URL is warned of before the hub says that it listens.
func TestRedisNotThere(t *testing.T) {
	t.Parallel()
	p := launch(t, []string{"PORT=0", "REDIS_URL=redis://" + freeAddr(t)}, "--demo")
	p.listens()
	log := p.log.String()
	if first := strings.Index(log, "chathub listens"); !warned("Redis cannot be reached", "connection refused").MatchString(log[:first]) {
		t.Errorf("the log begins with\n%s", log)
	}
	if status, _ := p.request("GET", "/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d, want 503", status)
	}
}

// TestRedisRefusesWrites: the log has Redis' own word, once.
func TestRedisRefusesWrites(t *testing.T) {
	t.Parallel()
	for word, refuse := range map[string]func(*redisServer){
		"READONLY": func(s *redisServer) { s.do("REPLICAOF", "127.0.0.1", "1") },
		"MISCONF": func(s *redisServer) {
			_ = os.RemoveAll(s.dir) // nowhere to save to
			s.do("CONFIG", "SET", "save", "3600 1")
			s.do("BGSAVE")
		},
	} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			p := launch(t, []string{"PORT=0", "REDIS_URL=redis://" + server.addr}, "--demo")
			p.listens()
			eventually(t, "it is ready", func() bool { status, _ := p.request("GET", "/readyz", ""); return status == http.StatusOK })
			refuse(server)
			line := warned("Redis refuses", word)
			eventually(t, "it is warned of", func() bool { return line.MatchString(p.log.String()) })
			if status, body := p.request("POST", "/sessions", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "store_unavailable") {
				t.Errorf("POST /sessions is answered by %d, %s", status, body)
			}
			p.request("GET", "/readyz", "")
			if n := len(line.FindAllString(p.log.String(), -1)); n != 1 {
				t.Errorf("%d warnings within a minute:\n%s", n, p.log.String())
			}
			if word != "READONLY" {
				return
			}
			server.do("REPLICAOF", "NO", "ONE")
			eventually(t, "it is ready again", func() bool { status, _ := p.request("GET", "/readyz", ""); return status == http.StatusOK })
		})
	}
}
