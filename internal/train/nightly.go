package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/store"
)

// Source is a place that events come from.
type Source interface {
	// Name says what is read, without secrets. It is part of what makes two nights
	// the same one.
	Name() string
	// Gather adds its events, and returns what it knows of items.
	Gather(ctx context.Context, to *features.Gatherer) ([]features.Item, error)
}

// NightlyOptions are what Nightly takes besides the plan. Of the embedded ones
// Data, Origin, Published and Resume are set by Nightly; Work must be given.
type NightlyOptions struct {
	NightOptions
	Sources  []Source
	Read     features.ReadOptions // of each file
	Erasures []*store.ErasureList // users whose earlier events must not be learned from
	Cold     bool                 // begin with fresh weights, not with those of the current version
	MaxAge   time.Duration        // an unfinished night older than this is begun anew; 0: never
	// Second, when not nil, is trained on the same events as the second stage of
	// what the night publishes, and judged against the first alone.
	Second *LifelongPlan
	// SecondProgress may be nil.
	SecondProgress func(LifelongProgress)
	// Lease has the times of the lock on a registry in a bucket. Now and Say are the night's.
	Lease registry.LeaseOptions
}

// NightlySummary is the outcome of a night with its gathering.
type NightlySummary struct {
	*Summary
	Night     string     `json:"night"`
	Resumed   bool       `json:"resumed"` // went on with what an interrupted run had left
	Gathering *Gathering `json:"gathered"`
	// Second is the second stage, with the version that holds both; nil when none
	// was asked for, or the first was refused.
	Second *SecondSummary `json:"second_stage,omitempty"`
}

