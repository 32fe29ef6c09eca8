package features

import "seqrec/internal/kernel"

// Dataset is an interaction log grouped by user: the events of user u are
// Items[Offsets[u]:Offsets[u+1]], oldest first (equal times keep file order).
// Items are numbered 0..len(Vocab)-1; there is no padding item. An event of item
// -1 is of one that is unknown, and only its place in the history counts: see
// ReadOptions.KeepPlaces. CutSlates and Describe take such events; Known leaves
// them out for all others.
type Dataset struct {
	Users   []string  // external user ids, by user number
	Vocab   *Vocab    // external item ids, by item number
	Offsets []int     // len(Users)+1
	Items   []int32   // item number of each event, -1 for an unknown item
	Times   []int64   // Unix milliseconds of each event; nil when the source has none
	Kinds   []string  // kind of each event; nil when the source has none
	Ratings []float32 // rating of each event, NaN where there is none; nil when the source has none

	Categories Codes // category of each item, where the log itself names it; else empty
}

// Batch is B sequences laid end to end, without padding: sequence b is
// Items[Offsets[b]:Offsets[b+1]], oldest first.
type Batch struct {
	Items   []int32 // T input tokens
	Targets []int32 // T next items; -1 where there is no loss
	Offsets []int32 // B+1
	Times   []int64 // T Unix milliseconds, or nil
	Users   []int32 // B: whose history each sequence is cut from, as the sampler numbers them; or nil
}

// Case is one ranking question with a known answer.
type Case struct {
	User   int      // user number
	Input  []int32  // the whole history, oldest first; -1, as of Dataset.InPlace, is an unknown item
	Times  []int64  // nil or len(Input)
	Kinds  []string // nil or len(Input): what was done each time
	Target int32    // the item to find
	At     int64    // Unix milliseconds of the target event, 0 when unknown
}

// Split is a data set cut for honest evaluation. Train never holds a
// validation or test event.
type Split struct {
	Name       string    // "leave-one-out" or "temporal"
	Items      int       // catalogue size
	Train      [][]int32 // training history of each user, oldest first; may be empty
	TrainTimes [][]int64 // parallel to Train, or nil
	Valid      []Case
	Test       []Case
	TargetHash string // SHA-256 over (user id, target id) of Test in order: names the tie order used
}

// Query asks a Ranker what follows one history.
type Query struct {
	History    []int32  // item numbers, oldest first; may be empty
	Times      []int64  // nil or len(History), Unix milliseconds
	Kinds      []string // nil or len(History): what was done each time, "" where nobody said
	At         int64    // Unix milliseconds of the request, 0 when unknown
	Blocked    []uint64 // bitmap over item numbers; a set bit never leaves; nil blocks nothing
	Candidates []int32  // rank only these, each once; nil ranks the whole catalogue
	K          int      // how many items are wanted
}

// Ranker answers queries. It owns scratch memory, so one goroutine uses it at
// a time; ask the model for one per worker.
type Ranker interface {
	// Rank sets dst[i] (its capacity is reused) to the best K unblocked items
	// for queries[i], best first, equal scores by lower item number.
	Rank(dst [][]kernel.Scored, queries []Query)
	// Score writes the score of every item for every query: dst is row-major,
	// len(queries) x catalogue size. Blocked, Candidates and K are ignored.
	Score(dst []float32, queries []Query)
}
