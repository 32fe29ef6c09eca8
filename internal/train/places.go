package train

import (
	"context"
	"fmt"
	"slices"

	"seqrec/internal/features"
)

// dropsItems says whether events are left out for their items.
func (d DataPlan) dropsItems() bool {
	return d.MinItemCount > 1 || d.KCore > 1 || len(d.DropItems) > 0
}

// splitFor is the split of the night as a version is to be judged on it. Where the
// version reads places, the data is read once more: events that the plan leaves
// out for their items stand at their places in the histories of the test cases, as
// in the service.
func (n *night) splitFor(ctx context.Context, p *Published) (*features.Split, error) {
	if !p.ReadsPlaces() || !n.plan.Data.dropsItems() {
		return n.split, nil
	}
	opt := n.plan.Data.ReadOptions()
	opt.KeepPlaces = true
	data, _, err := features.ReadContext(ctx, n.opt.Data, opt)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(data.Users, n.data.Users) || !slices.Equal(data.Vocab.IDs(), n.data.Vocab.IDs()) {
		return nil, fmt.Errorf("judge %s: %s has changed since it was read for training: run again, on a file that nobody writes to", p.Version, n.opt.Data)
	}
	split := *n.split
	split.Test = data.InPlace(split.Test)
	return &split, nil
}
