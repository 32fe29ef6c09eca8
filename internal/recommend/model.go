package recommend

import "seqrec/internal/features"

// Model is what a snapshot serves: a sequence model or a baseline. It is safe
// for concurrent use; the rankers it hands out are not, which is why there is
// one for each worker.
//
// Laws: every ranker of a model ranks alike, whatever else is in the batch; a
// blocked item is never ranked; equal scores are ordered by lower item number.
//
// A model that holds resources beyond memory also has a Close method; it is
// called once, after the last request has let the model go.
type Model interface {
	// Items is the size of the catalogue: item numbers are 0..Items()-1.
	Items() int
	// NewRanker returns a ranker with its own scratch memory.
	NewRanker() features.Ranker
	// ItemVectors returns the item table, row-major Items() x width, in which a
	// small angle means "alike". nil when the model has none. The caller must
	// not write to it.
	ItemVectors() (data []float32, width int)
	// Describe names kind and size, such as "sasrec d64 b2 L200".
	Describe() string
}

// windowed is implemented by models that look at only the newest Window events:
// the price of a request is counted in those.
type windowed interface{ Window() int }

// Loaded is one version, ready to be put into a snapshot.
type Loaded struct {
	Info   ModelInfo
	Model  Model
	Vocab  *features.Vocab
	Counts []int64           // events of each item in the training data; nil when unknown
	Items  []CatalogItem     // titles and attributes published with the version; may be nil
	Golden []features.Golden // requests with the answers it gave when it was published; may be nil
	// Reranker is the second stage; nil when the version has none.
	Reranker *Reranker
}
