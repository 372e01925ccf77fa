package session

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// errRedisURL does not show what was given: there may be a password in it.
var errRedisURL = errors.New("session: the Redis URL is not one of redis://[user:password@]host:port[,host:port…][/database], " +
	"rediss://… (TLS) or unix:///path/of/socket")

// redisOption parses what REDIS_URL may hold: the URLs of rueidis.ParseURL,
// and a comma between the hosts of a cluster.
func redisOption(raw string) (rueidis.ClientOption, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return rueidis.ClientOption{}, errRedisURL
	}
	if scheme != "unix" {
		authority, tail := rest, ""
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			authority, tail = rest[:i], rest[i:]
		}
		user, hosts := "", authority
		if i := strings.LastIndex(authority, "@"); i >= 0 {
			user, hosts = authority[:i+1], authority[i+1:]
		}
		first, others, _ := strings.Cut(hosts, ",")
		if others != "" {
			query := url.Values{"addr": withPorts(strings.Split(others, ","))}.Encode()
			if strings.Contains(tail, "?") {
				tail += "&" + query
			} else {
				tail += "?" + query
			}
		}
		raw = scheme + "://" + user + first + tail
	}
	option, err := rueidis.ParseURL(raw)
	if err != nil || option.InitAddress[0] == "" {
		return rueidis.ClientOption{}, errRedisURL
	}
	if option.TLSConfig != nil {
		option.TLSConfig.ServerName = "" // of many, each shows its own certificate
	}
	option.DisableCache = true
	option.DisableRetry = true // a step is repeated as a whole, see Redis.step
	option.Dialer.Timeout = time.Second
	option.ConnWriteTimeout = 2 * time.Second
	option.ReadBufferEachConn, option.WriteBufferEachConn = 64<<10, 64<<10
	option.ClientName = "chathub"
	return option, nil
}

// withPorts gives the hosts that have no port Redis' own.
func withPorts(hosts []string) []string {
	for i, h := range hosts {
		if _, _, err := net.SplitHostPort(h); err != nil {
			hosts[i] = net.JoinHostPort(strings.Trim(h, "[]"), "6379")
		}
	}
	return hosts
}
