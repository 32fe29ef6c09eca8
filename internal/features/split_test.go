package features

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tiny is a data set of users with 4, 2, 3 and 1 events.
func tiny() *Dataset {
	return &Dataset{
		Users:   []string{"ann", "bob", "cy", "di"},
		Vocab:   NewVocab("a", "b", "c", "d"),
		Offsets: []int{0, 4, 6, 9, 10},
		Items:   []int32{0, 1, 2, 3, 1, 0, 2, 2, 1, 3},
		Times:   []int64{10, 20, 30, 40, 15, 35, 5, 5, 50, 45},
	}
}

func TestLeaveOneOut(t *testing.T) {
	sum := sha256.Sum256([]byte("ann\td\ncy\tb\n"))
	want := &Split{
		Name: "leave-one-out", Items: 4,
		Train:      [][]int32{{0, 1}, {1, 0}, {2}, {3}},
		TrainTimes: [][]int64{{10, 20}, {15, 35}, {5}, {45}},
		Valid: []Case{
			{User: 0, Input: []int32{0, 1}, Times: []int64{10, 20}, Target: 2, At: 30},
			{User: 2, Input: []int32{2}, Times: []int64{5}, Target: 2, At: 5},
		},
		Test: []Case{
			{User: 0, Input: []int32{0, 1, 2}, Times: []int64{10, 20, 30}, Target: 3, At: 40},
			{User: 2, Input: []int32{2, 2}, Times: []int64{5, 5}, Target: 1, At: 50},
		},
		TargetHash: hex.EncodeToString(sum[:]),
	}
	if diff := cmp.Diff(want, LeaveOneOut(tiny())); diff != "" {
		t.Error(diff)
	}
}

func TestLeaveOneOutWithoutTimes(t *testing.T) {
	d := tiny()
	d.Times = nil
	s := LeaveOneOut(d)
	if s.TrainTimes != nil || s.Test[0].Times != nil || s.Test[0].At != 0 {
		t.Errorf("times where there are none: %+v", s)
	}
	if s.TargetHash != LeaveOneOut(tiny()).TargetHash {
		t.Error("the target hash depends on times")
	}
}

// keys writes cases as "user input->target@time".
func keys(cases []Case) []string {
	var out []string
	for _, c := range cases {
		out = append(out, fmt.Sprintf("%d %v->%d@%d", c.User, c.Input, c.Target, c.At))
	}
	return out
}

func TestTemporal(t *testing.T) {
	// Times in order: 5 5 10 15 20 30 35 40 45 50.
	tests := []struct {
		name        string
		opt         TemporalOptions
		train       [][]int32
		valid, test []string
	}{
		{"dates", TemporalOptions{ValidFrom: 30, TestFrom: 40}, [][]int32{{0, 1}, {1}, {2, 2}, {}},
			[]string{"0 [0 1]->2@30", "1 [1]->0@35"}, []string{"0 [0 1 2]->3@40", "2 [2 2]->1@50"}},
		{"quantiles", TemporalOptions{ValidQuantile: 0.5, TestQuantile: 0.7}, [][]int32{{0, 1}, {1}, {2, 2}, {}},
			[]string{"0 [0 1]->2@30", "1 [1]->0@35"}, []string{"0 [0 1 2]->3@40", "2 [2 2]->1@50"}},
		{"defaults", TemporalOptions{}, [][]int32{{0, 1, 2, 3}, {1, 0}, {2, 2}, {}},
			nil, []string{"2 [2 2]->1@50"}},
		{"ties at the cut are after it", TemporalOptions{ValidFrom: 5, TestFrom: 10}, [][]int32{{}, {}, {}, {}},
			[]string{"2 [2]->2@5"},
			[]string{"0 [0]->1@20", "0 [0 1]->2@30", "0 [0 1 2]->3@40", "1 [1]->0@35", "2 [2 2]->1@50"}},
		{"new users, short histories", TemporalOptions{ValidFrom: 30, TestFrom: 40, NewUsers: true, MaxHistory: 2}, [][]int32{{0, 1}, {1}, {2, 2}, {}},
			[]string{"0 [0 1]->2@30", "1 [1]->0@35"}, []string{"0 [1 2]->3@40", "2 [2 2]->1@50", "3 []->3@45"}},
		{"one case a user", TemporalOptions{ValidFrom: 10, TestFrom: 20, MaxCases: 1}, [][]int32{{}, {}, {2, 2}, {}},
			nil, []string{"0 [0]->1@20", "1 [1]->0@35", "2 [2 2]->1@50"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Temporal(tiny(), tt.opt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.train, s.Train); diff != "" {
				t.Errorf("train: %s", diff)
			}
			if diff := cmp.Diff(tt.valid, keys(s.Valid)); diff != "" {
				t.Errorf("validation: %s", diff)
			}
			if diff := cmp.Diff(tt.test, keys(s.Test)); diff != "" {
				t.Errorf("test: %s", diff)
			}
			for _, c := range append(s.Valid, s.Test...) {
				if len(c.Times) != len(c.Input) {
					t.Errorf("%d times for %d inputs", len(c.Times), len(c.Input))
				}
			}
		})
	}
}

func TestTemporalRefuses(t *testing.T) {
	untimed := tiny()
	untimed.Times = nil
	for name, tt := range map[string]struct {
		d   *Dataset
		opt TemporalOptions
	}{
		"no times":       {untimed, TemporalOptions{}},
		"no events":      {&Dataset{Times: []int64{}}, TemporalOptions{}},
		"quantile":       {tiny(), TemporalOptions{TestQuantile: 1}},
		"order":          {tiny(), TemporalOptions{ValidFrom: 40, TestFrom: 30}},
		"negative bound": {tiny(), TemporalOptions{MaxHistory: -1}},
	} {
		if _, err := Temporal(tt.d, tt.opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
