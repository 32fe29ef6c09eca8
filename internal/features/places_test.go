package features

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// placed writes a data set as "user: item@time ...", "." for an unknown item.
func placed(d *Dataset) (out []string) {
	for u, user := range d.Users {
		line := user + ":"
		items, _ := d.User(u)
		for _, item := range items {
			if item < 0 {
				line += " ."
			} else {
				line += " " + d.Vocab.ID(item)
			}
		}
		out = append(out, line)
	}
	return out
}

// TestKeepPlaces: what the rules on items leave out keeps its place, and nothing
// else of the data changes.
func TestKeepPlaces(t *testing.T) {
	const log = "user,item,time\nw,ad,0\nu,a,1\nu,rare,2\nu,b,3\nu,ad,4\nv,a,1\nv,b,2\nv,ad,3\nw,a,1\nw,odd,2\nx,ad,1\nx,only,2\n"
	for name, tt := range map[string]struct {
		opt  ReadOptions
		want []string
	}{
		"counts":      {ReadOptions{MinItemCount: 2}, []string{"w: ad a .", "u: a . b ad", "v: a b ad", "x: ad ."}},
		"dropped":     {ReadOptions{DropItems: []string{"ad"}}, []string{"u: a rare b .", "v: a b .", "w: . a odd", "x: . only"}},
		"nobody left": {ReadOptions{MinItemCount: 2, DropItems: []string{"ad"}}, []string{"u: a . b .", "v: a b .", "w: . a ."}},
		"users":       {ReadOptions{MinItemCount: 2, DropItems: []string{"ad"}, MinUserCount: 2}, []string{"u: a . b .", "v: a b ."}},
		"core":        {ReadOptions{KCore: 2}, []string{"w: ad a .", "u: a . b ad", "v: a b ad"}},
		"first":       {ReadOptions{DropItems: []string{"a"}, MinItemCount: 2, Users: 2}, []string{"w: ad . .", "u: . . b ad"}},
		"first known": {ReadOptions{DropItems: []string{"ad"}, Users: 1}, []string{"u: a rare b ."}},
		"no rule":     {ReadOptions{}, []string{"w: ad a odd", "u: a rare b ad", "v: a b ad", "x: ad only"}},
	} {
		without, report := read(t, log, tt.opt)
		tt.opt.KeepPlaces = true
		d, kept := read(t, log, tt.opt)
		if diff := cmp.Diff(tt.want, placed(d)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(flat(without), flat(d.Known())); diff != "" {
			t.Errorf("%s: without places: %s", name, diff)
		}
		if diff := cmp.Diff(report, kept); diff != "" {
			t.Errorf("%s: reports: %s", name, diff)
		}
	}
}

// TestKeepPlacesOfAShopLog: a category is that of an item that is known.
func TestKeepPlacesOfAShopLog(t *testing.T) {
	log := "1,10,100,pv,1511544000\n1,11,101,pv,1511544001\n1,12,102,pv,1511544002\n"
	d, _, err := ReadFrom(strings.NewReader(log), ReadOptions{Format: FormatTaobao, DropItems: []string{"11"}, KeepPlaces: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Item{{ID: "10", Categories: []string{"100"}}, {ID: "12", Categories: []string{"102"}}}, d.Catalogue()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1: 10 . 12"}, placed(d)); diff != "" {
		t.Error(diff)
	}
}

// scattered strews events of unknown items over a data set.
func scattered(d *Dataset) *Dataset {
	rng := rand.New(rand.NewPCG(1, 1))
	out := &Dataset{Users: d.Users, Vocab: d.Vocab, Offsets: []int{0}}
	for u := range d.Users {
		items, times := d.User(u)
		for i, item := range items {
			for rng.IntN(3) == 0 {
				out.Items, out.Times = append(out.Items, -1), append(out.Times, times[i])
			}
			out.Items, out.Times = append(out.Items, item), append(out.Times, times[i])
		}
		if u%2 == 0 {
			out.Items, out.Times = append(out.Items, -1), append(out.Times, times[len(times)-1]+1)
		}
		out.Offsets = append(out.Offsets, len(out.Items))
	}
	return out
}

// TestCutSlatesCountsKnownEvents: events of unknown items lengthen histories, and
// change nothing that is asked.
func TestCutSlatesCountsKnownEvents(t *testing.T) {
	d, _ := LifelongWorld(1, LifelongOptions{Users: 20, History: 200, Items: 300})
	d.Kinds = nil
	holed := scattered(d)
	if diff := cmp.Diff(flat(&Dataset{Users: d.Users, Vocab: d.Vocab, Offsets: d.Offsets, Items: d.Items, Times: d.Times}), flat(holed.Known())); diff != "" {
		t.Fatal(diff)
	}
	opt := SlateOptions{MinEvents: 200, MinHistory: 20, Seed: 1}
	want, err := CutSlates(d, opt)
	if err != nil {
		t.Fatal(err)
	}
	got, err := CutSlates(holed, opt)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for k, list := range [][]Slate{got.Train, got.Valid, got.Test} {
		for i := range list {
			items, _ := holed.User(int(list[i].User))
			if items[list[i].End] != list[i].Candidates[0] {
				t.Fatalf("slate %+v stands before item %d", list[i], items[list[i].End])
			}
			end := int32(len(knownOf(nil, items[:list[i].End])))
			if end != list[i].End {
				moved++
			}
			list[i].End = end // in the numbers of d
		}
		if diff := cmp.Diff([][]Slate{want.Train, want.Valid, want.Test}[k], list); diff != "" {
			t.Fatal(diff)
		}
	}
	if moved == 0 || got.Short != want.Short || len(got.Train) == 0 {
		t.Errorf("%d slates moved, %d users short, %d train", moved, got.Short, len(got.Train))
	}
}

// TestInPlace: cases ask what they asked, after everything that was before.
func TestInPlace(t *testing.T) {
	d := &Dataset{Vocab: NewVocab("a", "b", "c"), Users: []string{"u", "v"}, Offsets: []int{0, 7, 10}, Items: []int32{0, -1, 1, -1, -1, 2, -1, 2, 1, 0},
		Times: []int64{1, 2, 3, 4, 5, 6, 7, 1, 2, 3}, Kinds: strings.Split("p,q,r,s,t,u,v,w,x,y", ",")}
	test := LeaveOneOut(d.Known()).Test
	got := d.InPlace(test)
	want := []Case{
		{User: 0, Input: []int32{0, -1, 1, -1, -1}, Times: []int64{1, 2, 3, 4, 5}, Kinds: strings.Split("p,q,r,s,t", ","), Target: 2, At: 6},
		{User: 1, Input: []int32{2, 1}, Times: []int64{1, 2}, Kinds: []string{"w", "x"}, Target: 0, At: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i := range got {
		if diff := cmp.Diff(test[i], got[i].Known()); diff != "" {
			t.Error(diff)
		}
	}
	if known := d.Known(); known.Known() != known || !slices.Equal(known.Offsets, []int{0, 3, 6}) {
		t.Errorf("known events end at %v", known.Offsets)
	}
}
