package recommend

import (
	"errors"
	"time"

	"seqrec/internal/event"
)

// The faults a caller can tell apart. Every error a Service returns matches
// at most one of them with errors.Is; one that matches none is internal and
// its words are for our logs only.
var (
	// ErrBusy: the queue is full, the request was shed before it cost
	// anything. Worth retrying after a moment.
	ErrBusy = errors.New("recommend: too many requests are waiting")
	// ErrNoModel: no model is loaded and the request was strict, or the
	// operation needs one.
	ErrNoModel = errors.New("recommend: no model is loaded")
	// ErrDeadline: the caller's deadline passed before a strict answer stood.
	ErrDeadline = errors.New("recommend: the deadline passed")
	// ErrUnknownModel: the request or the operator named a model version that
	// is not loaded or does not exist.
	ErrUnknownModel = errors.New("recommend: no such model version")
	// ErrRefused: a model version exists but cannot be served (corrupt, newer
	// format, vocabulary mismatch, failed warm-up). What ran before still runs.
	ErrRefused = errors.New("recommend: the model version was refused")
	// ErrNotFound: a resource named by id (item, erasure receipt) is not there.
	ErrNotFound = errors.New("recommend: not found")
	// ErrStore: the history store could not do its part and the request was
	// strict or was a write.
	ErrStore = errors.New("recommend: the history store is not available")
	// ErrInvalid: the request breaks a rule of the Request type; see Request.Validate.
	ErrInvalid = errors.New("recommend: the request is not valid")
	// ErrConflict: the state of a model version does not allow what was asked.
	ErrConflict = errors.New("recommend: the state of the model version does not allow this")
	// ErrClosed: the service is shutting down.
	ErrClosed = errors.New("recommend: the service is closed")
)

// Bounds of one request. Validate reports what exceeds them.
const (
	DefaultK      = 10
	MaxK          = 1000
	MaxHistory    = 5000
	MaxEvents     = 1000
	MaxCandidates = 5000
	MaxExclude    = 5000
	MaxBatch      = 256
)

// The rungs of the deadline ladder, best first. Answer.Rung is one of them.
const (
	RungModel   = "model"           // the whole usable history went through the model
	RungShorter = "shorter-history" // only the newest events went through the model
	RungItem    = "item-to-item"    // what usually follows the newest known item
	RungPopular = "popular"         // the most frequent items of the training data
)

// The rungs of the second stage, best first. RerankUse.Rung is one of them.
const (
	RerankWhole   = "whole-history"   // the candidates were scored against the whole history
	RerankShorter = "shorter-history" // only the newest events were searched
	RerankNone    = "none"            // the order is that of retrieval
)

// Bounds of an explanation.
const (
	MaxExplained = 100 // items of an answer that get moments, the best first
	MaxMoments   = 10  // moments of an item
)

// RungSimilar is the Answer.Rung of Similar.
const RungSimilar = "similar"

// Request asks what a user wants next. The zero value of every field is
// allowed; a request without user, history and events is answered with what
// is popular (no degradation: there is nothing better to know).
type Request struct {
	User event.UserID // whose stored history to use; may be empty
	// History is a bare history, oldest first (it is sorted by time if it is
	// not). Not nil, it takes the place of the stored one and User is not read.
	// Events of a bare history need no User, and may all carry Time 0.
	History []event.Event
	// Events are appended to the store first, durably, and are part of the
	// history this very answer uses. They must carry a user.
	Events      []event.Event
	K           int            // items wanted, 1..MaxK; 0 means DefaultK
	Candidates  []event.ItemID // rank only these; nil ranks the whole catalogue
	Exclude     []event.ItemID // never answer these
	Model       string         // "" or "current", or the version that must answer
	IncludeSeen bool           // may answer items of the history
	Strict      bool           // an error rather than a degraded answer
	At          int64          // Unix milliseconds of the request, for models that read the clock; 0 means the time of the newest event
	Explain     bool           // fill Item.Reason, and Item.Moments where the second stage answers
	NoRerank    bool           // leave the second stage out
}

// Item is one recommended item.
type Item struct {
	ID     event.ItemID
	Title  string  // "" when the catalogue has none
	Score  float32 // comparable within one answer only
	Source string  // the rung that found it
	Reason string  // one sentence; only when Request.Explain
	// Moments are the past events that the second stage selected for the item,
	// heaviest first; nil when it was not asked or had no time.
	Moments []Moment
}

// Moment is a past event that the place of an item rests on.
type Moment struct {
	Item   event.ItemID
	Title  string // "" when the catalogue has none
	Kind   event.Kind
	Time   int64   // Unix milliseconds; 0 when unknown
	Place  int     // in the history, counted from the newest event, which is 1
	Weight float32 // share of the attention, 0 to 1
}

