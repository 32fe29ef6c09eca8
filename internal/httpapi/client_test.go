package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"seqrec/api/client"
	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

// TestClient drives the real handlers with the generated client, through the paths that are hard for one: verbs behind
// a colon and ids with anything in them.
func TestClient(t *testing.T) {
	var erased event.UserID
	s := newTestServer(t, &fake{erase: func(_ context.Context, user event.UserID) (recommend.Receipt, error) {
		erased = user
		return exampleReceipt(), nil
	}}, func(o *Options) {
		o.Keys = []Key{{Name: "all", SHA256: sha("key"), Scopes: []string{ScopePredict, ScopeEvents, ScopeItems, ScopeAdmin}}}
	})
	data, admin := httptest.NewServer(s.Data()), httptest.NewServer(s.Admin())
	t.Cleanup(data.Close)
	t.Cleanup(admin.Close)
	withKey := client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("X-API-Key", "key")
		return nil
	})
	c, err := client.NewClientWithResponses(data.URL, withKey)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	kind, time := "view", int64(5)
	history := []client.HistoryEvent{{Item: "1", Kind: &kind, Time: &time}}
	answer, err := c.PredictWithResponse(ctx, client.PredictRequest{History: &history})
	if err != nil || answer.JSON200 == nil || answer.JSON200.Items[0].Id != "2028" {
		t.Fatalf("predict: %v %+v", err, answer)
	}
	wrong, err := c.PredictWithResponse(ctx, client.PredictRequest{K: new(0)})
	if err != nil || wrong.ApplicationproblemJSON422 == nil || len(*wrong.ApplicationproblemJSON422.Errors) != 1 {
		t.Errorf("a wrong predict: %v %+v", err, wrong)
	}
	batch, err := c.PredictBatchWithResponse(ctx, client.PredictBatchRequest{Requests: make([]client.PredictRequest, 3)})
	if err != nil || batch.JSON200 == nil || len(batch.JSON200.Results) != 3 {
		t.Errorf("batch: %v %+v", err, batch)
	}
	appended, err := c.AppendEventsWithResponse(ctx, []client.Event{{User: "ann", Item: "1", Time: 5}})
	if err != nil || appended.JSON202 == nil || appended.JSON202.Accepted != 1 {
		t.Errorf("events: %v %+v", err, appended)
	}
	gone, err := c.EraseUserWithResponse(ctx, "a/b:c %+é")
	if err != nil || gone.JSON200 == nil || erased != "a/b:c %+é" {
		t.Errorf("erase of %q: %v %+v", erased, err, gone)
	}
	operator, err := client.NewClientWithResponses(admin.URL, withKey)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := operator.PromoteModelWithResponse(ctx, version)
	if err != nil || promoted.JSON200 == nil || promoted.JSON200.Version != version {
		t.Errorf("promote: %v %+v", err, promoted)
	}
}
