package train

import (
	"context"
	"fmt"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
)

// SlateFigures judge a target-aware model on slates.
type SlateFigures struct {
	AUC      float64         `json:"auc"`       // pooled over all rows
	UserGAUC eval.GroupedAUC `json:"user_gauc"` // within users
	Rows     int             `json:"rows"`
}

// JudgeSlates scores every candidate of the slates and gives the areas under the
// ROC curve.
func JudgeSlates(ctx context.Context, m *lifelong.Model, b *Behaviours, slates []features.Slate, workers int) (f SlateFigures, err error) {
	scores, labels, err := ScoreSlates(ctx, m, b, slates, workers)
	if err != nil {
		return f, err
	}
	users := make([]int32, 0, len(labels))
	for _, s := range slates {
		for range s.Candidates {
			users = append(users, s.User)
		}
	}
	f.Rows = len(labels)
	if f.AUC, err = eval.AUC(scores, labels); err == nil {
		f.UserGAUC, err = eval.UserGAUC(scores, labels, users)
	}
	if err != nil {
		return f, fmt.Errorf("judge %s: %w", m.Describe(), err)
	}
	return f, nil
}
