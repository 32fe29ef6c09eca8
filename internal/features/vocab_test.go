package features

import "testing"

func TestVocab(t *testing.T) {
	v := NewVocab("b", "a", "b")
	if v.Len() != 2 || v.ID(0) != "b" || v.ID(1) != "a" {
		t.Fatalf("ids = %q", v.IDs())
	}
	if n := v.Add("a"); n != 1 {
		t.Errorf("Add of a known id = %d, want 1", n)
	}
	if n := v.Add("c"); n != 2 {
		t.Errorf("Add of a new id = %d, want 2", n)
	}
	if n, ok := v.Number("c"); !ok || n != 2 {
		t.Errorf("Number(c) = %d, %v", n, ok)
	}
	if _, ok := v.Number("d"); ok {
		t.Error("an unknown id has a number")
	}
	var none *Vocab
	if _, ok := none.Number("a"); ok || none.Len() != 0 {
		t.Error("a nil vocabulary is not empty")
	}
}

func TestVocabIDPanicsOutsideRange(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewVocab("a").ID(1)
}
