package registry

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reranker says how the second stage of a version is used: the model in
// RerankerFile scores what the first one retrieved against the whole history.
type Reranker struct {
	// Kinds names the codes of kinds of behaviour that the model learned, by code:
	// the first is "", what is missing or unknown. Empty when it knows no kinds.
	Kinds []string `json:"kinds,omitempty"`
	// Blend is the weight of the second stage in the final score, 0 to MaxBlend:
	// score = z(retrieval) + Blend * z(log odds), where z is over the candidates.
	// 0 leaves the order of retrieval as it is.
	Blend float64 `json:"blend"`
	// Candidates is how many retrieved items the blend was judged with; 0 when
	// nobody said.
	Candidates int `json:"candidates,omitempty"`
	// LearnedTo is the time of the newest event that the second stage was trained on,
	// or that chose its weights or its blend; zero when the data has no times or nobody
	// said.
	LearnedTo time.Time `json:"learned_to,omitzero"`
}

// Bounds of the fields of a Reranker.
const (
	MaxBlend              = 1000
	MaxRerankerKinds      = 1 << 16
	MaxRerankerCandidates = 1000
)

// Validate reports every fault of the settings at once.
func (r *Reranker) Validate() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !(r.Blend >= 0 && r.Blend <= MaxBlend) {
		add("blend is %v, want 0 to %d", r.Blend, MaxBlend)
	}
	if r.Candidates < 0 || r.Candidates > MaxRerankerCandidates {
		add("candidates is %d, want 0 to %d", r.Candidates, MaxRerankerCandidates)
	}
	if y := r.LearnedTo.Year(); y < 1 || y > 9999 {
		add("learned_to is in the year %d, want 1 to 9999", y)
	}
	if len(r.Kinds) > MaxRerankerKinds {
		add("%d kinds are more than %d", len(r.Kinds), MaxRerankerKinds)
	}
	seen := make(map[string]bool, len(r.Kinds))
	for code, name := range r.Kinds {
		if (name == "") != (code == 0) || seen[name] {
			add("kind %d is %q, want \"\" for the first alone and each name once", code, name)
			break
		}
		seen[name] = true
	}
	return errors.Join(faults...)
}

// rerankerProblems lists what is wrong with the second stage: a file without its
// settings is as useless as settings without their file.
func (m *Manifest) rerankerProblems() []string {
	_, file := m.Files[RerankerFile]
	switch {
	case m.Reranker == nil && file:
		return []string{"the file " + RerankerFile + " is listed without the field reranker"}
	case m.Reranker == nil:
		return nil
	case !file:
		return []string{"the field reranker is there without the file " + RerankerFile}
	}
	if err := m.Reranker.Validate(); err != nil {
		return []string{"reranker: " + strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return nil
}
