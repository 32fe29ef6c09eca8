package features

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVocabFile(t *testing.T) {
	v := NewVocab("a", `say "b"`, "ünïcode <&>", "back\\slash", strings.Repeat("x", 256))
	var b bytes.Buffer
	if err := WriteVocab(&b, v); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "\"a\"\n\"say \\\"b\\\"\"\n\"ünïcode <&>\"\n") {
		t.Errorf("file reads %q", b.String()[:40])
	}
	got, err := ReadVocab(&b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.IDs(), got.IDs()); diff != "" {
		t.Error(diff)
	}
	if err := WriteVocab(&b, NewVocab("a\n")); err == nil {
		t.Error("an id with a line break was written")
	}
}

func TestReadVocabRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"cut off":           "\"a\"\n\"b\"",
		"cut in the middle": "\"a\"\n\"b",
		"blank line":        "\"a\"\n\n\"b\"\n",
		"twice":             "\"a\"\n\"b\"\n\"a\"\n",
		"not a string":      "\"a\"\n7\n",
		"null":              "\"a\"\nnull\n",
		"two strings":       "\"a\" \"b\"\n",
		"bare word":         "a\n",
		"empty id":          "\"\"\n",
		"long id":           "\"" + strings.Repeat("x", 257) + "\"\n",
		"long line":         "\"" + strings.Repeat("x", 5000) + "\"\n",
		"control character": "\"\\u0000\"\n",
		"not UTF-8":         "\"\xff\"\n",
		"carriage return":   "\"a\"\r\nx\n",
	} {
		if _, err := ReadVocab(strings.NewReader(data)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestCountsFile(t *testing.T) {
	want := []int64{0, 7, 1<<63 - 1}
	var b bytes.Buffer
	if err := WriteCounts(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCounts(&b)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("read %v, %v", got, err)
	}
	for name, data := range map[string]string{
		"cut off": "1\n2", "blank line": "1\n\n", "negative": "-1\n", "sign": "+1\n", "fraction": "1.0\n",
		"too large": "9223372036854775808\n", "word": "one\n", "two numbers": "1 2\n", "carriage return": "1\r\n",
	} {
		if _, err := ReadCounts(strings.NewReader(data)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	if err := WriteCounts(&b, []int64{-1}); err == nil {
		t.Error("a negative count was written")
	}
}

func films() []Item {
	return []Item{
		{ID: "1", Title: `Toy "Story", The (1995)`, Categories: []string{"Animation", "Children's"}},
		{ID: "b;2", Title: "", Categories: nil},
		{ID: "ü", Title: "Ünïcode <b>", Categories: []string{"A"}},
	}
}

func TestItemFiles(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer) error{
		"NDJSON": func(b *bytes.Buffer) error { return WriteItems(b, films()) },
		"CSV":    func(b *bytes.Buffer) error { return WriteItemsCSV(b, films()) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		got, faults, err := ReadItemsFrom(&b)
		if err != nil || faults.Total != 0 {
			t.Fatalf("%s: %v %v", name, err, faults)
		}
		if diff := cmp.Diff(films(), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, bad := range []Item{{}, {ID: "a", Title: "\xff"}, {ID: "a", Categories: []string{""}}} {
		if WriteItems(&bytes.Buffer{}, []Item{bad}) == nil || WriteItemsCSV(&bytes.Buffer{}, []Item{bad}) == nil {
			t.Errorf("%+v was written", bad)
		}
	}
}

func TestReadItemsForms(t *testing.T) {
	tests := []struct {
		name, data string
		want       []Item
	}{
		{"paths", "item_id,asin,title,categories,brand\n1,B0,Nail,Beauty|Makeup;Beauty|Nails,OPI\n",
			[]Item{{ID: "1", Title: "Nail", Categories: []string{"Beauty", "Makeup", "Nails"}}}},
		{"no categories", "item_id,title,median_price\n10,GLOBE,0.85\n", []Item{{ID: "10", Title: "GLOBE"}}},
		{"MovieLens", "movieId,title,genres\n1,Heat (1995),Action|Crime\n", []Item{{ID: "1", Title: "Heat (1995)", Categories: []string{"Action", "Crime"}}}},
		{"MovieLens dat", "1::Mis\xe9rables, Les (1995)::Drama|Musical\n", []Item{{ID: "1", Title: "Misérables, Les (1995)", Categories: []string{"Drama", "Musical"}}}},
		{"RecBole", "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tHeat\tAction\n", []Item{{ID: "1", Title: "Heat", Categories: []string{"Action"}}}},
		{"later members", `{"item":"1","title":"Heat","colour":"red"}` + "\n", []Item{{ID: "1", Title: "Heat"}}},
	}
	for _, tt := range tests {
		got, faults, err := ReadItemsFrom(strings.NewReader(tt.data))
		if err != nil || faults.Total != 0 {
			t.Errorf("%s: %v %v", tt.name, err, faults)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestReadItemsFaults(t *testing.T) {
	const csv, json = "item_id,title,categories\nx,X,c\n", `{"item":"x"}` + "\n"
	tests := []struct{ name, head, row, kind string }{
		{"short row", csv, "a", "columns"},
		{"quote", csv, `"a,b,c`, "quote"},
		{"empty id", csv, ",b,c", "item"},
		{"twice", csv, "x,again,c", "twice"},
		{"long title", csv, "a," + strings.Repeat("t", maxTitle+1) + ",c", "title"},
		{"long line", csv, strings.Repeat("t", 2<<20), "long"},
		{"title not UTF-8", csv, "a,\xff,c", "title"},
		{"categories", csv, "a,b," + strings.Repeat("c", maxTitle+1), "categories"},
		{"not JSON", json, "{", "json"},
		{"JSON of wrong type", json, `{"item":7}`, "json"},
		{"JSON not UTF-8", json, "{\"item\":\"\xff\"}", "json"},
		{"JSON without id", json, `{"title":"t"}`, "item"},
		{"JSON with many categories", json, `{"item":"a","categories":["a"` + strings.Repeat(`,"a"`, maxCategories) + `]}`, "categories"},
	}
	for _, tt := range tests {
		items, faults, err := ReadItemsFrom(strings.NewReader(tt.head + tt.row + "\n"))
		if err != nil || len(items) != 1 || faults.Total != 1 || faults.ByKind[0].Kind != tt.kind {
			t.Errorf("%s: %d items, %v, error %v", tt.name, len(items), faults, err)
		}
	}
	for name, data := range map[string]string{
		"mostly bad": csv + "a\nb\n", "no item column": "title\nx\n", "empty": "", "bad header": "\"item_id\nx\n",
	} {
		if _, _, err := ReadItemsFrom(strings.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWriteFolderReadsBackTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	d, truth := World(1, WorldOptions{Users: 30, Items: 40})
	d.Kinds = make([]string, d.Len())
	for i := range d.Kinds {
		d.Kinds[i] = []string{"view", "buy, now", ""}[i%3]
	}
	if err := WriteFolder(dir, d, truth.Items); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(dir, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(flat(d), flat(got)); diff != "" {
		t.Error(diff)
	}
	items, _, err := ReadItems(dir)
	if err != nil || !cmp.Equal(items, truth.Items) {
		t.Errorf("items differ: %v", err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := WriteFolder(again, got, nil); err != nil {
		t.Fatal(err)
	}
	third, _, err := Read(again, ReadOptions{})
	if err != nil || !cmp.Equal(third.Items, got.Items) || !cmp.Equal(third.Vocab.IDs(), got.Vocab.IDs()) {
		t.Errorf("item numbers change from reading to reading: %v", err)
	}
	if left, err := os.ReadDir(again); err != nil || len(left) != 1 {
		t.Errorf("folder holds %v, %v", left, err)
	}
	if _, _, err := ReadItems(again); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no catalogue: %v, want ErrNotExist", err)
	}
}

func TestWriteFolderCleansUp(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFolder(dir, tiny(), []Item{{ID: ""}}); err == nil {
		t.Error("a bad item was written")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func FuzzReadVocab(f *testing.F) {
	f.Add([]byte("\"a\"\n\"b\\u00e9\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ReadVocab(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteVocab(&b, v); err != nil {
			t.Fatal(err)
		}
		again, err := ReadVocab(&b)
		if err != nil || !cmp.Equal(v.IDs(), again.IDs()) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

func FuzzReadCounts(f *testing.F) {
	f.Add([]byte("1\n0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		counts, err := ReadCounts(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteCounts(&b, counts); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzReadItems(f *testing.F) {
	f.Add([]byte("item_id,title,categories\n1,\"T, t\",a|b;c\n"))
	f.Add([]byte(`{"item":"1","title":"T","categories":["a"]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, _, err := ReadItemsFrom(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteItems(&b, items); err != nil {
			t.Fatal(err)
		}
		again, faults, err := ReadItemsFrom(&b)
		if err != nil && len(items) > 0 || len(again) != len(items) {
			t.Fatalf("written and read again: %d of %d, %v %v", len(again), len(items), faults, err)
		}
	})
}
