package features

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// flat writes a data set as "user: item@time/kind item@time/kind".
func flat(d *Dataset) []string {
	var out []string
	for u, user := range d.Users {
		line := user + ":"
		for i := d.Offsets[u]; i < d.Offsets[u+1]; i++ {
			line += " " + d.Vocab.ID(d.Items[i])
			if d.Times != nil {
				line += fmt.Sprintf("@%d", d.Times[i])
			}
			if d.Kinds != nil {
				line += "/" + d.Kinds[i]
			}
		}
		out = append(out, line)
	}
	return out
}

func read(t *testing.T, data string, opt ReadOptions) (*Dataset, *Report) {
	t.Helper()
	d, rep, err := ReadFrom(strings.NewReader(data), opt)
	if err != nil {
		t.Fatal(err)
	}
	return d, rep
}

func TestReadFormats(t *testing.T) {
	tests := []struct {
		name   string
		data   string
		opt    ReadOptions
		format Format
		want   []string
	}{
		{"generic", "user_id,item_id,timestamp,rating\nu1,a,20,5\nu1,b,10,3\nu2,a,5,1\n", ReadOptions{}, FormatCSV,
			[]string{"u1: b@10000 a@20000", "u2: a@5000"}},
		{"no timestamps", "user_id,item_id,split\n1,b,train\n2,a,train\n1,c,test\n", ReadOptions{}, FormatCSV,
			[]string{"1: b c", "2: a"}},
		{"ties keep file order", "user_id,item_id,timestamp\nu,c,2\nu,b,1\nv,x,1\nu,a,1\nu,d,2\n", ReadOptions{}, FormatCSV,
			[]string{"u: b@1000 a@1000 c@2000 d@2000", "v: x@1000"}},
		{"kinds", "user_id,item_id,timestamp,behavior\nu,a,1,view\nu,b,2,purchase\n", ReadOptions{}, FormatCSV,
			[]string{"u: a@1000/view b@2000/purchase"}},
		{"kinds chosen", "user_id,item_id,timestamp,behavior\nu,a,1,view\nu,b,2,purchase\n", ReadOptions{Kinds: []string{"purchase"}}, FormatCSV,
			[]string{"u: b@2000/purchase"}},
		{"quotes", "user_id,item_id\n\"u,1\",\"say \"\"a\"\"\"\n", ReadOptions{}, FormatCSV, []string{`u,1: say "a"`}},
		{"carriage returns and a byte-order mark", "\ufeffuser_id,item_id\r\nu,a\r\n\r\nu,b", ReadOptions{}, FormatCSV, []string{"u: a b"}},
		{"semicolons", "User;Item;Date\nu;a;2024-01-02\nu;b;2024-01-01 00:00:01\n", ReadOptions{}, FormatCSV,
			[]string{"u: b@1704067201000 a@1704153600000"}},
		{"columns named", "who,what,when,stars\nu,a,2,1\nu,b,1,1\n", ReadOptions{Columns: Columns{User: "who", Item: "WHAT", Time: "when"}}, FormatCSV,
			[]string{"u: b@1000 a@2000"}},
		{"no header, places named", "a,u,9,2\nb,u,9,1\n", ReadOptions{Columns: Columns{User: "#2", Item: "#1", Time: "#4"}}, FormatAmazon,
			[]string{"u: b@1000 a@2000"}},
		{"no header, two columns", "u;a\nu;b\n", ReadOptions{Columns: Columns{User: "#1", Item: "#2"}}, FormatCSV, []string{"u: a b"}},
		{"no kinds chosen", "user_id,item_id\nu,a\n", ReadOptions{Kinds: []string{}}, FormatCSV, []string{"u: a"}},
		{"time column ignored", "user_id,item_id,timestamp\nu,a,2\nu,b,1\n", ReadOptions{Columns: Columns{Time: "-"}}, FormatCSV, []string{"u: a b"}},
		{"MovieLens csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,29,3.0,1260759179\n", ReadOptions{}, FormatCSV,
			[]string{"1: 31@1260759144000 29@1260759179000"}},
		{"MovieLens dat", "1::1193::5::978300760\n1::661::3::978302109\n2::661::3::978300000\n", ReadOptions{MinRating: 4}, FormatDat,
			[]string{"1: 1193@978300760000"}},
		{"Amazon", "A1,B00,5.0,1370000000\nA1,B01,1.0,1360000000\n", ReadOptions{}, FormatAmazon,
			[]string{"A1: B01@1360000000000 B00@1370000000000"}},
		{"MovieLens 100k", "196\t242\t3\t881250949\n", ReadOptions{}, FormatAmazon, []string{"196: 242@881250949000"}},
		{"RecBole", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\tx y\t4\t10\n", ReadOptions{}, FormatInter,
			[]string{"1: x y@10000"}},
		{"NDJSON", `{"user":"u","item":"b","time":20}` + "\n\n" + `{"item":"a","kind":"buy","time":"1970-01-01T00:00:00.010Z","user":"u"}`, ReadOptions{}, FormatNDJSON,
			[]string{"u: a@10/buy b@20/"}},
		{"fractional seconds", "user_id,item_id,timestamp\nu,a,1396860886.998\nu,b,1396860669.277\n", ReadOptions{}, FormatCSV,
			[]string{"u: b@1396860669277 a@1396860886998"}},
		{"milliseconds", "user_id,item_id,timestamp\nu,a,1396860886998\n", ReadOptions{}, FormatCSV, []string{"u: a@1396860886998"}},
		{"microseconds", "user_id,item_id,timestamp\nu,a,1396860886998123\n", ReadOptions{}, FormatCSV, []string{"u: a@1396860886998"}},
		{"nanoseconds", "user_id,item_id,timestamp\nu,a,1396860886998123456\n", ReadOptions{}, FormatCSV, []string{"u: a@1396860886998"}},
		{"small milliseconds by name", "user_id,item_id,timestamp\nu,a,17\n", ReadOptions{TimeUnit: Milliseconds}, FormatCSV, []string{"u: a@17"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, rep := read(t, tt.data, tt.opt)
			if diff := cmp.Diff(tt.want, flat(d)); diff != "" {
				t.Error(diff)
			}
			if rep.Format != tt.format || rep.Faults.Total != 0 {
				t.Errorf("format %q with faults %v, want %q without", rep.Format, rep.Faults, tt.format)
			}
		})
	}
}

