package registry

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestRerankerValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		r    Reranker
		says []string // none: it is right
	}{
		"zero":             {Reranker{}, nil},
		"all of it":        {Reranker{Kinds: []string{"", "view", "purchase"}, Blend: 0.3, Candidates: 300, LearnedTo: time.UnixMilli(1)}, nil},
		"before all time":  {Reranker{LearnedTo: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"learned_to is in the year 0"}},
		"after all time":   {Reranker{LearnedTo: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"learned_to is in the year 10000"}},
		"not a number":     {Reranker{Blend: math.NaN()}, []string{"blend is NaN"}},
		"infinite":         {Reranker{Blend: math.Inf(1)}, []string{"blend is +Inf"}},
		"several":          {Reranker{Blend: -1, Candidates: 1001}, []string{"blend is -1", "candidates is 1001"}},
		"first has a name": {Reranker{Kinds: []string{"view"}}, []string{`kind 0 is "view"`}},
		"other has none":   {Reranker{Kinds: []string{"", ""}}, []string{`kind 1 is ""`}},
		"twice":            {Reranker{Kinds: []string{"", "view", "view"}}, []string{`kind 2 is "view"`}},
		"too many kinds":   {Reranker{Kinds: make([]string, MaxRerankerKinds+1)}, []string{"65537 kinds"}},
	} {
		err := c.r.Validate()
		if (err == nil) != (len(c.says) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
	}
}
