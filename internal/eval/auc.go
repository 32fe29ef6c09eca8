package eval

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrOneClass says that positives or negatives are missing, so that no pair of
// them can be in order or out of it.
var ErrOneClass = errors.New("the rows do not hold both labels")

// AUC is the share of pairs of a positive and a negative row, of all users and
// targets together, in which the positive scores higher; a pair of equal scores
// counts half. It is the area under the ROC curve (Hanley & McNeil, Radiology
// 143, 1982), exact, in O(n log n). It returns ErrOneClass where there is no
// such pair and ErrNotANumber for a score that is none.
func AUC(scores []float32, labels []bool) (float64, error) {
	if len(scores) != len(labels) {
		return 0, fmt.Errorf("area under the curve: %d scores and %d labels", len(scores), len(labels))
	}
	if err := checkNumbers(scores); err != nil {
		return 0, fmt.Errorf("area under the curve: %w", err)
	}
	rows := make([]int32, len(scores))
	for i := range rows {
		rows[i] = int32(i)
	}
	area, ok := areaOf(rows, scores, labels)
	if !ok {
		return 0, fmt.Errorf("area under the curve of %d rows: %w", len(scores), ErrOneClass)
	}
	return area, nil
}

// areaOf is AUC for some of the rows, which it sorts. Pairs are counted in
// halves, as integers: so the order of rows cannot change a bit.
func areaOf(rows []int32, scores []float32, labels []bool) (area float64, ok bool) {
	slices.SortFunc(rows, func(a, b int32) int { return cmp.Compare(scores[a], scores[b]) })
	var below, positives, halves uint64 // negatives and positives so far; half pairs in order
	for i := 0; i < len(rows); {
		var p, n uint64 // among the rows that share a score
		for at := scores[rows[i]]; i < len(rows) && scores[rows[i]] == at; i++ {
			if labels[rows[i]] {
				p++
			} else {
				n++
			}
		}
		halves += p * (2*below + n)
		below += n
		positives += p
	}
	if positives == 0 || below == 0 {
		return 0, false
	}
	return float64(halves) / 2 / (float64(positives) * float64(below)), true
}

// GroupedAUC is a mean of AUCs within groups, each weighted by its rows.
type GroupedAUC struct {
	AUC    float64 `json:"auc"`
	Groups int     `json:"groups"` // that hold both labels: the others cannot be judged and are left out
	Rows   int     `json:"rows"`   // of those groups
	Alone  int     `json:"alone"`  // groups left out
}

// UserGAUC is the AUC within each user, averaged over the users who have rows of
// both labels, weighted by their rows (Zhu et al., KDD 2017, weight by
// impressions). With few rows a user it is coarse: with one positive and two
// negatives a user's AUC is one of five values. Errors are those of AUC;
// ErrOneClass when no user has both labels.
func UserGAUC(scores []float32, labels []bool, users []int32) (GroupedAUC, error) {
	return grouped("AUC by user", scores, labels, users)
}

// CategoryAUC is the AUC within each category of the target, so over users,
// averaged over the categories with rows of both labels, weighted by their rows.
// (The code published with DARE calls this one GAUC.) categories holds the
// category of each row's target. Errors are those of AUC; ErrOneClass when no
// category has both labels.
func CategoryAUC(scores []float32, labels []bool, categories []int32) (GroupedAUC, error) {
	return grouped("AUC by category of the target", scores, labels, categories)
}

func grouped(what string, scores []float32, labels []bool, keys []int32) (GroupedAUC, error) {
	if len(scores) != len(labels) || len(scores) != len(keys) {
		return GroupedAUC{}, fmt.Errorf("%s: %d scores, %d labels and %d groups", what, len(scores), len(labels), len(keys))
	}
	if err := checkNumbers(scores); err != nil {
		return GroupedAUC{}, fmt.Errorf("%s: %w", what, err)
	}
	var out GroupedAUC
	g, sum := groupByUser(keys), 0.0
	for i := range g.users() {
		rows := g.of(i)
		area, ok := areaOf(rows, scores, labels)
		if !ok {
			out.Alone++
			continue
		}
		out.Groups++
		out.Rows += len(rows)
		sum += area * float64(len(rows))
	}
	if out.Groups == 0 {
		return out, fmt.Errorf("%s, %d groups: %w", what, out.Alone, ErrOneClass)
	}
	out.AUC = sum / float64(out.Rows)
	return out, nil
}
