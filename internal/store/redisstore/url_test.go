package redisstore

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	o, err := ParseURL("redis://ann:p%40ss@a:1,b:2/3?prefix=x&cap=7&ttl=48h")
	if err != nil || !slices.Equal(o.Addrs, []string{"a:1", "b:2"}) || o.Username != "ann" || o.Password != "p@ss" || o.DB != 3 ||
		o.Prefix != "x" || o.Cap != 7 || o.TTL != 48*time.Hour || o.TLS != nil {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := ParseURL("rediss://a:1?master_name=m"); err != nil || o.TLS == nil || o.MasterName != "m" {
		t.Errorf("%+v, %v", o, err)
	}
	for url, want := range map[string]string{
		"redis://":                            "is named like",
		"redis://u:secret@%zz":                "is named like",
		"redis://a:1/x":                       "database",
		"redis://a:1?prefux=x&cluster=maybe":  "prefux",
		"redis://a:1?cluster=maybe":           "cluster",
		"redis://a:1?ttl=soon":                "ttl",
		"redis://a:1?ca=/none":                "rediss://",
		"rediss://a:1?ca=/none":               "/none",
		"redis://a:1?password_file=/none/too": "/none/too",
	} {
		if _, err := ParseURL(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

// FuzzParseURL: whatever a name holds, there are options or an error that does not show its password.
func FuzzParseURL(f *testing.F) {
	for _, name := range []string{"redis://ann:p@a:1,b:2/3?prefix=x", "rediss://", "redis://@,/?=&", "redis://[::1]:6379"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.Contains(name, "file") || strings.Contains(name, "ca") { // no reading of whatever the fuzzer names
			return
		}
		if o, err := ParseURL(name); err == nil && len(o.Addrs) == 0 {
			t.Fatalf("%q has no address", name)
		}
	})
}
