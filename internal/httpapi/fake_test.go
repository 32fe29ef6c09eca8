package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

// fake is a service made of function fields; one that is nil answers from the world of the contract's examples.
type fake struct {
	predict  func(context.Context, recommend.Request) (recommend.Answer, error)
	batch    func(context.Context, []recommend.Request) []recommend.Result
	similar  func(context.Context, []event.ItemID, int) (recommend.Answer, error)
	append   func(context.Context, []event.Event) (recommend.AppendResult, error)
	history  func(context.Context, event.UserID, recommend.Page) ([]event.Event, string, error)
	erase    func(context.Context, event.UserID) (recommend.Receipt, error)
	erasure  func(context.Context, string) (recommend.Receipt, error)
	getItem  func(context.Context, event.ItemID) (recommend.CatalogItem, error)
	find     func(context.Context, string, int) ([]recommend.CatalogItem, error)
	putItems func(context.Context, []recommend.CatalogItem) error
	delItem  func(context.Context, event.ItemID) error
	models   func(context.Context) ([]recommend.ModelInfo, error)
	model    func(context.Context, string) (recommend.ModelInfo, error)
	promote  func(context.Context, string) (recommend.ModelInfo, error)
	rollback func(context.Context) (recommend.ModelInfo, error)
	ready    func(context.Context) []recommend.Check
	aside    error // of load, unload and shadow
}

var _ Service = (*fake)(nil)

const version = "01JD9ZK3Q4W5E6R7T8Y9V0B1N2"

func exampleAnswer() recommend.Answer {
	return recommend.Answer{
		RecommendationID: "01JDA4X7S8QY6T3V5Z9M2K1N0P",
		Model:            recommend.ModelRef{Name: "sasrec", Version: version},
		Items: []recommend.Item{
			{ID: "2028", Title: "Saving Private Ryan (1998)", Score: 4.5, Source: recommend.RungModel},
			{ID: "1210", Score: 4.25, Source: recommend.RungModel},
			{ID: "480", Title: "Jurassic Park (1993)", Score: 3.75, Source: recommend.RungModel},
		},
		History: recommend.HistoryUse{Used: 2, Unknown: 1, Newest: 978300720000},
		Rung:    recommend.RungModel,
		Took:    420 * time.Microsecond,
	}
}

func explainedAnswer() recommend.Answer {
	a := exampleAnswer()
	a.Rerank = &recommend.RerankUse{Rung: recommend.RerankWhole, Events: 3, Candidates: 300, Oldest: 978300718000}
	a.Items = a.Items[:1]
	a.Items[0].Score, a.Items[0].Reason = 2.5, "follows from the history, in which 1721 is closest to it"
	a.Items[0].Moments = []recommend.Moment{
		{Item: "1721", Title: "Titanic (1997)", Kind: "view", Time: 978300720000, Place: 1, Weight: 0.625},
		{Item: "1097", Kind: "view", Place: 2, Weight: 0.25},
	}
	return a
}

func exampleItem() recommend.CatalogItem {
	return recommend.CatalogItem{ID: "2028", Title: "Saving Private Ryan (1998)", Categories: []string{"Action", "Drama", "War"},
		Attributes: map[string]any{"year": 1998.0}, Updated: 978300000000}
}

func exampleModel() recommend.ModelInfo {
	return recommend.ModelInfo{Name: "sasrec", Version: version, State: "serving", Kind: "seqmodel", Describe: "sasrec d64 b2 L200",
		Created: "2001-01-01T00:00:00Z", Items: 3416, Events: 999611, Users: 6040, Bytes: 1 << 20,
		Metrics: []byte(`{"ndcg@10":0.1842}`), Config: []byte(`{"width":64}`)}
}

func exampleReceipt() recommend.Receipt {
	return recommend.Receipt{ID: "01JDA4X7S8QY6T3V5Z9M2K1N0Q", UserHash: "3c9683017f9e4bf33d0fbedd26bf143fd72de9b9dd145441b75f0604047ea28e", Events: 2, At: 978300725000}
}

func exampleHistory() []event.Event {
	return []event.Event{{User: "ann", Item: "1721", Time: 978300720000}, {User: "ann", Item: "1097", Kind: "view", Time: 978300719000}}
}

func (f *fake) Predict(ctx context.Context, r recommend.Request) (recommend.Answer, error) {
	if f.predict != nil {
		return f.predict(ctx, r)
	}
	a := exampleAnswer()
	a.Appended.Accepted = len(r.Events)
	if r.Explain {
		a = explainedAnswer()
	}
	return a, nil
}

func (f *fake) PredictBatch(ctx context.Context, reqs []recommend.Request) []recommend.Result {
	if f.batch != nil {
		return f.batch(ctx, reqs)
	}
	results := make([]recommend.Result, len(reqs))
	for i := range reqs {
		results[i].Answer, results[i].Err = f.Predict(ctx, reqs[i])
	}
	return results
}

