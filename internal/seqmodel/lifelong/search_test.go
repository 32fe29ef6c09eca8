package lifelong_test

import (
	"slices"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/tensor"
)

func param(t *testing.T, m *lifelong.Model, name string) *tensor.Param {
	t.Helper()
	for _, p := range m.Params().List() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no parameter %s", name)
	return nil
}

// TestAuxiliaryHeadTrainsTheSearch: with the auxiliary head a step moves the
// attention rows of events that search did not keep; without it, none of them.
func TestAuxiliaryHeadTrainsTheSearch(t *testing.T) {
	for _, auxiliary := range []bool{true, false} {
		c := members()["dare, no auxiliary head"]
		c.NoAuxiliary = !auxiliary
		m := make30(t, c, 1)
		var h lifelong.History
		for item := range int32(20) {
			h.Items = append(h.Items, item)
		}
		kept := map[int32]bool{25: true}
		for _, e := range m.NewScorer().Selected(h, 25, 0) {
			kept[h.Items[e]] = true
		}
		table := param(t, m, "attend.item")
		before := slices.Clone(table.Val.V)
		tr, err := lifelong.NewTrainer(m, lifelong.TrainConfig{})
		if err != nil {
			t.Fatal(err)
		}
		// Two rows, for a batch norm of one row passes no gradient.
		batch := []lifelong.Example{{History: h, Candidates: []int32{25}}, {History: h, Candidates: []int32{25}}, {History: h, Candidates: []int32{26}}, {History: h, Candidates: []int32{26}}}
		for _, e := range m.NewScorer().Selected(h, 26, 0) {
			kept[h.Items[e]] = true
		}
		kept[26] = true
		if _, err := tr.Step(batch); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for item := range int32(20) {
			lo := int(item) * table.Val.Cols
			if !kept[item] && !slices.Equal(before[lo:lo+table.Val.Cols], table.Val.V[lo:lo+table.Val.Cols]) {
				moved++
			}
		}
		if unkept := 22 - len(kept); auxiliary && moved != unkept || !auxiliary && moved != 0 {
			t.Errorf("auxiliary head %v: %d of %d rows that search did not keep moved", auxiliary, moved, unkept)
		}
	}
}

// TestSharedTablesAreTWIN: dare that attends with its representation tables is
// twin, to the bit, from the same seed, fresh and trained.
func TestSharedTablesAreTWIN(t *testing.T) {
	shared := members()["dare, shared tables"]
	plain := shared
	plain.Model, plain.SharedTables = "twin", false
	h := randomHistory(60, 2)
	var scores [2][]float32
	for i, c := range []lifelong.Config{shared, plain} {

		m := make30(t, c, 4)
		scores[i] = make([]float32, len(candidates))
		m.NewScorer().Score(scores[i], h, candidates, last(h))
	}
	_, _, first := learn(t, shared, 1)
	if _, _, second := learn(t, plain, 1); !slices.Equal(first, second) {
		t.Error("shared tables learn other weights than twin")
	}
	if !slices.Equal(scores[0], scores[1]) {
		t.Errorf("shared tables score %v, twin %v", scores[0], scores[1])
	}
}
