package features

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	taobaoRows = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,pv,1511561733\n1,2268318,2520377,buy,1511561734\n" +
		"2,2333346,2520771,pv,1511544071\n2,230380,411153,fav,1511500000\n"
	tmallRows = tmallHeader + "\n" +
		"328862,323294,833,2882,2661,829,0\n328862,844400,1271,2882,,829,0\n328862,575153,1271,2882,2661,0511,0\n" +
		"328862,996875,1271,2882,2661,829,2\n234512,323294,833,4173,4094,1112,0\n"
)

func TestReadShopLogs(t *testing.T) {
	tests := []struct {
		name       string
		data       string
		opt        ReadOptions
		format     Format
		want       []string
		categories Codes
	}{
		{"Taobao", taobaoRows, ReadOptions{}, FormatTaobao,
			[]string{"1: 2268318@1511544070000 2333346@1511561733000", "2: 2333346@1511544071000"},
			Codes{[]int32{1, 2}, []string{"", "2520377", "2520771"}}},
		{"Taobao, kinds chosen", taobaoRows, ReadOptions{Kinds: []string{"buy", "fav"}}, FormatTaobao,
			[]string{"1: 2268318@1511561734000/buy", "2: 230380@1511500000000/fav"},
			Codes{[]int32{1, 2}, []string{"", "2520377", "411153"}}},
		{"Taobao, what was looked at chosen", taobaoRows, ReadOptions{Kinds: []string{"pv"}, Users: 1}, FormatTaobao,
			[]string{"1: 2268318@1511544070000/pv 2333346@1511561733000/pv"},
			Codes{[]int32{1, 2}, []string{"", "2520377", "2520771"}}},
		{"an item keeps its first category", "1,7,,pv,5\n1,7,9,pv,6\n1,8,10,pv,7\n1,7,10,pv,8\n", ReadOptions{Format: FormatTaobao}, FormatTaobao,
			[]string{"1: 7@5000 7@6000 8@7000 7@8000"}, Codes{[]int32{1, 2}, []string{"", "9", "10"}}},
		{"categories of items left out go", taobaoRows, ReadOptions{DropItems: []string{"2268318"}}, FormatTaobao,
			[]string{"1: 2333346@1511561733000", "2: 2333346@1511544071000"}, Codes{[]int32{1}, []string{"", "2520771"}}},
		{"Tmall, days sorted and a day in the order of the file", tmallRows, ReadOptions{}, FormatTmall,
			[]string{"328862: 575153@1399766400000 323294@1409270400000 844400@1409270400000", "234512: 323294@1415750400000"},
			Codes{[]int32{1, 2, 1}, []string{"", "1271", "833"}}},
		{"Tmall, purchases", strings.ReplaceAll(tmallRows, "\n", "\r\n"), ReadOptions{Kinds: []string{"buy"}}, FormatTmall,
			[]string{"328862: 996875@1409270400000/buy"}, Codes{[]int32{1}, []string{"", "1271"}}},
		{"columns named", taobaoRows, ReadOptions{Columns: Columns{User: "#1", Item: "#3", Time: "-"}}, FormatCSV,
			[]string{"1: 2520377 2520771 2520377", "2: 2520771 411153"}, Codes{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, rep := read(t, tt.data, tt.opt)
			if diff := cmp.Diff(tt.want, flat(d)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.categories, d.Categories); diff != "" {
				t.Error(diff)
			}
			if rep.Format != tt.format || rep.Faults.Total != 0 || rep.Filtered+rep.Events != strings.Count(tt.data, "\n")-strings.Count(tt.data, "user_id") {
				t.Errorf("format %q with faults %v, %d of the rows read and %d left out", rep.Format, rep.Faults, rep.Events, rep.Filtered)
			}
		})
	}
}

// What only looks like a shop log is read as what it is.
func TestDetectShopLog(t *testing.T) {
	for first, want := range map[string]Format{
		"1,2,3,pv,4": FormatTaobao, "1,2,3,fav,4": FormatTaobao, tmallHeader: FormatTmall,
		"1,2,3,look,4": "", "1,2,3,pv": "", "1,2,3,pv,4,5": "", "1,2,3,pv,-4": "", "u,2,3,pv,4": "", "1;2;3;pv;4": "", "1,2,3,pv,4.5": "",
		"user_id,item_id,time_stamp,action_type": "", "": "",
	} {
		if got, _ := detectShopLog(first); got != want {
			t.Errorf("%q: format %q, want %q", first, got, want)
		}
	}
}