const crossed = "user_id,item_id\nu,a\nu,b\nu,c\nv,a\nv,b\nw,c\nw,d\nw,a\nx,e\n"

func TestReadCounts(t *testing.T) {
	tests := []struct {
		name string
		opt  ReadOptions
		want []string
	}{
		{"items dropped once", ReadOptions{MinItemCount: 2}, []string{"u: a b c", "v: a b", "w: c a"}},
		{"users dropped once", ReadOptions{MinUserCount: 3}, []string{"u: a b c", "w: c d a"}},
		{"items then users", ReadOptions{MinItemCount: 2, MinUserCount: 3}, []string{"u: a b c"}},
		{"2-core", ReadOptions{KCore: 2}, []string{"u: a b c", "v: a b", "w: c a"}},
		{"first users", ReadOptions{Users: 2}, []string{"u: a b c", "v: a b"}},
		{"first users left", ReadOptions{Users: 1, DropItems: []string{"a", "b", "c"}}, []string{"w: d"}},
		{"items left out", ReadOptions{DropItems: []string{"a", "e"}}, []string{"u: b c", "v: b", "w: c d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, rep := read(t, crossed, tt.opt)
			if diff := cmp.Diff(tt.want, flat(d)); diff != "" {
				t.Error(diff)
			}
			if rep.Filtered+rep.Events != 9 {
				t.Errorf("%d rows left out and %d kept of 9", rep.Filtered, rep.Events)
			}
		})
	}
	if _, rep, err := ReadFrom(strings.NewReader(crossed), ReadOptions{KCore: 3}); !errors.Is(err, ErrNoEvents) || rep == nil {
		t.Errorf("3-core: %v, want ErrNoEvents and a report", err)
	}
}

