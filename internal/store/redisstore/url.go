package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// IsURL reports whether a name is for ParseURL.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "redis://") || strings.HasPrefix(name, "rediss://")
}

// ParseURL reads the form in which a command line names a store:
//
//	redis://USER@HOST:PORT[,HOST:PORT...]/DB?prefix=&password_file=&ca=&cluster=true&master_name=&cap=&ttl=
//
// rediss:// is for TLS. It reads the files that are named. Its errors hold no secret.
func ParseURL(name string) (Options, error) {
	u, hosts, err := splitURL(name)
	if err != nil {
		return Options{}, err
	}
	o := Options{Addrs: hosts}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	var faults []error
	fault := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s in the URL of a Redis: %w", key, err))
		}
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		o.DB, err = strconv.Atoi(path)
		fault("database", err)
	}
	ca := ""
	for key, values := range u.Query() {
		value, err := values[len(values)-1], error(nil)
		switch key {
		case "prefix":
			o.Prefix = value
		case "password_file":
			o.Password, err = ReadPassword(value)
		case "ca":
			ca = value
		case "master_name":
			o.MasterName = value
		case "cluster":
			o.Cluster, err = strconv.ParseBool(value)
		case "cap":
			o.Cap, err = strconv.Atoi(value)
		case "ttl":
			o.TTL, err = time.ParseDuration(value)
		default:
			err = errors.New("there is no such setting")
		}
		fault(key, err)
	}
	if u.Scheme == "rediss" {
		o.TLS, err = Trust(ca)
		fault("ca", err)
	} else if ca != "" {
		fault("ca", errors.New("needs rediss://"))
	}
	return o, errors.Join(faults...)
}

// splitURL parses a URL with any number of hosts; net/url knows one.
func splitURL(name string) (*url.URL, []string, error) {
	scheme, rest, _ := strings.Cut(name, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	hosts := strings.Split(authority[strings.LastIndex(authority, "@")+1:], ",")
	u, err := url.Parse(scheme + "://" + strings.TrimSuffix(authority, strings.Join(hosts, ",")) + hosts[0] + path)
	if err != nil || u.Host == "" {
		return nil, nil, errors.New("a Redis is named like redis://127.0.0.1:6379/0?prefix=sr") // the text may hold a password
	}
	return u, hosts, nil
}

// ReadPassword reads a file that holds one.
func ReadPassword(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(data)), nil
}

// Trust returns the settings of a TLS connection to servers whose certificates the authorities of a PEM file vouch for,
// those of the system with "".
func Trust(file string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return c, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return c, nil
}