// RerankUse says what became of the second stage in an answer.
type RerankUse struct {
	Rung       string // one of the Rerank constants
	Events     int    // events of the history that were searched, those of unknown items included
	Candidates int    // items that were scored
	Oldest     int64  // Unix milliseconds of the oldest event searched, 0 when it has no time
}

// Stages says where the time of an answer went. A stage that was not reached is 0.
type Stages struct {
	Store  time.Duration // reading (and appending to) the history
	Queue  time.Duration // waiting for a worker
	Rank   time.Duration // the batch it was ranked in: encode, score and top-k
	Rerank time.Duration // the second stage: search, score and blend
}

// ModelRef names the model that answered.
type ModelRef struct{ Name, Version string }

// HistoryUse says what of the history reached the answer.
type HistoryUse struct {
	Used    int   // events the answer rests on
	Unknown int   // events dropped because the model never saw their item
	Newest  int64 // Unix milliseconds of the newest event given, 0 when none has a time
}

// Answer is what Predict and Similar return. Items are best first, equal
// scores by lower item number of the model's vocabulary.
type Answer struct {
	RecommendationID string
	Model            ModelRef
	Items            []Item
	History          HistoryUse
	Rung             string  // one of the Rung constants; RungSimilar for Similar
	Degraded         *string // nil, or what kept the answer from a better rung
	Short            string  // "" or why there are fewer items than K
	Took             time.Duration
	Stages           Stages       // parts of Took
	Rerank           *RerankUse   // nil where there is no second stage, or none was wanted
	Appended         AppendResult // what became of Request.Events
}

// AppendResult counts what an append did.
type AppendResult struct {
	Accepted  int // new, and held from now on
	Duplicate int // held already
	Dropped   int // older than all that is kept of their user; not held
}

// Result is one element of a PredictBatch: Err nil means Answer is valid.
type Result struct {
	Answer Answer
	Err    error
}

// CatalogItem is what is known of an item beside its interactions.
type CatalogItem struct {
	ID         event.ItemID
	Title      string
	Categories []string
	Attributes map[string]any // JSON values
	Hidden     bool           // never answered, on any path
	Updated    int64          // Unix milliseconds; 0 becomes now on PutItems
}

// Page asks for one page of a history, newest first.
type Page struct {
	Cursor string     // "" for the newest; else the next of the page before
	Limit  int        // 1..1000; 0 means 100
	Kind   event.Kind // "" for every kind
}

// Receipt proves that a user's history was erased.
type Receipt struct {
	ID       string
	UserHash string // hex HMAC-SHA-256 of the user id under the store's secret: proof without keeping the name
	Events   int    // how many were held
	At       int64  // Unix milliseconds
}

// ModelInfo describes one published version.
type ModelInfo struct {
	Name     string
	Version  string
	State    string // "serving", "shadow", "loaded" (held aside), "current" (named, not served), "available", "refused"
	Problem  string // why it was refused or left
	Kind     string // "seqmodel" or "baseline"
	Describe string // such as "sasrec d64 b2 L200"; only while loaded
	Created  string // RFC 3339
	Items    int
	Events   int // events it was trained on
	Users    int
	Metrics  []byte // JSON as the manifest has it; nil when it has none
	Config   []byte // JSON as the manifest has it
	Bytes    int64  // size of its files
}

// Check is one named condition of readiness.
type Check struct {
	Name   string // "model", "store", "queue"
	OK     bool
	Detail string
}

// The methods of Service, for those who declare what they need of it:
//
//	Predict(ctx context.Context, req Request) (Answer, error)
//	PredictBatch(ctx context.Context, reqs []Request) []Result
//	Similar(ctx context.Context, items []event.ItemID, k int) (Answer, error)
//	Append(ctx context.Context, events []event.Event) (AppendResult, error)
//	History(ctx context.Context, user event.UserID, page Page) (events []event.Event, next string, err error)
//	Erase(ctx context.Context, user event.UserID) (Receipt, error)
//	Erasure(ctx context.Context, id string) (Receipt, error)
//	PutItems(ctx context.Context, items []CatalogItem) error
//	GetItem(ctx context.Context, id event.ItemID) (CatalogItem, error)
//	DeleteItem(ctx context.Context, id event.ItemID) error
//	FindItems(ctx context.Context, text string, limit int) ([]CatalogItem, error) // by part of title or id; the page's search box
//	Models(ctx context.Context) ([]ModelInfo, error)
//	Model(ctx context.Context, version string) (ModelInfo, error)                  // "current" allowed
//	Promote(ctx context.Context, version string) (ModelInfo, error)
//	Rollback(ctx context.Context) (ModelInfo, error)
//	Load(ctx context.Context, version string) (ModelInfo, error)
//	Unload(ctx context.Context, version string) (ModelInfo, error)
//	Shadow(ctx context.Context, version string) (ModelInfo, error)
//	WriteErasures(ctx context.Context, w io.Writer) error
//	Ready(ctx context.Context) []Check
//
// Request.Validate reports every fault at once, by JSON pointer.
