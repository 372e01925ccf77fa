package redisstore

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// errURL does not show what was given: there may be a password in it.
var errURL = errors.New("the Redis URL is not one of redis://[user:password@]host:port[,host:port…][/database], " +
	"rediss://…[?ca=file&cert=file&key=file] (TLS) or unix:///path/of/socket; " +
	"what is neither letter nor digit in user and password must be percent-encoded")

// Option parses REDIS_URL: the URLs of rueidis.ParseURL, and, for a cluster, several URLs or
// hosts separated by commas. User with password, database and each value of the query are
// taken from the first that has them. With rediss:// the query may name PEM files: ca, which
// signed Redis' certificates, in place of the system's authorities; cert and key, the client's.
func Option(raw string) (rueidis.ClientOption, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.Contains(raw, "#") {
		return rueidis.ClientOption{}, errURL
	}
	if scheme != "unix" {
		var user, database string
		var hosts []string
		query := url.Values{}
		for part := range strings.SplitSeq(rest, ",") {
			part = strings.TrimPrefix(part, scheme+"://")
			part, values, _ := strings.Cut(part, "?")
			part, path, _ := strings.Cut(part, "/")
			database = cmp.Or(database, path)
			own, err := url.ParseQuery(values)
			if err != nil {
				return rueidis.ClientOption{}, errURL
			}
			for name, of := range own {
				if !query.Has(name) {
					query[name] = of
				}
			}
			if i := strings.LastIndex(part, "@"); i >= 0 {
				user = cmp.Or(user, part[:i+1])
				part = part[i+1:]
			}
			hosts = append(hosts, withPort(part))
		}
		if database != "" {
			database = "/" + database
		}
		query["addr"] = append(query["addr"], hosts[1:]...)
		raw = scheme + "://" + user + hosts[0] + database + "?" + query.Encode()
	}
	option, err := rueidis.ParseURL(raw)
	if err != nil || option.InitAddress[0] == "" {
		return rueidis.ClientOption{}, errURL
	}
	if option.TLSConfig != nil {
		option.TLSConfig.ServerName = "" // of many, each shows its own certificate
	}
	if u, err := url.Parse(raw); err != nil {
		return rueidis.ClientOption{}, errURL
	} else if err := addFiles(option.TLSConfig, u.Query()); err != nil {
		return rueidis.ClientOption{}, err
	}
	option.DisableCache = true
	option.DisableRetry = true // a step is repeated as a whole, see Store.try
	option.Dialer.Timeout = time.Second
	option.ConnWriteTimeout = 2 * time.Second
	option.ReadBufferEachConn, option.WriteBufferEachConn = 64<<10, 64<<10
	option.ClientName = "chathub"
	return option, nil
}

// withPort gives a host that has no port Redis' own.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "6379")
}

// addFiles reads the files that a Redis URL's query names, ca, cert and key, into c, which is
// nil without TLS.
func addFiles(c *tls.Config, query url.Values) error {
	ca, cert, key := query.Get("ca"), query.Get("cert"), query.Get("key")
	switch {
	case ca+cert+key == "":
		return nil
	case c == nil:
		return errors.New("ca, cert and key in a Redis URL want TLS: rediss://")
	case (cert == "") != (key == ""):
		return errors.New("of cert and key in the Redis URL one is missing")
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("ca in the Redis URL: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca in the Redis URL: there is no certificate in %s", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("cert and key in the Redis URL: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return nil
}
