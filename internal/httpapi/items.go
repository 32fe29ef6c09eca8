package httpapi

import (
	"context"
	"errors"
	"slices"
	"strings"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

const (
	defaultK     = recommend.DefaultK
	defaultFound = 20
)

// Similar answers POST /v1/similar.
func (o *operations) Similar(ctx context.Context, r wire.SimilarRequestObject) (wire.SimilarResponseObject, error) {
	items := make([]event.ItemID, len(r.Body.Items))
	for i, id := range r.Body.Items {
		items[i] = event.ItemID(id)
	}
	k := deref(r.Body.K)
	if k == 0 {
		k = defaultK
	}
	answer, err := o.service.Similar(requestContext(ctx), items, k)
	if err != nil {
		return nil, err
	}
	callOf(requestContext(ctx)).model = answer.Took
	o.metrics.answered(&answer)
	return wire.Similar200JSONResponse(answerOf(&answer, false)), nil
}

// FindItems answers GET /v1/items.
func (o *operations) FindItems(ctx context.Context, r wire.FindItemsRequestObject) (wire.FindItemsResponseObject, error) {
	limit := deref(r.Params.Limit)
	if limit == 0 {
		limit = defaultFound
	}
	found, err := o.service.FindItems(requestContext(ctx), r.Params.Query, limit)
	if err != nil {
		return nil, err
	}
	list := wire.FindItems200JSONResponse{Items: make([]wire.Item, len(found))}
	for i := range found {
		list.Items[i] = itemOf(&found[i])
	}
	return list, nil
}

// ReadItem answers GET /v1/items/{item}.
func (o *operations) ReadItem(ctx context.Context, r wire.ReadItemRequestObject) (wire.ReadItemResponseObject, error) {
	item, err := o.service.GetItem(requestContext(ctx), event.ItemID(r.Item))
	return wire.ReadItem200JSONResponse(itemOf(&item)), err
}

func itemOf(i *recommend.CatalogItem) wire.Item {
	item := wire.Item{Id: string(i.ID), Title: optional(i.Title), Hidden: optional(i.Hidden), Updated: optional(i.Updated)}
	if len(i.Categories) > 0 {
		item.Categories = &i.Categories
	}
	if len(i.Attributes) > 0 {
		attributes := wire.Attributes(i.Attributes)
		item.Attributes = &attributes
	}
	return item
}

// PutItem answers PUT /v1/items/{item}.
func (o *operations) PutItem(ctx context.Context, r wire.PutItemRequestObject) (wire.PutItemResponseObject, error) {
	item := recommend.CatalogItem{
		ID: event.ItemID(r.Item), Title: deref(r.Body.Title), Categories: deref(r.Body.Categories),
		Attributes: deref(r.Body.Attributes), Hidden: deref(r.Body.Hidden),
	}
	err := o.service.PutItems(requestContext(ctx), []recommend.CatalogItem{item})
	var wrong *recommend.InvalidError
	if errors.As(err, &wrong) { // here the item is the body, not the first of a list
		faults := slices.Clone(wrong.Faults)
		for i := range faults {
			faults[i].Pointer = strings.TrimPrefix(faults[i].Pointer, "/items/0")
		}
		err = invalidBody(faults)
	}
	return wire.PutItem204Response{}, err
}

// PutItems answers POST /v1/items:batch.
func (o *operations) PutItems(ctx context.Context, r wire.PutItemsRequestObject) (wire.PutItemsResponseObject, error) {
	items := make([]recommend.CatalogItem, len(r.Body.Items))
	for i, item := range r.Body.Items {
		items[i] = recommend.CatalogItem{
			ID: event.ItemID(item.Id), Title: deref(item.Title), Categories: deref(item.Categories),
			Attributes: deref(item.Attributes), Hidden: deref(item.Hidden),
		}
	}
	err := o.service.PutItems(requestContext(ctx), items)
	return wire.PutItems200JSONResponse{Stored: len(items)}, err
}

// DeleteItem answers DELETE /v1/items/{item}.
func (o *operations) DeleteItem(ctx context.Context, r wire.DeleteItemRequestObject) (wire.DeleteItemResponseObject, error) {
	err := o.service.DeleteItem(requestContext(ctx), event.ItemID(r.Item))
	return wire.DeleteItem204Response{}, err
}
