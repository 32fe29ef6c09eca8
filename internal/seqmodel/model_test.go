package seqmodel_test

import (
	"testing"

	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/modeltest"
	"seqrec/internal/tensor"
)

func TestConformance(t *testing.T) {
	small := func(change func(c *seqmodel.Config)) seqmodel.Config {
		c := seqmodel.Config{Width: 32, Length: 9, Heads: 2, Dropout: 0.05, AttentionDropout: 0.05, OutputProjection: true}
		change(&c)
		return c
	}
	ce := seqmodel.TrainConfig{LR: 3e-3}
	with := func(l seqmodel.Loss) seqmodel.TrainConfig { return seqmodel.TrainConfig{LR: 3e-3, Loss: l} }
	plain := func(*seqmodel.Config) {}
	for _, c := range []modeltest.Case{
		{Name: "sasrec original", Config: small(func(c *seqmodel.Config) {
			c.Layout, c.OutputProjection, c.Heads, c.ScaleEmbedding = seqmodel.Original, false, 1, true
		}), Train: ce},
		{Name: "sasrec pre-ln", Config: small(plain), Train: ce},
		{Name: "sasrec post-ln", Config: small(func(c *seqmodel.Config) {
			c.Layout, c.Activation, c.Hidden, c.InitStd, c.Epsilon = seqmodel.PostLN, tensor.GELU, 4, 0.02, 1e-12
		}), Train: ce},
		{Name: "forward positions, bias, own output table", Config: small(func(c *seqmodel.Config) {
			c.Positions, c.OutputBias, c.SeparateOutput, c.KeyWidth = seqmodel.LearnedForward, true, true, 16
		}), Train: ce},
		{Name: "bce", Config: small(plain), Train: with(seqmodel.Loss{Kind: seqmodel.BinaryCrossEntropy, Negatives: 4})},
		{Name: "gbce", Config: small(plain), Train: with(seqmodel.Loss{Kind: seqmodel.Generalised, Negatives: 8})},
		{Name: "sampled", Config: small(plain), Train: with(seqmodel.Loss{Kind: seqmodel.SampledCrossEntropy, Negatives: 8})},
		{Name: "sampled by popularity with log q", Config: small(plain), Train: with(seqmodel.Loss{
			Kind: seqmodel.SampledCrossEntropy, Negatives: 8, Popularity: 0.5, LogQ: true})},
		{Name: "clipped and decayed", Config: small(plain), Train: seqmodel.TrainConfig{LR: 3e-3, ClipNorm: 1, Decay: 0.01}},
	} {
		c.Floor, c.Epochs = 0.8, 60
		if c.Train.Loss.Kind == seqmodel.BinaryCrossEntropy {
			c.Epochs = 150 // learns slower from few negatives
		}
		modeltest.Run(t, c)
	}
}
