package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

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
