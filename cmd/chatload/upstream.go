package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// upstream is Mistral simulated in this process.
type upstream struct {
	server *http.Server
	url    string
	ca     string // a PEM file that its certificate is signed by; "": no TLS
}

// startUpstream serves the simulator at an address ("": any on loopback), over
// plain HTTP/1.1 or over TLS with HTTP/2, as the real service is reached.
func startUpstream(r *run, address string, h2 bool, dir string) (*upstream, error) {
	sim := r.simulator()
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	up := &upstream{server: &http.Server{Handler: sim, ErrorLog: log.New(io.Discard, "", 0)}}
	up.url = "http://" + ln.Addr().String()
	if h2 {
		cert, err := up.certify(dir)
		if err != nil {
			return nil, err
		}
		up.url = "https://" + ln.Addr().String()
		up.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
		go up.server.ServeTLS(ln, "", "")
	} else {
		go up.server.Serve(ln)
	}
	return up, nil
}

// certify makes a certificate for 127.0.0.1 and leaves it where SSL_CERT_FILE
// can name it.
func (up *upstream) certify(dir string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "chatload"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	up.ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(up.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return tls.Certificate{}, fmt.Errorf("test CA: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