// Every kind of bad row, the good ones around it kept.
func TestReadFaults(t *testing.T) {
	const csv, json = "user_id,item_id,timestamp\n", ""
	good := map[string]string{csv: "u,a,10\n", json: `{"user":"u","item":"a","time":10000}` + "\n"}
	tests := []struct {
		name, header, row, kind string
		opt                     ReadOptions
	}{
		{"too few fields", csv, "u,a", "columns", ReadOptions{}},
		{"too many fields", csv, "u,a,1,1", "columns", ReadOptions{}},
		{"quote left open", csv, `"u,a,1`, "quote", ReadOptions{}},
		{"text after quote", csv, `"u"x,a,1`, "quote", ReadOptions{}},
		{"empty user", csv, ",a,1", "user", ReadOptions{}},
		{"user not UTF-8", csv, "\xff,a,1", "user", ReadOptions{}},
		{"control character", csv, "u,a\x00,1", "item", ReadOptions{}},
		{"long item", csv, "u," + strings.Repeat("a", 257) + ",1", "item", ReadOptions{}},
		{"long line", csv, "u," + strings.Repeat("a", 2<<20) + ",1", "long", ReadOptions{}},
		{"no time", csv, "u,a,", "time", ReadOptions{}},
		{"time a word", csv, "u,a,noon", "time", ReadOptions{}},
		{"time not a number", csv, "u,a,NaN", "time", ReadOptions{}},
		{"time infinite", csv, "u,a,1e999", "time", ReadOptions{}},
		{"time hexadecimal", csv, "u,a,0x10", "time", ReadOptions{}},
		{"time before 1970", csv, "u,a,-1", "time", ReadOptions{}},
		{"time after 9999", csv, "u,a,1e17", "time", ReadOptions{}},
		{"not JSON", json, "{", "json", ReadOptions{}},
		{"JSON list", json, "[]", "json", ReadOptions{}},
		{"JSON member unknown", json, `{"user":"u","item":"a","time":1,"x":1}`, "x", ReadOptions{}},
		{"JSON without item", json, `{"user":"u","time":1}`, "item", ReadOptions{}},
		{"JSON time", json, `{"user":"u","item":"a","time":"noon"}`, "time", ReadOptions{}},
		{"JSON kind", json, `{"user":"u","item":"a","time":1,"kind":"\u0001"}`, "kind", ReadOptions{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ok := good[tt.header]
			d, rep := read(t, tt.header+ok+ok+tt.row+"\n"+ok, tt.opt)
			if d.Len() != 3 || rep.Faults.Total != 1 {
				t.Fatalf("%d events and %d faults, want 3 and 1:\n%s", d.Len(), rep.Faults.Total, rep)
			}
			line := 3 + strings.Count(tt.header, "\n")
			got := rep.Faults.ByKind[0]
			if tt.kind == "x" {
				tt.kind = "json"
			}
			if got.Kind != tt.kind || got.Count != 1 || !cmp.Equal(got.Lines, []int{line}) || got.First == "" {
				t.Errorf("fault %+v, want one of %q at line %d", got, tt.kind, line)
			}
		})
	}
	t.Run("rating", func(t *testing.T) {
		const rows = "user_id,item_id,rating\nu,a,4\nu,a,good\nu,b,5\nu,b,1e99\nu,c,\n"
		for least, lines := range map[float64][]int{0: {3, 5}, 4: {3, 5, 6}} {
			_, rep := read(t, rows, ReadOptions{MinRating: least, MaxFaultShare: 1})
			if k := rep.Faults.ByKind; len(k) != 1 || k[0].Kind != "rating" || !cmp.Equal(k[0].Lines, lines) {
				t.Errorf("smallest rating %v: faults %v, want lines %v", least, rep.Faults, lines)
			}
		}
	})
}