func (f *fake) Similar(ctx context.Context, items []event.ItemID, k int) (recommend.Answer, error) {
	if f.similar != nil {
		return f.similar(ctx, items, k)
	}
	a := exampleAnswer()
	a.Items = []recommend.Item{{ID: "1210", Score: 0.875, Source: recommend.RungSimilar}}
	a.History, a.Rung, a.Short, a.Took = recommend.HistoryUse{Used: 1}, recommend.RungSimilar, "the catalogue has no more", 50*time.Microsecond
	return a, nil
}

func (f *fake) Append(ctx context.Context, events []event.Event) (recommend.AppendResult, error) {
	if f.append != nil {
		return f.append(ctx, events)
	}
	return recommend.AppendResult{Accepted: len(events)}, nil
}

func (f *fake) History(ctx context.Context, user event.UserID, page recommend.Page) ([]event.Event, string, error) {
	if f.history != nil {
		return f.history(ctx, user, page)
	}
	next := ""
	if page.Limit == 2 {
		next = "b3BhcXVl"
	}
	return exampleHistory(), next, nil
}

func (f *fake) Erase(ctx context.Context, user event.UserID) (recommend.Receipt, error) {
	if f.erase != nil {
		return f.erase(ctx, user)
	}
	return exampleReceipt(), nil
}

func (f *fake) Erasure(ctx context.Context, id string) (recommend.Receipt, error) {
	if f.erasure != nil {
		return f.erasure(ctx, id)
	}
	return exampleReceipt(), nil
}

func (f *fake) GetItem(ctx context.Context, id event.ItemID) (recommend.CatalogItem, error) {
	if f.getItem != nil {
		return f.getItem(ctx, id)
	}
	return exampleItem(), nil
}

func (f *fake) FindItems(ctx context.Context, text string, limit int) ([]recommend.CatalogItem, error) {
	if f.find != nil {
		return f.find(ctx, text, limit)
	}
	return []recommend.CatalogItem{exampleItem()}, nil
}

func (f *fake) PutItems(ctx context.Context, items []recommend.CatalogItem) error {
	if f.putItems != nil {
		return f.putItems(ctx, items)
	}
	return nil
}

func (f *fake) DeleteItem(ctx context.Context, id event.ItemID) error {
	if f.delItem != nil {
		return f.delItem(ctx, id)
	}
	return nil
}

func (f *fake) Models(ctx context.Context) ([]recommend.ModelInfo, error) {
	if f.models != nil {
		return f.models(ctx)
	}
	return []recommend.ModelInfo{exampleModel()}, nil
}

func (f *fake) Model(ctx context.Context, name string) (recommend.ModelInfo, error) {
	if f.model != nil {
		return f.model(ctx, name)
	}
	return exampleModel(), nil
}

func (f *fake) Promote(ctx context.Context, name string) (recommend.ModelInfo, error) {
	if f.promote != nil {
		return f.promote(ctx, name)
	}
	return exampleModel(), nil
}

func (f *fake) Rollback(ctx context.Context) (recommend.ModelInfo, error) {
	if f.rollback != nil {
		return f.rollback(ctx)
	}
	return exampleModel(), nil
}

// inState is the example's version in a state.
func inState(state string) recommend.ModelInfo {
	m := exampleModel()
	m.State = state
	return m
}

func (f *fake) Load(context.Context, string) (recommend.ModelInfo, error) {
	return inState("loaded"), f.aside
}

func (f *fake) Unload(context.Context, string) (recommend.ModelInfo, error) {
	return inState("available"), f.aside
}

func (f *fake) Shadow(context.Context, string) (recommend.ModelInfo, error) {
	return inState("shadow"), f.aside
}

func (f *fake) WriteErasures(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "{\"erasures_format\":1,\"secret\":\"00\"}\n{\"end\":0}\n")
	return err
}

func (f *fake) Ready(ctx context.Context) []recommend.Check {
	if f.ready != nil {
		return f.ready(ctx)
	}
	return []recommend.Check{{Name: "model", OK: true, Detail: "sasrec " + version}, {Name: "store", OK: true}}
}

// noon is the time of the tests' clock.
var noon = time.Date(2001, 1, 1, 12, 0, 0, 0, time.UTC)

// newTestServer builds a server over f; change may alter its options.
func newTestServer(t testing.TB, f *fake, change func(*Options)) *Server {
	t.Helper()
	o := Options{Service: f, Now: func() time.Time { return noon }, NewID: func() string { return "req-1" }}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask hands one request to a handler; headers are "Name: value".
func ask(t testing.TB, h http.Handler, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	setHeaders(req, body, headers)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result(), w.Body.String()
}

// askServer is ask over a real connection, where net/http adds its part. The error is that of a cut connection.
func askServer(t testing.TB, h http.Handler, method, path, body string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	setHeaders(req, body, headers)
	resp, err := server.Client().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func setHeaders(req *http.Request, body string, headers []string) {
	if body != "" {
		req.Header.Set("Content-Type", mediaJSON)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
}
