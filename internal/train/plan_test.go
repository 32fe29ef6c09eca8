package train

import (
	"fmt"
	"testing"

	"seqrec/internal/features"
)

func TestDataPlanInWords(t *testing.T) {
	for want, plan := range map[string]DataPlan{
		"leave-one-out; all events": {Split: features.SplitLeaveOneOut},
		"temporal, test share 0.2; ratings >= 3.5; kinds view, buy; items >= 5 events; 3-core": {
			Split: features.SplitTemporal, TestShare: 0.2, MinRating: 3.5, Kinds: []string{"view", "buy"}, MinItemCount: 5, KCore: 3,
		},
	} {
		if got := fmt.Sprintf("%+v", plan); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
