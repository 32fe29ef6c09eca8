package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/tensor"
	"seqrec/internal/train"
)

// recipe is a named set of settings.
type recipe struct {
	name string
	also string // another name
	what string
	plan train.Plan
	// short, when there is one, replaces plan on data whose training histories
	// have fewer than shortHistories events on average.
	short *train.Plan
}

// shortHistories parts dense logs, such as MovieLens (163 training events a
// user), from sparse ones, such as the Amazon sets (7): what helps one
// overfits or starves the other.
const shortHistories = 20

// meanLength is the mean number of events of the histories that have any.
func meanLength(histories [][]int32) float64 {
	events, users := 0, 0
	for _, h := range histories {
		events += len(h)
		if len(h) > 0 {
			users++
		}
	}
	return float64(events) / float64(max(users, 1))
}

// recipes is the table of settings that are known to work. Sources: SASRec
// (Kang & McAuley, ICDM 2018), losses and early stop (Klenitskiy & Vasilev,
// RecSys 2023), gBCE (Petrov & Macdonald, RecSys 2023), the sparse recipe's
// block and dropout (Shin et al., BSARec, AAAI 2024). Rates, schedules and
// training samples of sasrec-ce and sasrec-sparse were chosen on the validation
// events of MovieLens-1M and Amazon Beauty.
func recipes() []recipe {
	net := seqmodel.Config{Model: "sasrec", Width: 64, Blocks: 2, Heads: 1, Length: 200, Layout: seqmodel.Original, ScaleEmbedding: true, OutputProjection: true, Dropout: 0.1, AttentionDropout: 0.1, InitStd: 0.02}
	ce := train.Plan{
		Model: net, Train: seqmodel.TrainConfig{Loss: seqmodel.Loss{Kind: seqmodel.CrossEntropy}, Beta2: 0.999},
		Scheme: features.RandomCut, Batch: 64, Schedule: train.Schedule{Kind: train.Cosine, Rate: 4e-3, Warmup: 100, Floor: 0.02}, Epochs: 40, Patience: 15,
	}
	bce := ce
	bce.Model.Dropout, bce.Model.AttentionDropout = 0.2, 0.2
	bce.Train.Loss = seqmodel.Loss{Kind: seqmodel.BinaryCrossEntropy, Negatives: 1}
	bce.Model.OutputProjection = false
	bce.Scheme, bce.Batch = features.Shifted, 128
	bce.Train.Beta2 = 0.98
	bce.Schedule = train.Schedule{Kind: train.Constant, Rate: 1e-3}
	bce.Epochs, bce.Patience = 60, 15

	gbce := ce
	gbce.Model.Width, gbce.Model.Dropout, gbce.Model.AttentionDropout, gbce.Model.SeparateOutput = 128, 0.5, 0.5, true
	gbce.Train.Loss = seqmodel.Loss{Kind: seqmodel.Generalised, Negatives: 256, Calibration: new(0.75)}
	gbce.Epochs, gbce.Patience = 600, 60

	sampled := ce
	sampled.Train.Loss = seqmodel.Loss{Kind: seqmodel.SampledCrossEntropy, Negatives: 3000}

	sparse := ce
	sparse.Model.ScaleEmbedding = false
	sparse.Model.Length, sparse.Model.Layout, sparse.Model.Activation, sparse.Model.Hidden = 50, seqmodel.PostLN, tensor.GELU, 4
	sparse.Model.Dropout, sparse.Model.AttentionDropout, sparse.Model.Epsilon = 0.5, 0.5, 1e-12
	sparse.Train.Beta2, sparse.Schedule.Rate = 0.98, 2e-3
	sparse.Scheme, sparse.Batch, sparse.Epochs = features.Shifted, 128, 20

	quick := ce
	quick.Model.Width, quick.Model.Blocks, quick.Model.Length = 32, 1, 50
	quick.Epochs, quick.Patience, quick.Schedule.Rate = 20, 3, 3e-3

	simple := func(kind baseline.Kind) train.Plan { return train.Plan{Baseline: kind} }
	return []recipe{
		{"sasrec-ce", "", "SASRec with cross-entropy over the whole catalogue: fits itself to long or short histories", ce, &sparse},
		{"sasrec-sparse", "beauty", "the settings of sasrec-ce for short histories and many items (Amazon): strong dropout, wider feed-forward", sparse, nil},
		{"sasrec-sampled", "", "cross-entropy over 3,000 items that each batch shares: for catalogues above some 50,000 items", sampled, nil},
		{"sasrec-bce", "", "SASRec as published: binary loss, one negative; to compare with papers", bce, nil},
		{"sasrec-gbce", "", "gSASRec: 256 negatives, calibrated binary loss; needs patience", gbce, nil},
		{"quick", "", "a small SASRec for a first try: minutes, not the best figures", quick, nil},
		{"popularity", "", "the most popular items", simple(baseline.Popularity), nil},
		{"markov", "transition", "what followed the last item most often", simple(baseline.Transition), nil},
		{"vmis-knn", "", "what similar recent histories went on with (Serenade, SIGMOD 2022)", simple(baseline.VMISKNN), nil},
	}
}

// findRecipe gives the settings of a name.
func findRecipe(name string) (recipe, error) {
	var names []string
	for _, r := range recipes() {
		if name == r.name || name == r.also && name != "" {
			r.plan.Recipe = r.name
			return r, nil
		}
		names = append(names, r.name)
	}
	names = append(names, lifelong.Kinds()...)
	return recipe{}, fmt.Errorf("%w: recipe %q is unknown, want one of %s", errUsage, name, strings.Join(names, ", "))
}

// recipesCmd lists the recipes.
type recipesCmd struct {
	Name string `arg:"" optional:"" help:"Show all settings of this one."`
}

// Run implements runner.
func (c *recipesCmd) Run(a *app) error {
	if isLifelong(c.Name) {
		return writeSettings(a, lifelongRecipe(c.Name, 1).WithDefaults())
	}
	if c.Name != "" {
		r, err := findRecipe(c.Name)
		if err != nil {
			return err
		}
		return writeSettings(a, r.plan.WithDefaults())
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, r := range recipes() {
		names := r.name
		if r.also != "" {
			names += ", " + r.also
		}
		fmt.Fprintf(w, "%s\t%s\n", names, r.what)
	}
	for _, kind := range lifelong.Kinds() {
		fmt.Fprintf(w, "%s\t%s\n", kind, lifelongRecipes()[kind])
	}
	return w.Flush()
}

func writeSettings(a *app, plan any) error {
	text, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}