// Every kind of bad row, the good ones around it kept.
func TestReadShopLogFaults(t *testing.T) {
	const taobao, tmall = "1,2,3,pv,1511544070\n", "1,2,3,4,5,1111,0\n"
	tests := []struct{ name, good, row, kind string }{
		{"too few fields", taobao, "1,2,3,pv", "columns"},
		{"too many fields", taobao, "1,2,3,pv,1511544070,6", "columns"},
		{"no user", taobao, ",2,3,pv,1511544070", "user"},
		{"no item", taobao, "1,,3,pv,1511544070", "item"},
		{"unknown behaviour", taobao, "1,2,3,look,1511544070", "kind"},
		{"no behaviour", taobao, "1,2,3,,1511544070", "kind"},
		{"time a word", taobao, "1,2,3,pv,noon", "time"},
		{"no time", taobao, "1,2,3,pv,", "time"},
		{"time before 1970", taobao, "1,2,3,pv,-1511544070", "time"},
		{"time after 9999", taobao, "1,2,3,pv,1511544070000", "time"},
		{"time beyond all numbers", taobao, "1,2,3,pv,99999999999999999999", "time"},
		{"long category", taobao, "1,2," + strings.Repeat("3", 257) + ",pv,1511544070", "categories"},
		{"category not UTF-8", taobao, "1,2,\xff,pv,1511544070", "categories"},
		{"control character", taobao, "1\x00,2,3,pv,1511544070", "user"},
		{"long line", taobao, strings.Repeat("1", 2<<20), "long"},
		{"too few fields, Tmall", tmall, "1,2,3,4,5,1111", "columns"},
		{"unknown action", tmall, "1,2,3,4,5,1111,4", "kind"},
		{"action by name", tmall, "1,2,3,4,5,1111,click", "kind"},
		{"month 13", tmall, "1,2,3,4,5,1301,0", "time"},
		{"month 0", tmall, "1,2,3,4,5,0011,0", "time"},
		{"day 0", tmall, "1,2,3,4,5,1100,0", "time"},
		{"day 31 of 30", tmall, "1,2,3,4,5,1131,0", "time"},
		{"29 February", tmall, "1,2,3,4,5,0229,0", "time"},
		{"negative day", tmall, "1,2,3,4,5,-1111,0", "time"},
		{"seconds for a day", tmall, "1,2,3,4,5,1511544070,0", "time"},
		{"no day", tmall, "1,2,3,4,5,,0", "time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head, line := "", 3
			if tt.good == tmall {
				head, line = tmallHeader+"\n", 4
			}
			d, rep := read(t, head+tt.good+tt.good+tt.row+"\n"+tt.good, ReadOptions{})
			if d.Len() != 3 || rep.Faults.Total != 1 {
				t.Fatalf("%d events and %d faults, want 3 and 1:\n%s", d.Len(), rep.Faults.Total, rep)
			}
			if got := rep.Faults.ByKind[0]; got.Kind != tt.kind || !cmp.Equal(got.Lines, []int{line}) || got.First == "" {
				t.Errorf("fault %+v, want one of %q at line %d", got, tt.kind, line)
			}
		})
	}
}

func TestReadShopLogRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		opt        ReadOptions
	}{
		{"Tmall without its header", "1,2,3,4,5,1111,0\n", ReadOptions{Format: FormatTmall}},
		{"Tmall of nothing", "", ReadOptions{Format: FormatTmall}},
		{"Taobao of nothing", "", ReadOptions{Format: FormatTaobao}},
		{"something else", "user_id,item_id\nu,a\n", ReadOptions{Format: FormatTaobao}},
		{"columns named", taobaoRows, ReadOptions{Format: FormatTaobao, Columns: Columns{Item: "#3"}}},
		{"ratings asked for", taobaoRows, ReadOptions{MinRating: 3}},
		{"kinds it does not have", tmallRows, ReadOptions{Kinds: []string{"pv"}}},
		{"nothing looked at", "1,2,3,buy,4\n", ReadOptions{}},
	} {
		if d, _, err := ReadFrom(strings.NewReader(tt.data), tt.opt); err == nil {
			t.Errorf("%s: read as %v", tt.name, flat(d))
		}
	}
}

// The categories of a log come back from the folder that it is written into.
func TestShopLogCatalogue(t *testing.T) {
	d, _ := read(t, tmallRows+"1,2,,4,5,1111,0\n", ReadOptions{})
	want := []Item{
		{ID: "575153", Categories: []string{"1271"}}, {ID: "323294", Categories: []string{"833"}},
		{ID: "844400", Categories: []string{"1271"}}, {ID: "2"},
	}
	if diff := cmp.Diff(want, d.Catalogue()); diff != "" {
		t.Error(diff)
	}
	var b bytes.Buffer
	if err := WriteItemsCSV(&b, d.Catalogue()); err != nil {
		t.Fatal(err)
	}
	again, _, err := ReadItemsFrom(&b)
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if diff := cmp.Diff(CategoryCodes(again, d.Vocab), d.Categories); diff != "" {
		t.Errorf("codes of the log and of its catalogue differ: %s", diff)
	}
	if plain, _ := read(t, crossed, ReadOptions{}); plain.Catalogue() != nil {
		t.Error("a log that names no categories has a catalogue")
	}
}

// A log is one of the sources that events can be gathered from.
func TestGatherShopLogs(t *testing.T) {
	g, err := NewGatherer(ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{taobaoRows, "user_id,item_id,timestamp\n2,x,1511544072\n", taobaoRows} {
		if err := g.File(strings.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	d, out, err := g.Dataset(nil)
	if err != nil || out.Doubled != 3 {
		t.Fatalf("%+v, %v", out, err)
	}
	if diff := cmp.Diff(Codes{[]int32{1, 2, 0}, []string{"", "2520377", "2520771"}}, d.Categories); diff != "" {
		t.Error(diff)
	}
}
