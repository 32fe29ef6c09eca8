package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCorruptions is the table of what a version folder can suffer. Each is done to
// one version of a registry that serves another: the damaged one must be refused
// with the kind and the name of the file, and the other must go on.
func TestCorruptions(t *testing.T) {
	t.Parallel()
	weights := func(dir string) string { return filepath.Join(dir, WeightsFile) }
	manifest := func(dir string) string { return filepath.Join(dir, manifestFile) }
	checksum := func(dir string) string { return filepath.Join(dir, checksumFile) }
	do := func(errs ...error) error { return errors.Join(errs...) }
	type corruption struct {
		name    string
		harm    func(dir string) error
		kind    error
		file    string // named by the error
		says    string
		visible bool // List sees it without hashing
	}
	cases := []corruption{
		{"weights missing", func(d string) error { return os.Remove(weights(d)) }, ErrIncomplete, WeightsFile, "missing", true},
		{"weights cut", func(d string) error { return os.Truncate(weights(d), 3) }, ErrCorrupt, WeightsFile, "3 bytes", true},
		{"weights empty", func(d string) error { return os.Truncate(weights(d), 0) }, ErrCorrupt, WeightsFile, "0 bytes", true},
		{"weights longer", func(d string) error { return os.Truncate(weights(d), 99) }, ErrCorrupt, WeightsFile, "99 bytes", true},
		{"weights one bit", func(d string) error { return flip(weights(d)) }, ErrCorrupt, WeightsFile, "SHA-256", false},
		{"weights a folder", func(d string) error { return do(os.Remove(weights(d)), os.Mkdir(weights(d), 0o755)) }, ErrCorrupt, WeightsFile, "plain file", true},
		{"weights a link to the same bytes", func(d string) error {
			return do(os.Rename(weights(d), d+"/w"), os.Symlink("w", weights(d)))
		}, ErrCorrupt, WeightsFile, "plain file", true},
		{"weights a link out", func(d string) error { return do(os.Remove(weights(d)), os.Symlink("/etc/passwd", weights(d))) }, ErrCorrupt, WeightsFile, "plain file", true},
		{"weights a pipe", func(d string) error { return do(os.Remove(weights(d)), syscall.Mkfifo(weights(d), 0o644)) }, ErrCorrupt, WeightsFile, "plain file", true},
		{"vocabulary one bit", func(d string) error { return flip(filepath.Join(d, VocabFile)) }, ErrCorrupt, VocabFile, "SHA-256", false},
		{"manifest missing", func(d string) error { return os.Remove(manifest(d)) }, ErrIncomplete, manifestFile, "missing", true},
		{"manifest empty", func(d string) error { return os.Truncate(manifest(d), 0) }, ErrCorrupt, manifestFile, "end of JSON", true},
		{"manifest cut", func(d string) error { return os.Truncate(manifest(d), 100) }, ErrCorrupt, manifestFile, "end of JSON", true},
		{"manifest zeros", func(d string) error { return os.WriteFile(manifest(d), make([]byte, 500), 0o644) }, ErrCorrupt, manifestFile, "invalid", true},
		{"manifest a link", func(d string) error { return do(os.Rename(manifest(d), d+"/m"), os.Symlink("m", manifest(d))) }, ErrCorrupt, manifestFile, "plain file", true},
		{"manifest one letter", func(d string) error { return edit(d, false, `sasrec`, `SASrec`) }, ErrCorrupt, manifestFile, "SHA-256", true},
		{"manifest a space more", func(d string) error { return edit(d, false, `{`, `{ `) }, ErrCorrupt, manifestFile, "SHA-256", true},
		{"manifest huge", func(d string) error { return os.Truncate(manifest(d), maxManifest+1) }, ErrCorrupt, manifestFile, "too long", true},
		{"manifest of a sparse terabyte", func(d string) error { return os.Truncate(manifest(d), 1<<40) }, ErrCorrupt, manifestFile, "too long", true},
		{"checksum missing", func(d string) error { return os.Remove(checksum(d)) }, ErrIncomplete, checksumFile, "missing", true},
		{"checksum empty", func(d string) error { return os.Truncate(checksum(d), 0) }, ErrCorrupt, checksumFile, "sha256sum", true},
		{"checksum one bit", func(d string) error { return flip(checksum(d)) }, ErrCorrupt, checksumFile, "sha256sum", true},
		{"checksum of another", func(d string) error { return os.WriteFile(checksum(d), encodeChecksum(sumHex(nil)), 0o644) }, ErrCorrupt, manifestFile, "SHA-256", true},
		{"all files gone", func(d string) error { return do(os.RemoveAll(d), os.Mkdir(d, 0o755)) }, ErrIncomplete, manifestFile, "missing", true},
		{"a file for a folder", func(d string) error { return do(os.RemoveAll(d), os.WriteFile(d, nil, 0o644)) }, ErrCorrupt, "", "not a folder", true},
		{"a link for a folder", func(d string) error { return do(os.Rename(d, d+"x"), os.Symlink(d+"x", d)) }, ErrCorrupt, "", "not a folder", true},
		{"another's name", func(d string) error {
			id := filepath.Base(d)
			return edit(d, true, id, id[:25]+string("01"[btoi(id[25] == '0')]))
		}, ErrCorrupt, manifestFile, "belongs to version", true},
		{"newer format", func(d string) error { return edit(d, true, `"format_version": 1`, `"format_version": 2`) }, ErrNewerFormat, manifestFile, "up to 1", true},
		{"newer format with other fields", func(d string) error {
			return do(os.WriteFile(manifest(d), []byte(`{"format_version":9,"version":7,"files":[1,2]}`), 0o644), os.Remove(checksum(d)))
		}, ErrNewerFormat, manifestFile, "format version 9", true},
	}
	// Manifests that are wrong although their checksum is right.
	for name, c := range map[string]struct{ old, new, says string }{
		"format zero":         {`"format_version": 1`, `"format_version": 0`, "never existed"},
		"format negative":     {`"format_version": 1`, `"format_version": -1`, "never existed"},
		"format a string":     {`"format_version": 1`, `"format_version": "1"`, "format_version"},
		"not a version name":  {`"version": "0`, `"version": "../0`, "not a version name"},
		"no kind":             {`"kind": "seqmodel"`, `"kind": ""`, "kind"},
		"negative items":      {`"items": 2`, `"items": -2`, "-2 items"},
		"vocabulary hash":     {`"vocab_sha256": "`, `"vocab_sha256": "X`, "vocab_sha256"},
		"path up":             {`"weights.safetensors": {`, `"../weights.safetensors": {`, "not a name"},
		"path absolute":       {`"weights.safetensors": {`, `"/etc/passwd": {`, "not a name"},
		"path in a folder":    {`"weights.safetensors": {`, `"a/weights.safetensors": {`, "not a name"},
		"path of Windows":     {`"weights.safetensors": {`, `"..\\weights.safetensors": {`, "not a name"},
		"name empty":          {`"weights.safetensors": {`, `"": {`, "not a name"},
		"name dot":            {`"weights.safetensors": {`, `"..": {`, "not a name"},
		"name with zero byte": {`"weights.safetensors": {`, `"a\u0000": {`, "not a name"},
		"names itself":        {`"weights.safetensors": {`, `"manifest.json": {`, "not a name"},
		"negative size":       {`"bytes": 7`, `"bytes": -7`, "-7 bytes"},
		"size a fraction":     {`"bytes": 7`, `"bytes": 7.5`, "bytes"},
		"size too large":      {`"bytes": 7`, `"bytes": 99999999999999999999`, "bytes"},
		"hash short":          {`"sha256": "`, `"sha256": "", "x": "`, "for a SHA-256"},
		"hash upper case":     {`"sha256": "`, `"sha256": "` + strings.Repeat("A", 64) + `", "x": "`, "for a SHA-256"},
		"no files":            {`"files": {`, `"files": {}, "old": {`, "no files"},
		"files a list":        {`"files": {`, `"files": [], "old": {`, ""},
		"reranker alone":      {`"files": {`, `"reranker": {"blend": 1}, "files": {`, "without the file"},
		"reranker silent":     {`"files": {`, `"files": {"reranker.safetensors": {"bytes": 1, "sha256": "` + strings.Repeat("0", 64) + `"},`, "without the field reranker"},
		"reranker wrong":      {`"files": {`, `"reranker": {"blend": -1}, "files": {"reranker.safetensors": {"bytes": 1, "sha256": "` + strings.Repeat("0", 64) + `"},`, "blend is -1"},
		"reranker a number":   {`"files": {`, `"reranker": 7, "files": {`, "reranker"},
		"second document":     {"\n}\n", "\n}\n{}\n", "after top-level"},
	} {
		cases = append(cases, corruption{name, func(d string) error { return edit(d, true, c.old, c.new) }, ErrCorrupt, manifestFile, c.says, true})
	}
	template := newRegistry(t) // copied for each case, which costs no sync
	good, bad := mustPublish(t, template, "weights"), mustPublish(t, template, "weights")
	mustPromote(t, template, good)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			if err := os.CopyFS(r.Dir(), os.DirFS(template.Dir())); err != nil {
				t.Fatal(err)
			}
			if err := c.harm(r.path(bad)); err != nil {
				t.Fatal(err)
			}
			for verb, err := range map[string]error{"load": second(r.Load(bad)), "promote": r.Promote(bad), "validate": r.Validate(bad)} {
				switch {
				case !errors.Is(err, c.kind):
					t.Errorf("%s: %v, want %v", verb, err, c.kind)
				case !strings.Contains(err.Error(), filepath.Join(bad, c.file)) || !strings.Contains(err.Error(), c.says):
					t.Errorf("%s: %q does not name %q and say %q", verb, err, c.file, c.says)
				case len(err.Error()) > 2000:
					t.Errorf("%s: a message of %d bytes", verb, len(err.Error()))
				}
			}
			wantCurrent(t, r, good)
			if _, err := r.Load(good); err != nil {
				t.Errorf("the other version: %v", err)
			}
			infos, err := r.List()
			if err != nil || len(infos) != 2 || infos[1].Fault != nil || (infos[0].Fault != nil) != c.visible {
				t.Errorf("list: %v %v", infos, err)
			}
			if faults, err := r.Check(); err != nil || !errors.Is(faults, c.kind) {
				t.Errorf("check: %v %v", faults, err)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// flip changes one bit of a file.
func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 0x10
	return os.WriteFile(path, data, 0o644)
}

// edit replaces text in a manifest, once, and, when asked, mends the checksum.
func edit(dir string, mend bool, old, new string) error {
	path := filepath.Join(dir, manifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), old) {
		return fmt.Errorf("no %q in %s", old, data)
	}
	data = []byte(strings.Replace(string(data), old, new, 1))
	if mend {
		err = os.WriteFile(filepath.Join(dir, checksumFile), encodeChecksum(sumHex(data)), 0o644)
	}
	return errors.Join(err, os.WriteFile(path, data, 0o644))
}

