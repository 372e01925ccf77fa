package redisstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// authority signs certificates and leaves them in a directory.
type authority struct {
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes one, whose own certificate is dir/name.pem.
func newAuthority(t *testing.T, dir, name string) *authority {
	a := &authority{dir: dir, name: name}
	a.cert, a.key = a.certify(t, name, "")
	return a
}

// path is that of a file: a name with .pem or .key behind it.
func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

// certify makes a certificate and its key, for an address if one is given; the
// first is the authority's own.
func (a *authority) certify(t *testing.T, name, ip string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip != "" {
		c.IPAddresses = []net.IP{net.ParseIP(ip)}
	}
	by, signer := a.cert, a.key
	if by == nil {
		by, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ending, block := range map[string]*pem.Block{
		".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(a.path(name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}

// tlsRedis is a redis-server with TLS beside its plain port, that wants client
// certificates, and has a user who may do no more than README says.
type tlsRedis struct {
	*redisServer
	ca   *authority
	addr string // of TLS
}

// aclPassword has what a URL must escape.
const aclPassword = "g:e/h@e%i?m#1"

// acl returns what README tells an operator to grant.
func acl(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rights, found := strings.Cut(string(readme), "ACL SETUSER chathub on >…")
	rights, _, closed := strings.Cut(rights, "```")
	if !found || !closed {
		t.Fatal("README.md does not say what to grant")
	}
	return strings.Fields(rights)
}

func startTLSRedis(t *testing.T) *tlsRedis {
	t.Helper()
	ca := newAuthority(t, t.TempDir(), "ca")
	ca.certify(t, "server", "127.0.0.1")
	ca.certify(t, "client", "")
	r := &tlsRedis{ca: ca, addr: freeAddr(t)}
	args := []string{
		"--tls-port", portOf(r.addr), "--tls-ca-cert-file", ca.path("ca.pem"),
		"--tls-cert-file", ca.path("server.pem"), "--tls-key-file", ca.path("server.key"), "--tls-auth-clients", "yes",
		"--user", "chathub", "on", ">" + aclPassword,
	}
	r.redisServer = startRedis(t, append(args, acl(t)...)...)
	return r
}

// url is that of the user, over TLS, in database 3.
func (r *tlsRedis) url() string {
	return (&url.URL{
		Scheme: "rediss", User: url.UserPassword("chathub", aclPassword), Host: r.addr, Path: "/3",
		RawQuery: url.Values{"ca": {r.ca.path("ca.pem")}, "cert": {r.ca.path("client.pem")}, "key": {r.ca.path("client.key")}}.Encode(),
	}).String()
}

// TestTLS runs the conformance table, and what nodes do to each other, over
// TLS, as a user who may do the least that is needed, in another database.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := startTLSRedis(t)
	cfg := Config{URL: server.url()}
	t.Run("the table", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Sessions { return newNode(t, cfg) })
	})
	a, b := newNode(t, cfg), newNode(t, cfg).settle(t)
	if err := a.store.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	t.Run("counters", func(t *testing.T) { testCounter(t, a.store, b.store) })
	t.Run("two nodes", func(t *testing.T) { testTwoNodes(t, a, b) })
	t.Run("a killed node", func(t *testing.T) {
		dead := newNode(t, cfg)
		said := dead.begin(t)
		b.follow(t, said.Text.Ref)
		dead.stop()
		b.take(t, said.Text.Ref, said.Text.Reply)
	})
	t.Run("it is started again", func(t *testing.T) {
		ref := storetest.Made(t, a, session.Creation{ID: uuid.New()})
		server.kill()
		if err := a.hasty().Ready(t.Context()); err == nil {
			t.Error("ready without a Redis")
		}
		a.store.limit = b.store.limit
		server.start(t)
		eventually(t, "it is ready", func() bool { return a.Ready(t.Context()) == nil })
		if _, err := a.Get(t.Context(), ref, session.End); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("this Redis keeps nothing, and yet: %v", err)
		}
		a.end(t, a.begin(t).Text)
	})
	if got := server.ask("INFO keyspace"); !strings.Contains(got, "db3:") || strings.Contains(got, "db0:") {
		t.Errorf("keys are in %s", got)
	}
	// What rueidis tries besides, it can do without.
	spare := []string{"cluster|slots", "client|setinfo", "punsubscribe", "sunsubscribe", "discard"}
	log := strings.Fields(server.ask("ACL LOG 100"))
	for i, word := range log {
		if word == "object" && i+2 < len(log) && !slices.Contains(spare, log[i+2]) {
			t.Errorf("refused: %s", log[i+2])
		}
	}
}

// TestFilesOfAURL reads certificates, and says which it cannot.
func TestFilesOfAURL(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.certify(t, "client", "")
	for query, want := range map[string]string{
		"ca=" + ca.path("ca.pem"): "",
		"cert=" + ca.path("client.pem") + "&key=" + ca.path("client.key"): "",
		"ca=" + ca.path("nothing"):                                        "no such file",
		"ca=" + ca.path("ca.key"):                                         "no certificate in",
		"cert=" + ca.path("client.pem"):                                   "one is missing",
		"cert=" + ca.path("client.pem") + "&key=" + ca.path("ca.key"):     "private key does not match",
	} {
		o, err := Option("rediss://u:secret@h:1/2?" + query)
		if want == "" {
			if err != nil || o.SelectDB != 2 || (o.TLSConfig.RootCAs == nil) == (len(o.TLSConfig.Certificates) == 0) {
				t.Errorf("%s: %+v, %v", query, o.TLSConfig, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	if _, err := Option("redis://h:1?ca=" + ca.path("ca.pem")); err == nil {
		t.Error("an authority without TLS")
	}
	o, err := Option("rediss://a:1,rediss://b:2?ca=" + ca.path("ca.pem"))
	if err != nil || len(o.InitAddress) != 2 || o.TLSConfig.RootCAs == nil {
		t.Errorf("a cluster: %+v, %v", o.TLSConfig, err)
	}
}
