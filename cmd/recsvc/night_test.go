package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/bucket"
	"seqrec/internal/event"
	"seqrec/internal/registry"
	"seqrec/internal/store"
)

// A service whose registry is a bucket serves what another machine promotes there.
func TestServeFromBucket(t *testing.T) {
	place := "file://" + filepath.ToSlash(t.TempDir())
	b, err := bucket.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	reg, mirror, err := registry.OpenMirror(b, filepath.Join(t.TempDir(), "writer"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	dir := t.TempDir()
	r := run(t, nil, serveArgs(dir, "--registry", place, "--cache", filepath.Join(dir, "mirror"))...)
	for seed := range uint64(2) {
		version, err := publishBench(reg, seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := reg.Promote(version); err != nil {
			t.Fatal(err)
		}
		await(t, "http://"+r.Data+"/v1/models/"+version, 200)
		for t.Context().Err() == nil && !strings.Contains(page(t, "http://"+r.Data+"/v1/models/"+version), `"serving"`) {
		}
	}
}

func page(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Operators load, shadow, promote and unload by REST; the metrics tell how alike
// the shadow's answers are.
func TestOperateVersions(t *testing.T) {
	dir := t.TempDir()
	reg, err := registry.Open(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	var versions [2]string
	for i := range versions {
		if versions[i], err = publishBench(reg, 1); err != nil { // one seed: equal models
			t.Fatal(err)
		}
	}
	if err := reg.Promote(versions[0]); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, serveArgs(dir, "--shadow-share=1")...)
	operate := func(verb, version, state string) {
		t.Helper()
		var m struct{ State string }
		if err := call(t.Context(), "POST", "http://"+r.Admin+"/admin/v1/models/"+version+":"+verb, "", []byte{}, &m); err != nil || m.State != state {
			t.Errorf("%s: state %q, %v; want %q", verb, m.State, err, state)
		}
	}
	operate("load", versions[1], "loaded")
	operate("unload", versions[1], "available")
	operate("shadow", versions[1], "shadow")
	metric := "recsvc_shadow_overlap_sum"
	for i := 0; t.Context().Err() == nil; i++ {
		var a answer
		body := fmt.Sprintf(`{"history":[{"item":"item-%d"}],"k":10}`, i%100)
		if err := call(t.Context(), "POST", "http://"+r.Data+"/v1/predict", "", []byte(body), &a); err != nil {
			t.Fatal(err)
		}
		if a.Model.Version != versions[0] {
			t.Fatalf("version %s answers", a.Model.Version)
		}
		text := page(t, "http://"+r.Probes+"/metrics")
		_, rest, _ := strings.Cut(text, "\n"+metric+" ")
		sum, _, _ := strings.Cut(rest, "\n")
		_, rest, _ = strings.Cut(text, "\nrecsvc_shadow_overlap_count ")
		count, _, _ := strings.Cut(rest, "\n")
		if count != "0" && count != "" {
			if sum != count {
				t.Errorf("equal models overlap %s of %s", sum, count)
			}
			break
		}
	}
	operate("promote", versions[1], "serving")
	if err := call(t.Context(), "POST", "http://"+r.Admin+"/admin/v1/models/current:shadow", "", []byte{}, nil); err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("shadow of what serves: %v", err)
	}
}

// The list of erasures names whom REST has erased, to who holds it.
func TestErasuresAreListed(t *testing.T) {
	r := run(t, nil, serveArgs(t.TempDir())...)
	base := "http://" + r.Data + "/v1/users/"
	for _, user := range []string{"ann", "bob"} {
		if err := call(t.Context(), "DELETE", base+user, "", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := store.ReadErasures(strings.NewReader(page(t, "http://"+r.Admin+"/admin/v1/erasures")))
	if err != nil {
		t.Fatal(err)
	}
	for user, erased := range map[event.UserID]bool{"ann": true, "bob": true, "eve": false} {
		if _, ok := list.Until(user); ok != erased {
			t.Errorf("%s erased: %v", user, ok)
		}
	}
	if _, err := store.ReadErasures(strings.NewReader(page(t, "http://"+r.Data+"/admin/v1/erasures"))); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the data plane gives the list: %v", err)
	}
}
