package redisstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"seqrec/internal/services"
	"seqrec/internal/store"
)

// certify writes a certificate for 127.0.0.1 that signs itself, and its key, and returns the pool that trusts it.
func certify(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	check(t, err)
	parsed, err := x509.ParseCertificate(der)
	check(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	cert, key, pool := certify(t, t.TempDir())
	ports, err := services.FreePorts(1)
	check(t, err)
	startRedis(t, services.RedisOptions{Password: "secret", Args: []string{
		"--tls-port", fmt.Sprint(ports[0]), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no",
	}})
	o := Options{Addrs: []string{fmt.Sprintf("127.0.0.1:%d", ports[0])}, Password: "secret", TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s := open(t, o)
	mustAppend(t, s, history("u", 3))
	if got, err := readAll(s, "u"); err != nil || len(got) != 3 {
		t.Errorf("%d events, %v", len(got), err)
	}
	o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if s, err := Open(t.Context(), o); !errors.Is(err, store.ErrDenied) {
		t.Errorf("a server that nobody vouches for: error %v, want %v", err, store.ErrDenied)
		if err == nil {
			check(t, s.Close())
		}
	}
}
