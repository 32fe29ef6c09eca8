package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/features"
)

// dataFile writes rows into a new folder and gives the file.
func dataFile(t *testing.T, name, rows string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The catalogue of one data set must not stand beside the interactions of another.
func TestImportIntoAFolderThatHoldsData(t *testing.T) {
	with, to := world(t), filepath.Join(t.TempDir(), "set")
	must(t, "import", with, to)
	bare := dataFile(t, "log.csv", "user_id,item_id\nu,a\nu,b\nu,c\n")
	if o := trainjob(t, "import", bare, to); o.code != exitFailed || !strings.Contains(o.errors, "--force") || o.out != "" {
		t.Errorf("exit code %d\n%s", o.code, o.errors)
	}
	if again := must(t, "import", to).last(t); again["users"] != 150.0 {
		t.Errorf("a refused import changed the folder: %v", again)
	}
	must(t, "import", bare, to, "--force")
	if left, err := os.ReadDir(to); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v: want interactions only", left, err)
	}
}

func TestImportKeepsRatings(t *testing.T) {
	var b strings.Builder
	b.WriteString("user_id,item_id,rating,timestamp\n")
	for _, u := range []string{"u", "v", "w"} {
		for _, row := range []string{"a,5,1", "b,4.5,2", "c,1,3", "d,4,4"} {
			b.WriteString(u + "," + row + "\n")
		}
	}
	src, to, reg := dataFile(t, "log.csv", b.String()), filepath.Join(t.TempDir(), "set"), t.TempDir()
	must(t, "import", src, to)
	for _, data := range []string{src, to} {
		o := must(t, "train", "--data", data, "--registry", reg, "--recipe", "popularity", "--min-item-count", "0", "--min-rating", "4").last(t)
		if o["items"] != 3.0 {
			t.Errorf("%s: %v items, want 3: c is disliked", data, o["items"])
		}
	}
}

// A shop log is known by its content, and what it says of its items is kept.
func TestImportOfAShopLog(t *testing.T) {
	src, to := dataFile(t, "UserBehavior.csv", "1,10,7,pv,1511544070\n1,11,8,buy,1511544071\n1,12,7,pv,1511544072\n"), filepath.Join(t.TempDir(), "set")
	if report := must(t, "import", src, to).last(t); report["format"] != "taobao" || report["events"] != 2.0 || report["filtered"] != 1.0 {
		t.Errorf("report %v", report)
	}
	items, _, err := features.ReadItems(to)
	want := []features.Item{{ID: "10", Categories: []string{"7"}}, {ID: "12", Categories: []string{"7"}}}
	if diff := cmp.Diff(want, items); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if report := must(t, "import", src, "--kinds", "pv,buy").last(t); report["events"] != 3.0 {
		t.Errorf("with purchases: %v", report)
	}
}

// A first signal ends whatever reads, and leaves nothing behind.
func TestReadingEndsOnASignal(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	data, to, reg := world(t), filepath.Join(t.TempDir(), "set"), filepath.Join(t.TempDir(), "models")
	for _, args := range [][]string{{"import", data, to}, trainArgs(data, reg)} {
		var out, errs bytes.Buffer
		if code := run(ctx, args, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "context canceled") || out.Len() != 0 {
			t.Errorf("%s: exit code %d\n%s", args[0], code, &errs)
		}
	}
	for _, path := range []string{to, reg} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}
