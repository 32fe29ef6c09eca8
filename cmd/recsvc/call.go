package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// statusError is an answer other than 2xx.
type statusError struct {
	method, url, status, text string
}

// Error gives the answer's words.
func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: %s: %s", e.method, e.url, e.status, e.text)
}

// get reads JSON from a service.
func get(ctx context.Context, url, key string, into any) error {
	return call(ctx, http.MethodGet, url, key, nil, into)
}

// call sends JSON to a service and reads JSON, unless into is nil. An answer
// other than 2xx is a *statusError.
func call(ctx context.Context, method, url, key string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("X-API-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", url, err)
	}
	if resp.StatusCode/100 != 2 {
		return &statusError{method, url, resp.Status, strings.TrimSpace(string(data))}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}
