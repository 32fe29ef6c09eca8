package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"seqrec/internal/httpapi"
)

// keyEntry is one key of the keys file.
type keyEntry struct {
	Name   string   `yaml:"name"`
	SHA256 string   `yaml:"sha256"`
	Scopes []string `yaml:"scopes"`
	Rate   float64  `yaml:"rate"`
	Burst  int      `yaml:"burst"`
}

// readKeys gathers the keys of the file and the one given by itself.
func readKeys(c *AuthConfig) ([]httpapi.Key, error) {
	var keys []httpapi.Key
	plain := c.Key
	if c.KeyFile != "" {
		data, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		plain = strings.TrimRight(string(data), "\r\n")
		if plain == "" {
			return nil, fmt.Errorf("read key %s: the file is empty", c.KeyFile)
		}
	}
	if plain != "" {
		sum := sha256.Sum256([]byte(plain))
		keys = append(keys, httpapi.Key{
			Name: "auth.key", SHA256: hex.EncodeToString(sum[:]),
			Scopes: []string{httpapi.ScopePredict, httpapi.ScopeEvents, httpapi.ScopeItems, httpapi.ScopeAdmin},
		})
	}
	if c.Keys == "" {
		return keys, nil
	}
	entries, err := readKeysFile(c.Keys)
	for _, e := range entries {
		keys = append(keys, httpapi.Key(e))
	}
	return keys, err
}

func readKeysFile(file string) ([]keyEntry, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var entries []keyEntry
	if err := dec.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read keys %s: %w", file, err)
	}
	if len(entries) == 0 { // an emptied file must not open the door
		return nil, fmt.Errorf("read keys %s: there is no key in it", file)
	}
	return entries, nil
}

// canOperate reports whether some key may use the admin plane.
func canOperate(keys []httpapi.Key) bool {
	return slices.ContainsFunc(keys, func(k httpapi.Key) bool { return slices.Contains(k.Scopes, httpapi.ScopeAdmin) })
}

// watchKeys replaces the keys when the file changes, looking every so often,
// until ctx ends. A file with faults is reported and changes nothing.
func watchKeys(ctx context.Context, c *AuthConfig, every time.Duration, replace func([]httpapi.Key) error, log *slog.Logger) {
	if c.Keys == "" {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := fingerprint(c.Keys)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := fingerprint(c.Keys)
		if now == last {
			continue
		}
		last = now
		keys, err := readKeys(c)
		if err == nil {
			err = replace(keys)
		}
		if err != nil {
			log.Error("keys not changed", "error", err)
			continue
		}
		log.Info("keys changed", "keys", len(keys))
	}
}

// fingerprint changes with a file.
func fingerprint(file string) [sha256.Size]byte {
	data, err := os.ReadFile(file)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}
