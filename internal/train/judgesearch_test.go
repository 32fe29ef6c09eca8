package train_test

import (
	"errors"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// TestJudgeSearch: a search by category keeps the events that tell most about a
// target, one by nothing in particular does not.
func TestJudgeSearch(t *testing.T) {
	data, truth := features.LifelongWorld(2, features.LifelongOptions{Users: 300, History: 250, Items: 400})
	b := train.NewBehaviours(data, truth.Items)
	split, err := features.CutSlates(data, features.SlateOptions{MinEvents: 100})
	if err != nil {
		t.Fatal(err)
	}
	quality := func(c lifelong.Config) train.SearchFigures {
		c.Items, c.Categories, c.Length, c.Select, c.InitStd = data.Vocab.Len(), len(b.Categories.Names), 200, 20, 0.5
		m, err := lifelong.New(c, b.Categories.Of, 1)
		if err != nil {
			t.Fatal(err)
		}
		f, err := train.JudgeSearch(t.Context(), m, b, split)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	hard, random := quality(lifelong.Config{Model: "sim-hard"}), quality(lifelong.Config{Model: "dare"})
	if !(hard.NDCG > random.NDCG && random.NDCG > 0 && hard.NDCG <= 1) || hard.Slates != len(split.Test) || hard.K != 20 {
		t.Errorf("by category %+v, at random %+v", hard, random)
	}
	m, err := lifelong.New(lifelong.Config{Items: data.Vocab.Len()}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.JudgeSearch(t.Context(), m, b, split); !errors.Is(err, train.ErrNoCategories) {
		t.Errorf("without categories: %v", err)
	}
}