// Gathering says what was gathered.
type Gathering struct {
	Sources     []string  `json:"sources"`
	Events      int       `json:"events"`
	Users       int       `json:"users"`
	Items       int       `json:"items"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Doubled     int       `json:"told_twice"`
	Faults      int       `json:"faults"`
	Erased      int       `json:"erased_events"`
	ErasedUsers int       `json:"erased_users"`
	Receipts    int       `json:"receipts"`
	SHA256      string    `json:"sha256"` // of the gathered events as they lie in the working folder
}

// nightly is one Nightly in progress.
type nightly struct {
	plan     Plan
	opt      NightlyOptions
	receipts []store.Receipt
	state    nightState
	resumed  bool
}

// Nightly is the work of a night from its sources to the promotion: gather the
// events of all sources without those of erased users, begin with the weights of
// the current version, train, judge on the last part of the time beside the
// baselines and the current version, decide, publish, promote.
//
// One run at a time works on a registry and in a working folder; another one
// fails with ErrRunning, on another machine too if the registry is in a bucket; it
// then wraps registry.ErrLocked as well, and a run that loses the lock ends with
// registry.ErrLost and promotes nothing. A run that was ended at any moment, kill -9 included, is
// gone on with by the next one with the same settings: what was gathered is not
// gathered again, training goes on from its checkpoint to the very same weights,
// and what was published is not published twice. Errors are those of Night.
func Nightly(ctx context.Context, plan Plan, opt NightlyOptions) (_ *NightlySummary, err error) {
	if opt.Registry == nil || opt.Work == "" || len(opt.Sources) == 0 {
		return nil, errors.New("a night needs a registry, a working folder and a source")
	}
	if plan.Data.Split != features.SplitTemporal {
		return nil, fmt.Errorf("a night judges on a later time window: split %q, want %s", plan.Data.Split, features.SplitTemporal)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Say == nil {
		opt.Say = func(string, ...any) {}
	}
	unlock, err := lockNights(opt.Registry.Dir(), opt.Work)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	ctx, release, err := holdNights(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() { err = withLoss(ctx, err) }()
	n := &nightly{plan: plan, opt: opt}
	for _, l := range opt.Erasures {
		n.receipts = append(n.receipts, l.Receipts...)
	}
	store.SortReceipts(n.receipts)
	if err := n.begin(); err != nil {
		return nil, err
	}
	if err := n.gather(ctx); err != nil {
		return nil, err
	}
	return n.train(ctx)
}

// begin takes up the night that the working folder holds, or a new one.
func (n *nightly) begin() error {
	identity, err := n.identity()
	if err != nil {
		return err
	}
	old, err := readNight(n.path(nightStateFile))
	switch {
	case err != nil:
		n.opt.Say("the state of the last night is no use, a new one begins: %v", err)
	case old == nil:
	case old.Identity != identity:
		n.opt.Say("the unfinished night of %s had other settings, sources or erasures: a new one begins", old.Begun.Format(time.DateTime))
	case n.opt.MaxAge > 0 && n.opt.Now().Sub(old.Begun) > n.opt.MaxAge:
		n.opt.Say("the unfinished night of %s is older than %s: a new one begins", old.Begun.Format(time.DateTime), n.opt.MaxAge)
	default:
		n.state, n.resumed = *old, true
		n.opt.Say("going on with the night of %s", old.Begun.Format(time.DateTime))
		return nil
	}
	if err := n.clear(); err != nil {
		return err
	}
	begun := n.opt.Now().UTC()
	n.state = nightState{Format: nightFormat, Identity: identity, Begun: begun, Night: sumHex(fmt.Append(nil, identity, begun.UnixNano()))[:16]}
	if current, err := n.opt.Registry.Current(); err == nil && !n.opt.Cold && n.plan.Baseline == "" {
		n.state.Warm = current
	}
	return n.save()
}

// identity names everything that was asked of a night.
func (n *nightly) identity() (string, error) {
	names := make([]string, len(n.opt.Sources))
	for i, s := range n.opt.Sources {
		names[i] = s.Name()
	}
	erased := Erasures{Receipts: n.receipts}
	text, err := json.Marshal(struct {
		Plan    Plan
		Sources []string
		Read    features.ReadOptions
		Erased  string
		Name    string
		Cold    bool
		Second  *LifelongPlan `json:",omitempty"`
	}{n.plan, names, n.opt.Read, erased.commitment().SHA256, n.opt.Name, n.opt.Cold, n.opt.Second})
	if err != nil {
		return "", fmt.Errorf("name the night: %w", err)
	}
	return sumHex(text)[:16], nil
}

// Names in the working folder.
const (
	nightStateFile = "night.json"
	gatheredFolder = "gathered"
	gatheredFile   = "interactions.csv.gz"
	trainingFolder = "training"
	// FetchedFolder is where sources may keep what they fetch while they gather.
	FetchedFolder = "fetched"
)

func (n *nightly) path(name ...string) string {
	return filepath.Join(append([]string{n.opt.Work}, name...)...)
}

// gather fills the working folder with the events of all sources, unless it holds
// those of this night already.
func (n *nightly) gather(ctx context.Context) error {
	file := n.path(gatheredFolder, gatheredFile)
	if g := n.state.Gathered; g != nil {
		sum, err := hashOfFile(file)
		if err == nil && sum == g.SHA256 {
			n.opt.Say("gathered before: %d events", g.Events)
			return nil
		}
		n.opt.Say("what was gathered is damaged, it is gathered again")
	}
	g, err := features.NewGatherer(n.opt.Read)
	if err != nil {
		return err
	}
	var items []features.Item
	out := &Gathering{Receipts: len(n.receipts)}
	for _, s := range n.opt.Sources {
		more, err := s.Gather(ctx, g)
		if err != nil {
			return fmt.Errorf("gather from %s: %w", s.Name(), err)
		}
		items = append(items, more...)
		out.Sources = append(out.Sources, s.Name())
	}
	data, got, err := g.Dataset(n.erased)
	if err != nil {
		return fmt.Errorf("gather: %w", err)
	}
	if err := features.WriteFolder(n.path(gatheredFolder), data, once(items)); err != nil {
		return err
	}
	r := got.Report
	out.Events, out.Users, out.Items, out.Faults = r.Events, r.Users, r.Items, r.Faults.Total
	out.From, out.To = time.UnixMilli(r.From).UTC(), time.UnixMilli(r.To).UTC()
	out.Doubled, out.Erased, out.ErasedUsers = got.Doubled, got.Erased, got.ErasedUsers
	if out.SHA256, err = hashOfFile(file); err != nil {
		return err
	}
	n.opt.Say("gathered from %d sources: %d told twice, %d events of %d erased users left out\n%s", len(out.Sources), out.Doubled, out.Erased, out.ErasedUsers, r)
	n.state.Gathered = out
	return n.save()
}

// erased says up to when a user's events are to be forgotten.
func (n *nightly) erased(user string) (until int64, ok bool) {
	for _, l := range n.opt.Erasures {
		if at, erased := l.Until(event.UserID(user)); erased {
			until, ok = max(until, at.UnixMilli()), true
		}
	}
	return until, ok
}

// once keeps the last of the items with one id.
func once(items []features.Item) []features.Item {
	at := map[string]int{}
	var out []features.Item
	for _, item := range items {
		if i, ok := at[item.ID]; ok {
			out[i] = item
			continue
		}
		at[item.ID] = len(out)
		out = append(out, item)
	}
	return out
}

// train does the rest of the night, of what is not published already.
func (n *nightly) train(ctx context.Context) (*NightlySummary, error) {
	out := &NightlySummary{Night: n.state.Night, Resumed: n.resumed, Gathering: n.state.Gathered}
	published, err := n.published()
	if err != nil {
		return nil, err
	}
	if published != nil {
		n.opt.Say("version %s of this night is published already", published.Version)
	}
	switch {
	case published == nil:
		out.Summary, err = n.first(ctx)
	case published.Reranker != nil:
		out.Summary, out.Second, err = n.takeUp(published)
	default:
		if out.Summary, err = summaryOf(published); err == nil && n.opt.Second == nil {
			err = promote(out.Summary, &n.opt.NightOptions)
		}
	}
	if out.Summary == nil {
		return nil, err
	}
	if err == nil && n.opt.Second != nil && out.Second == nil {
		out.Second, err = n.second(ctx, out.Summary)
	}
	if err == nil || errors.Is(err, ErrRefused) {
		err = errors.Join(err, n.clear())
	}
	return out, err
}

// first trains and publishes the night's version, or its first stage.
func (n *nightly) first(ctx context.Context) (*Summary, error) {
	opt := n.opt.NightOptions
	if n.opt.Second != nil { // what becomes current is decided when both stages are there
		opt.Promote, opt.Hold, opt.SecondNext = false, true, true
	}
	opt.Data, opt.Work = n.path(gatheredFolder), n.path(trainingFolder)
	opt.Warm, opt.Resume, opt.Anew = n.state.Warm, n.resumed, true // it must not wait for a machine that may be gone
	opt.Origin = n.originOf()
	opt.Published = func(version string) error {
		n.state.Version = version
		return n.save()
	}
	return Night(ctx, n.plan, opt)
}

// takeUp goes on with a night that ended after it had published both stages: they
// become current by the verdict on both, or the first alone by its own.
func (n *nightly) takeUp(both *registry.Manifest) (first *Summary, second *SecondSummary, err error) {
	if second, err = secondOf(both); err != nil {
		return nil, nil, err
	}
	if first, err = summaryOf(both); err != nil { // its own figures are those of the first stage
		return nil, nil, err
	}
	first.Version = second.First
	err = second.promote(&n.opt.NightOptions)
	if errors.Is(err, ErrRefused) {
		n.opt.Say("%v", err)
		err = promote(first, &n.opt.NightOptions)
	}
	return first, second, err
}

// second trains the second stage of what the night has published. Where there is
// none to train, or both stages are refused, the first may still take its place
// alone.
func (n *nightly) second(ctx context.Context, first *Summary) (*SecondSummary, error) {
	o := &n.opt
	s, err := SecondStage(ctx, *o.Second, SecondOptions{
		Data: n.path(gatheredFolder), Filter: n.plan.Data, SameData: true, Registry: o.Registry, First: first.Version, Publish: true,
		Promote: o.Promote, Hold: o.Hold, Gate: o.Gate, Name: o.Name, Workers: o.Judge.Workers, Revision: o.Revision, CPU: o.CPU, Say: o.Say, Progress: o.SecondProgress,
		Work: n.path(trainingFolder), Resume: n.resumed, Anew: true, Every: o.Every,
	})
	switch {
	case errors.Is(err, features.ErrNoEvents):
		o.Say("no second stage: %v", err)
	case errors.Is(err, ErrRefused):
		o.Say("%v", err)
	default:
		return s, err
	}
	return s, promote(first, &o.NightOptions)
}

func (n *nightly) originOf() *Origin {
	g := n.state.Gathered
	o := &Origin{Night: n.state.Night, Sources: g.Sources, Doubled: g.Doubled}
	if len(n.opt.Erasures) > 0 {
		o.Erased = &Erasures{Receipts: n.receipts, Users: g.ErasedUsers, Events: g.Erased}
	}
	return o
}

// published finds the version of this night: by its state, or, when the run ended
// between the two, by the night that is written in the manifest.
func (n *nightly) published() (*registry.Manifest, error) {
	infos, err := n.opt.Registry.List()
	if err != nil {
		return nil, err
	}
	var found *registry.Manifest // with the second stage, if the night got so far
	for _, i := range infos {
		if i.Fault == nil && (i.Version == n.state.Version || i.Manifest.Night == n.state.Night) && (found == nil || i.Manifest.Reranker != nil) {
			found = &i.Manifest
		}
	}
	return found, nil
}

// clear removes what a night leaves in the working folder.
func (n *nightly) clear() error {
	if err := os.Remove(n.path(nightStateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clear the working folder: %w", err)
	}
	for _, folder := range []string{gatheredFolder, trainingFolder, FetchedFolder} {
		if err := os.RemoveAll(n.path(folder)); err != nil {
			return fmt.Errorf("clear the working folder: %w", err)
		}
	}
	return nil
}

func sumHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