func TestReadKeepsFewLineNumbers(t *testing.T) {
	var b strings.Builder
	b.WriteString("user_id,item_id\n")
	for i := range 1000 {
		if i%100 < 2 {
			fmt.Fprintf(&b, "u%d\n", i)
		} else {
			fmt.Fprintf(&b, "u%d,a\n", i)
		}
	}
	d, rep := read(t, b.String(), ReadOptions{})
	k := rep.Faults.ByKind[0]
	if d.Len() != 980 || k.Count != 20 || len(k.Lines) != faultLines || k.Lines[2] != 102 {
		t.Errorf("%d events, fault %+v", d.Len(), k)
	}
	if s := rep.String(); !strings.Contains(s, "columns") || !strings.Contains(s, "2, 3, 102") {
		t.Errorf("the report does not say so:\n%s", s)
	}
}

// TestFaultLinesAreInOrder: some faults are found late, and the lines named are still the first ones.
func TestFaultLinesAreInOrder(t *testing.T) {
	var f Faults
	for _, line := range []int{40, 60, 20, 50} {
		f.add(line, faultf("time", "at %d", line))
	}
	for line := range faultLines {
		f.add(100+line, faultf("time", "at %d", line))
	}
	k := f.ByKind[0]
	if k.Count != 4+faultLines || len(k.Lines) != faultLines || k.First != "at 20" || !slices.IsSorted(k.Lines) || k.Lines[3] != 60 {
		t.Errorf("%+v", k)
	}
}

func TestReadRefuses(t *testing.T) {
	gz := compressed(t, "user_id,item_id\nu,a\nu,b\n")
	tests := []struct {
		name, data string
		opt        ReadOptions
		is         error // nil: any
	}{
		{"empty", "", ReadOptions{}, ErrNoEvents},
		{"header only", "user_id,item_id\n", ReadOptions{}, ErrNoEvents},
		{"mostly bad", "user_id,item_id\nu,a\nu\nu\n", ReadOptions{}, ErrMostlyFault},
		{"more bad than allowed", "user_id,item_id\nu,a\nu,a\nu,a\nu\n", ReadOptions{MaxFaultShare: 0.2}, ErrMostlyFault},
		{"mostly without time", "user_id,item_id,timestamp\nu,a,1\nu,a,\nu,a,\n", ReadOptions{}, ErrMostlyFault},
		{"nothing left", "user_id,item_id,behavior\nu,a,view\n", ReadOptions{Kinds: []string{"buy"}}, ErrNoEvents},
		{"no item column", "user_id,film\nu,a\n", ReadOptions{}, nil},
		{"no such column", "user_id,item_id\nu,a\n", ReadOptions{Columns: Columns{Time: "at"}}, nil},
		{"no such place", "u,a\n", ReadOptions{Columns: Columns{User: "#1", Item: "#3"}}, nil},
		{"place and name", "u,a\n", ReadOptions{Columns: Columns{User: "#1", Item: "item"}}, nil},
		{"place of the item", "u,a\n", ReadOptions{Columns: Columns{User: "#1"}}, nil},
		{"no rating column", "user_id,item_id\nu,a\n", ReadOptions{MinRating: 3}, nil},
		{"no kind column", "user_id,item_id\nu,a\n", ReadOptions{Kinds: []string{"buy"}}, nil},
		{"bad header", "\"user_id,item_id\nu,a\n", ReadOptions{}, nil},
		{"cut off in compression", gz[:len(gz)-10], ReadOptions{}, nil},
		{"compression garbled", gz[:15] + "xxxxxx" + gz[21:], ReadOptions{}, nil},
		{"zstd of nothing", "\x28\xb5\x2f\xfd", ReadOptions{}, nil},
		{"Parquet of nothing", "PAR1PAR1", ReadOptions{}, nil},
		{"Parquet damaged", "PAR1" + strings.Repeat("\xff", 40) + "\x10\x00\x00\x00PAR1", ReadOptions{}, nil},
		{"Parquet asked for", "user_id,item_id\nu,a\n", ReadOptions{Format: FormatParquet}, nil},
		{"unknown format", "user_id,item_id\nu,a\n", ReadOptions{Format: "xml"}, nil},
		{"unknown unit", "user_id,item_id\nu,a\n", ReadOptions{TimeUnit: "h"}, nil},
		{"bad share", "user_id,item_id\nu,a\n", ReadOptions{MaxFaultShare: 2}, nil},
		{"negative count", "user_id,item_id\nu,a\n", ReadOptions{KCore: -1}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ReadFrom(strings.NewReader(tt.data), tt.opt)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
		})
	}
}

