package train

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func bytesPart(name, content string) part {
	return part{name, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}}
}

// small is a checkpoint of three sections, one empty.
func small(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encodeCheckpoint(&b, []part{bytesPart("a", "alpha"), bytesPart("b", ""), bytesPart("c", "gamma")}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(b []byte) (*checkpoint, error) {
	return openCheckpoint(bytes.NewReader(b), int64(len(b)))
}

func TestCheckpointReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	for _, content := range []string{"first", "second, longer"} { // the second replaces the first
		if err := writeCheckpoint(path, []part{bytesPart("a", content), bytesPart("b", "")}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := openBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.section("a")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(r); string(got) != content {
			t.Errorf("section is %q, want %q", got, content)
		}
		if _, err := c.section("z"); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("missing section: %v", err)
		}
	}
}

func TestCheckpointCorruptions(t *testing.T) {
	good := small(t)
	at := func(i int, v byte) []byte {
		b := slices.Clone(good)
		if i < 0 {
			i += len(b)
		}
		b[i] = v
		return b
	}
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrCheckpoint},
		{"a few bytes", good[:10], ErrCheckpoint},
		{"cut in half", good[:len(good)/2], ErrCheckpoint},
		{"cut by one byte", good[:len(good)-1], ErrCheckpoint},
		{"one byte too many", append(slices.Clone(good), 0), ErrCheckpoint},
		{"other magic", at(0, 'x'), ErrCheckpoint},
		{"version zero", at(8, 0), ErrCheckpoint},
		{"newer version", at(8, 9), ErrNewerCheckpoint},
		{"a section's byte", at(headBytes, 'x'), ErrCheckpoint},
		{"the index", at(-tailBytes-3, 'x'), ErrCheckpoint},
		{"index checksum", at(-9, good[len(good)-9]^1), ErrCheckpoint},
		{"index length", at(-tailBytes, 1), ErrCheckpoint},
		{"huge index length", at(-tailBytes+7, 0xff), ErrCheckpoint},
		{"section cut out of the middle", append(slices.Clone(good[:headBytes]), good[headBytes+5:]...), ErrCheckpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := openBytes(tt.file); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	good := small(f)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte(checkpointMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := openBytes(b)
		if err != nil {
			return
		}
		for name := range c.sections { // whatever is accepted can be read whole
			r, err := c.section(name)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != c.sections[name].Bytes {
				t.Fatalf("section %q: %d bytes, %v", name, n, err)
			}
		}
	})
}

func TestFailedWriteLeavesTheOldCheckpoint(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "checkpoint")
	if err := writeCheckpoint(path, []part{bytesPart("a", "old")}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	full := errors.New("disk full")
	err := writeCheckpoint(path, []part{{"a", func(io.Writer) error { return full }}})
	if !errors.Is(err, full) {
		t.Fatalf("error %v", err)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Error("the old checkpoint changed")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left, want the checkpoint alone", len(files))
	}
}

func TestSweepRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "checkpoint")
	for _, name := range []string{"checkpoint", "checkpoint.tmp-123", "checkpoint.tmp-9", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(path); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 2 || files[0].Name() != "checkpoint" || files[1].Name() != "other" {
		t.Errorf("left: %v", files)
	}
}
