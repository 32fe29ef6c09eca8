package main

import (
	"fmt"
	"math"
	"path/filepath"

	"seqrec/internal/eval"
	"seqrec/internal/kernel"
	"seqrec/internal/train"
)

// benchQualityCmd trains on the public data sets and judges on their test
// cases.
type benchQualityCmd struct {
	benchFlags
	Seeds  []uint64 `help:"Seeds whose mean is the figure." default:"1,2,3"`
	Work   string   `help:"Folder for checkpoints, so that a broken benchmark goes on where it was." type:"path" placeholder:"DIR"`
	Epochs int      `help:"Fewer epochs than the recipe's, to try the benchmark itself; 0 is the recipe's." default:"0"`
}

// Run implements runner.
func (c *benchQualityCmd) Run(a *app) error {
	return c.all(a, "bench quality", []measure{
		{"q-baselines", c.baselines},
		{"q-ml1m-ce", c.trained("ml-1m", "sasrec-ce", "NDCG@10 at least 0.182, HR@10 at least 0.315")},
		{"q-ml1m-bce", c.trained("ml-1m", "sasrec-bce", "0.13 ± 0.01")},
		{"q-beauty", c.trained("amazon-beauty", "sasrec-sparse", "NDCG@10 at least 0.0535, HR@10 at least 0.090")},
	})
}

// set gives the flags of one data set: leave-one-out, items with 5 events.
func (c *benchQualityCmd) set(name string) dataFlags {
	return dataFlags{Data: filepath.Join(c.Data, name), Split: "leave-one-out", MinItemCount: 5}
}

// trained is the mean of a recipe's test figures over seeds.
func (c *benchQualityCmd) trained(set, recipe, wanted string) func(*app) (row, error) {
	return func(a *app) (row, error) {
		r, err := findRecipe(recipe)
		if err != nil {
			return row{}, err
		}
		var ndcg, hr, mrr, epochs, seconds []float64
		for _, seed := range c.Seeds {
			s, err := c.night(a, r.plan, set, seed)
			if err != nil {
				return row{}, fmt.Errorf("seed %d: %w", seed, err)
			}
			ndcg, hr, mrr = append(ndcg, s.NDCG10), append(hr, s.HR10), append(mrr, s.MRR)
			epochs, seconds = append(epochs, float64(s.Epochs)), append(seconds, s.Seconds)
		}
		return row{Value: mean(ndcg), unit: "NDCG@10", wanted: wanted, Detail: map[string]any{
			"data": set, "recipe": recipe, "seeds": c.Seeds, "ndcg@10": ndcg, "hr@10": hr, "hr@10_mean": mean(hr), "mrr_mean": mean(mrr),
			"ndcg@10_sd": deviation(ndcg), "epochs": epochs, "seconds": seconds,
		}}, nil
	}
}

// night trains one seed and publishes nothing.
func (c *benchQualityCmd) night(a *app, plan train.Plan, set string, seed uint64) (*train.Summary, error) {
	flags := c.set(set)
	plan.Seed, plan.Data = seed, flags.plan()
	if c.Epochs > 0 {
		plan.Epochs = c.Epochs
	}
	a.say("\n%s on %s, seed %d", plan.Recipe, set, seed)
	shown := newDisplay(a.err)
	defer shown.close()
	return train.Night(a.ctx, plan, train.NightOptions{
		Data: flags.Data, Work: c.Work, Resume: c.Work != "", Every: resumeEvery, Alone: true,
		CPU: kernel.Features(), Progress: shown.event, Say: shown.say,
	})
}

// baselines judges the simple models on both sets. The figure is popularity on
// MovieLens-1M, which shows at once whether the evaluator is right.
func (c *benchQualityCmd) baselines(a *app) (row, error) {
	out := row{unit: "NDCG@10", wanted: "popularity on ml-1m 0.0180, on Beauty 0.0055", Detail: map[string]any{}}
	for _, set := range []string{"ml-1m", "amazon-beauty"} {
		_, split, err := c.set(set).load(a)
		if err != nil {
			return out, err
		}
		results, err := judgeBaselines(a, split, train.JudgeOptions{Resamples: -1})
		if err != nil {
			return out, err
		}
		writeResults(a.err, results)
		out.Detail[set] = figures(results)
		if set == "ml-1m" {
			out.Value = results[0].NDCG10()
		}
	}
	return out, nil
}

func figures(results []*eval.Result) map[string]any {
	out := map[string]any{}
	for _, r := range results {
		out[r.Name] = map[string]float64{"ndcg@10": r.NDCG10(), "hr@10": r.HR10(), "mrr": r.MRR.Mean}
	}
	return out
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// deviation is the standard deviation of a sample; 0 for a single value.
func deviation(x []float64) float64 {
	if len(x) < 2 {
		return 0
	}
	m, sum := mean(x), 0.0
	for _, v := range x {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(x)-1))
}