func compressed(t *testing.T, data string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadPaths(t *testing.T) {
	const data = "user_id,item_id\nu,a\nu,b\n"
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ file, data, ask string }{
		{"plain.csv", data, "plain.csv"},
		{"any name", compressed(t, data), "any name"},
		{"interactions.csv.gz", compressed(t, data), ""},
		{"interactions.csv.zst", string(z.EncodeAll([]byte(data), nil)), ""},
		{"ratings.dat", "u::a::1::7\nu::b::1::8", ""},
		{"ml-1m.inter", "user_id:token\titem_id:token\nu\ta\nu\tb\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "set [1]*")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, tt.file)
			if err := os.WriteFile(path, []byte(tt.data), 0o644); err != nil {
				t.Fatal(err)
			}
			d, rep, err := Read(filepath.Join(dir, tt.ask), ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Len() != 2 || rep.Source != path {
				t.Errorf("%d events from %s", d.Len(), rep.Source)
			}
		})
	}
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none.csv")} {
		if _, _, err := Read(path, ReadOptions{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", path, err)
		}
	}
}

func writeParquet[T any](t testing.TB, rows []T) string {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadParquet(t *testing.T) {
	type texts struct {
		User string  `parquet:"user_id"`
		Item string  `parquet:"item_id"`
		Time float64 `parquet:"timestamp"`
		Kind string  `parquet:"behavior"`
	}
	type numbers struct {
		Rating float32 `parquet:"rating"`
		Time   int64   `parquet:"timestamp,timestamp(microsecond)"`
		Item   int32   `parquet:"item_id"`
		User   int64   `parquet:"user_id"`
	}
	type gaps struct {
		User *string `parquet:"user_id,optional"`
		Item *string `parquet:"item_id,optional"`
		Time *int64  `parquet:"timestamp,optional"`
	}
	u, a, at := "u", "a", int64(7)
	tests := []struct {
		name   string
		data   string
		opt    ReadOptions
		want   []string
		faults int
	}{
		{"texts", writeParquet(t, []texts{{"u", "a", 2.5, "view"}, {"u", "b", 1, "buy"}}), ReadOptions{}, []string{"u: b@1000/buy a@2500/view"}, 0},
		{"numbers", writeParquet(t, []numbers{{5, 2_000_000, -7, 1}, {1, 1_500_000, 8, 1}}), ReadOptions{}, []string{"1: 8@1500 -7@2000"}, 0},
		{"ratings", writeParquet(t, []numbers{{5, 2_000_000, -7, 1}, {1, 1_500_000, 8, 1}}), ReadOptions{MinRating: 2}, []string{"1: -7@2000"}, 0},
		{"gaps", writeParquet(t, []gaps{{&u, &a, &at}, {&u, nil, &at}, {&u, &a, nil}, {&u, &u, &at}}), ReadOptions{}, []string{"u: a@7000 u@7000"}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, rep := read(t, tt.data, tt.opt)
			if diff := cmp.Diff(tt.want, flat(d)); diff != "" {
				t.Error(diff)
			}
			if rep.Faults.Total != tt.faults || rep.Format != FormatParquet {
				t.Errorf("faults %v", rep.Faults)
			}
		})
	}
	type nested struct {
		User []string `parquet:"user_id"`
		Item string   `parquet:"item_id"`
	}
	if _, _, err := ReadFrom(strings.NewReader(writeParquet(t, []nested{{[]string{"u"}, "a"}})), ReadOptions{}); err == nil {
		t.Error("a nested file was read")
	}
}

