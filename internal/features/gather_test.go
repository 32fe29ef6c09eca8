package features

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"seqrec/internal/event"
)

func TestGather(t *testing.T) {
	g, err := NewGatherer(ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files := []string{
		"user_id,item_id,timestamp\nann,a,100\nann,b,200\nbob,a,300\n", // seconds
		`{"user":"ann","item":"b","time":200000}` + "\n" + `{"user":"ann","item":"c","time":250000,"kind":"buy"}` + "\n" + "nonsense\n",
	}
	for _, f := range files {
		if err := g.File(strings.NewReader(f)); err != nil {
			t.Fatal(err)
		}
	}
	g.Event(event.Event{User: "bob", Item: "a", Kind: event.DefaultKind, Time: 300000}) // an empty kind means this one
	g.Event(event.Event{User: "bob", Item: "d", Time: 400000})
	g.Event(event.Event{User: "eve", Item: "d", Time: 500000})
	g.Event(event.Event{Item: "d", Time: 500000}) // faulty

	erased := func(user string) (int64, bool) {
		switch user {
		case "eve":
			return 500000, true
		case "ann":
			return 150000, true // and came back
		}
		return 0, false
	}
	d, got, err := g.Dataset(erased)
	if err != nil {
		t.Fatal(err)
	}
	if got.Doubled != 2 || got.Erased != 2 || got.ErasedUsers != 2 || got.Report.Faults.Total != 2 || got.Report.Format != "mixed" {
		t.Errorf("gathered %+v %+v", got, got.Report)
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, d); err != nil {
		t.Fatal(err)
	}
	want := "user_id,item_id,timestamp,behavior\nann,b,200,\nann,c,250,buy\nbob,a,300,\nbob,d,400,\n"
	if b.String() != want {
		t.Errorf("data set:\n%swant:\n%s", &b, want)
	}
}

func TestGatherRefuses(t *testing.T) {
	everybody := func(string) (int64, bool) { return event.MaxTime, true }
	tests := []struct {
		name   string
		file   string
		erased func(string) (int64, bool)
		want   error
	}{
		{"no times", "user_id,item_id\nann,a\n", nil, ErrNoEvents},
		{"nothing", "user_id,item_id,timestamp\n", nil, ErrNoEvents},
		{"mostly faults", "user_id,item_id,timestamp\nann,a,1\n,a,1\n,b,1\n", nil, ErrMostlyFault},
		{"all erased", "user_id,item_id,timestamp\nann,a,1\n", everybody, ErrNoEvents},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := NewGatherer(ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			err = g.File(strings.NewReader(tt.file))
			if err == nil {
				_, _, err = g.Dataset(tt.erased)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}
