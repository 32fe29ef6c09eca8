package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
	"seqrec/internal/store"
)

// storage lets a store be what recommend asks for: the same verbs, each in its
// own room's words. Errors that a caller can mend are translated, the others go
// through.
type storage struct{ store.Store }

var _ recommend.Store = storage{}

func (s storage) Append(ctx context.Context, events []event.Event) (recommend.AppendResult, error) {
	r, err := s.Store.Append(ctx, events)
	return recommend.AppendResult{Accepted: r.Accepted, Duplicate: r.Duplicate, Dropped: r.Dropped}, translated(err)
}

func (s storage) History(ctx context.Context, user event.UserID, page recommend.Page) ([]event.Event, string, error) {
	events, next, err := s.Store.History(ctx, user, store.Page{Before: page.Cursor, Limit: page.Limit, Kind: page.Kind})
	return events, next, translated(err)
}

func (s storage) Erase(ctx context.Context, user event.UserID) (recommend.Receipt, error) {
	r, err := s.Store.Erase(ctx, user)
	return receipt(r), translated(err)
}

func (s storage) Erasure(ctx context.Context, id string) (recommend.Receipt, error) {
	r, err := s.Store.Erasure(ctx, id)
	return receipt(r), translated(err)
}

func (s storage) WriteErasures(ctx context.Context, w io.Writer) error {
	list, err := store.ListErasures(ctx, s.Store)
	if err != nil {
		return translated(err)
	}
	return list.Write(w)
}

func receipt(r store.Receipt) recommend.Receipt {
	return recommend.Receipt{ID: r.ID, UserHash: r.UserHash, Events: r.Events, At: r.At.UnixMilli()}
}

func (s storage) PutItems(ctx context.Context, items []recommend.CatalogItem) error {
	out, err := storedItems(items)
	if err != nil {
		return err
	}
	return translated(s.Store.PutItems(ctx, out))
}

// storedItems gives the store's form of items, or says of each that cannot be stored what is wrong with it.
func storedItems(items []recommend.CatalogItem) ([]store.Item, error) {
	out := make([]store.Item, len(items))
	var faults []event.Fault
	for i, item := range items {
		out[i] = storedItem(item)
		if _, err := store.EncodeItem(out[i], out[i].Updated); err != nil {
			faults = append(faults, event.Fault{
				Pointer: "/items/" + strconv.Itoa(i), Detail: "must not take more than " + strconv.Itoa(store.MaxItem) + " bytes as it is stored",
			})
		}
	}
	if len(faults) > 0 {
		return nil, &recommend.InvalidError{Faults: faults}
	}
	return out, nil
}

func storedItem(item recommend.CatalogItem) store.Item {
	return store.Item{
		ID: item.ID, Title: item.Title, Categories: item.Categories, Attributes: item.Attributes, Hidden: item.Hidden,
		Updated: time.UnixMilli(item.Updated).UTC(),
	}
}

func (s storage) Item(ctx context.Context, id event.ItemID) (recommend.CatalogItem, error) {
	items, err := s.Store.Items(ctx, []event.ItemID{id})
	if err != nil {
		return recommend.CatalogItem{}, translated(err)
	}
	if len(items) == 0 {
		return recommend.CatalogItem{}, recommend.ErrNotFound
	}
	return catalogItem(items[0]), nil
}

func (s storage) DeleteItem(ctx context.Context, id event.ItemID) error {
	return translated(s.Store.DeleteItem(ctx, id))
}

func (s storage) EachItem(ctx context.Context, fn func(recommend.CatalogItem) error) error {
	return translated(s.AllItems(ctx, func(item store.Item) error { return fn(catalogItem(item)) }))
}

func catalogItem(item store.Item) recommend.CatalogItem {
	return recommend.CatalogItem{
		ID: item.ID, Title: item.Title, Categories: item.Categories, Attributes: item.Attributes, Hidden: item.Hidden,
		Updated: item.Updated.UnixMilli(),
	}
}

// translated turns the store's words for a caller's mistake into recommend's.
func translated(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", recommend.ErrNotFound, err)
	case errors.Is(err, store.ErrCursor), errors.Is(err, store.ErrInvalid):
		return fmt.Errorf("%w: %w", recommend.ErrInvalid, err)
	}
	return err
}