// A damaged byte anywhere may spoil rows or the file, but never panics.
func TestReadDamagedParquet(t *testing.T) {
	type event struct {
		User string `parquet:"user_id"`
		Item string `parquet:"item_id"`
		Time int64  `parquet:"timestamp"`
	}
	whole := writeParquet(t, []event{{"u", "a", 1}, {"u", "b", 2}, {"v", "a", 3}})
	for i := 0; i < len(whole); i += 3 {
		damaged := []byte(whole)
		damaged[i] ^= byte(0xff >> (i % 8))
		_, _, _ = ReadFrom(bytes.NewReader(damaged), ReadOptions{})
		if i%5 == 0 {
			if _, _, err := ReadFrom(bytes.NewReader([]byte(whole)[:i]), ReadOptions{}); err == nil {
				t.Errorf("the first %d of %d bytes were read as a whole file", i, len(whole))
			}
		}
	}
}

func TestDescribeByHand(t *testing.T) {
	got := Describe(tiny())
	want := &Report{
		Users: 4, Items: 4, Events: 10, Mean: 2.5, Median: 2.5, Min: 1, Max: 4,
		Repeats: 0.1, Timed: true, From: 5, To: 50, Ties: 1. / 6, Asked: 2, Cold: 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cold, _ := read(t, "user_id,item_id\nu,a\nu,b\nu,c\nv,a\nv,c\nw,a\nw,a\nw,z\n", ReadOptions{})
	if rep := Describe(cold); rep.Asked != 2 || rep.Cold != 1 {
		t.Errorf("%d of %d cold, want 1 of 2: c is known from a short history", rep.Cold, rep.Asked)
	}
	if Describe(&Dataset{}).String() == "" {
		t.Error("an empty data set has no table")
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"user_id,item_id,timestamp,behavior,rating\nu,a,1,view,5\nu,\"b\"\"\",2.5,buy,1\n",
		"1::2::3::4\n", "A,B,5,100\n", "user_id:token\titem_id:token\nu\ta\n",
		`{"user":"u","item":"a","time":1}` + "\n", "PAR1", "\x1f\x8b", "\x28\xb5\x2f\xfd",
		taobaoRows, tmallRows,
	} {
		f.Add([]byte(s))
	}
	type row struct {
		User string `parquet:"user_id"`
		Item int32  `parquet:"item_id"`
		Time *int64 `parquet:"timestamp,optional"`
	}
	f.Add([]byte(writeParquet(f, []row{{"u", 1, new(int64(7))}, {"v", 2, nil}})))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, _, err := ReadFrom(bytes.NewReader(data), ReadOptions{MaxFaultShare: 1})
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteCSV(&b, d); err != nil {
			t.Fatal(err)
		}
		again, rep, err := ReadFrom(&b, ReadOptions{Format: FormatCSV})
		if err != nil || rep.Faults.Total != 0 {
			t.Fatalf("what was read could not be written and read again: %v %v", err, rep)
		}
		if diff := cmp.Diff(flat(d), flat(again)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(d.Ratings, again.Ratings, cmpopts.EquateNaNs()); diff != "" && again.Ratings != nil {
			t.Fatal(diff)
		}
		if err := WriteItemsCSV(&b, d.Catalogue()); err != nil {
			t.Fatalf("the categories read could not be written: %v", err)
		}
	})
}
