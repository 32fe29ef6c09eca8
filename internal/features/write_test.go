package features

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What is imported can be filtered by rating as the source could be.
func TestRatingsAreWrittenAndReadBack(t *testing.T) {
	d, _ := read(t, "user_id,item_id,rating\nu,a,4.1\nu,b,\nu,c,-3\n", ReadOptions{})
	dir := t.TempDir()
	if err := WriteFolder(dir, d, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := Read(dir, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again, cmp.AllowUnexported(Vocab{}), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	if liked, rep, err := Read(dir, ReadOptions{MinRating: 4.1}); err != nil || liked.Len() != 1 || rep.Faults.Total != 1 {
		t.Errorf("rated 4.1: %v, %v, want a", liked, err)
	}
	if d, _ := read(t, "user_id,item_id,rating\nu,a,\n", ReadOptions{}); d.Ratings != nil {
		t.Error("there are ratings where no row has one")
	}
}

func TestWriteFolderLeavesNothingOfAnotherDataSet(t *testing.T) {
	dir := t.TempDir()
	old, truth := World(1, WorldOptions{Users: 30, Items: 40})
	if err := WriteFolder(dir, old, truth.Items); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "interactions.csv"), []byte("user_id,item_id\nold,old\n"), 0o644); err != nil {
		t.Fatal(err) // it would be read first
	}
	if found, err := FindData(dir); err != nil || filepath.Base(found) != "interactions.csv" {
		t.Errorf("found %q, %v", found, err)
	}
	if err := WriteFolder(dir, tiny(), nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(dir, ReadOptions{})
	if err != nil || !cmp.Equal(flat(got), flat(tiny())) {
		t.Errorf("%v, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestFindDataWhereThereIsNone(t *testing.T) {
	dir := t.TempDir()
	for _, dir := range []string{dir, filepath.Join(dir, "not there")} {
		if found, err := FindData(dir); found != "" || err != nil {
			t.Errorf("%s: %q, %v", dir, found, err)
		}
	}
}

// endsAfter is a context that ends when it has been asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (e *endsAfter) Err() error {
	if e.n--; e.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestReadingAndWritingEndWithTheContext(t *testing.T) {
	d, truth := World(1, WorldOptions{Users: 2000, Items: 200})
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	if err := WriteFolder(whole, d, truth.Items); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, _, err := ReadContext(&endsAfter{t.Context(), n}, whole, ReadOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("reading, after %d reads: %v", n, err)
		}
		to := filepath.Join(dir, "new")
		if err := WriteFolderContext(&endsAfter{t.Context(), n}, to, d, truth.Items); !errors.Is(err, context.Canceled) {
			t.Errorf("writing, after %d writes: %v", n, err)
		}
		if left, err := os.ReadDir(to); err != nil || len(left) != 0 {
			t.Errorf("writing, after %d writes: it leaves %v, %v", n, left, err)
		}
	}
}

func TestHeaderWithoutUsersNamesTheMend(t *testing.T) {
	for name, tt := range map[string]struct{ data, says string }{
		"other names": {"buyer,item_id\nu,a\n", "trainjob import --user-column NAME"},
		"binary":      {"PK\x03\x04\x14\x00" + strings.Repeat("\xff\x00", 500) + "\n", "not text"},
	} {
		_, _, err := ReadFrom(strings.NewReader(tt.data), ReadOptions{})
		if err == nil || !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 300 {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
	if d, _ := read(t, "t\xedtulo,user_id,item_id\nx,u,a\n", ReadOptions{}); d.Len() != 1 {
		t.Error("a header whose other names are not UTF-8 is refused")
	}
}