// TestValidateListsAllFaults damages three files and wants three faults.
func TestValidateListsAllFaults(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := mustPublish(t, r, "weights")
	dir := r.path(id)
	if err := errors.Join(os.Remove(filepath.Join(dir, WeightsFile)), flip(filepath.Join(dir, VocabFile))); err != nil {
		t.Fatal(err)
	}
	faults := r.Validate(id)
	if len(faults) != 2 || !errors.Is(faults, ErrIncomplete) || !errors.Is(faults, ErrCorrupt) {
		t.Errorf("faults: %v", faults)
	}
	if err := os.WriteFile(r.path(currentFile), []byte("01JC3V9Z6J2T5W8Q4X7N1M0KRE\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := r.Check()
	if err != nil || len(all) != 3 || !strings.Contains(all[0].Error(), "not there") {
		t.Errorf("check: %v %v", all, err)
	}
}

// TestChangedAfterLoad cuts a file between Load and Open.
func TestChangedAfterLoad(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	v, err := r.Load(mustPublish(t, r, "weights"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(v.Dir(), WeightsFile)
	if err := os.Truncate(path, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(WeightsFile); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open a cut file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(WeightsFile); !errors.Is(err, ErrIncomplete) {
		t.Errorf("open a removed file: %v", err)
	}
}

// TestUnknownFieldsAreIgnored: a field more is no new format.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := mustPublish(t, r, "weights")
	if err := edit(r.path(id), true, `"kind"`, `"mood": "good", "kind"`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(id); err != nil {
		t.Error(err)
	}
}

// FuzzManifest wants no panic, and of every manifest accepted that its names are
// safe and that it survives being written again.
func FuzzManifest(f *testing.F) {
	m := testManifest()
	m.FormatVersion, m.Version = 1, "01JC3V9Z6J2T5W8Q4X7N1M0KRE"
	m.Files = map[string]File{WeightsFile: {Bytes: 7, SHA256: sumHex(nil)}}
	data, err := encodeManifest(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	m.Files[RerankerFile] = File{Bytes: 7, SHA256: sumHex(nil)}
	m.Reranker = &Reranker{Kinds: []string{"", "view"}, Blend: 0.3, Candidates: 300}
	if data, err = encodeManifest(m); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format_version":2}`))
	f.Add([]byte(`{"format_version":1,"files":{"../x":{}}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, faults := parseManifest("manifest.json", data)
		if len(faults) > 0 {
			for _, fault := range faults {
				if !errors.Is(fault, ErrCorrupt) && !errors.Is(fault, ErrNewerFormat) {
					t.Fatalf("a fault of no kind: %v", fault)
				}
			}
			return
		}
		for name := range m.Files {
			if filepath.Base(name) != name || !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00") {
				t.Fatalf("accepted the name %q", name)
			}
		}
		again, err := encodeManifest(m)
		if err != nil {
			if len(data) < maxManifest/8 && json.Valid(data) && m.Created.Year() < 10000 {
				t.Fatalf("accepted but not written: %v", err)
			}
			return
		}
		if _, faults := parseManifest("manifest.json", again); len(faults) > 0 {
			t.Fatalf("written but not accepted: %v\n%s", faults, again)
		}
	})
}

// FuzzHistory wants what is accepted to be exactly what would be written.
func FuzzHistory(f *testing.F) {
	f.Add("01JC3V9Z6J2T5W8Q4X7N1M0KRE 2026-03-01T02:00:00Z\n")
	f.Add("01JC3V9Z6J2T5W8Q4X7N1M0KRE 2026-03-01T02:00:00+01:00\n\n")
	f.Fuzz(func(t *testing.T, data string) {
		list, err := parseHistory(data)
		if err != nil {
			return
		}
		again, err := parseHistory(string(encodeHistory(list)))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q became %q: %v", data, encodeHistory(list), err)
		}
	})
}
