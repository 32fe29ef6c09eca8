package recommend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"seqrec/internal/event"
)

// Append stores events durably, all of them or, on error, none that the caller
// may count on. An event already held counts as duplicate. The events must be
// valid. Errors: ErrStore, ErrDeadline, context.Canceled.
func (s *Service) Append(ctx context.Context, events []event.Event) (AppendResult, error) {
	if s.store == nil {
		return AppendResult{}, noStore("append events")
	}
	r, err := s.store.Append(ctx, events)
	if err != nil {
		return r, storeError(ctx, "append events", err)
	}
	return r, nil
}

// History returns one page of a user's history, newest first, and the cursor of
// the next page, "" at the end. An unknown user has an empty history. A cursor
// that was not made by History is ErrInvalid.
func (s *Service) History(ctx context.Context, user event.UserID, page Page) (events []event.Event, next string, err error) {
	if s.store == nil {
		return nil, "", noStore("read history")
	}
	if page.Limit == 0 {
		page.Limit = 100
	}
	events, next, err = s.store.History(ctx, user, page)
	if err != nil {
		return nil, "", storeError(ctx, "read history", err)
	}
	return events, next, nil
}

// Erase forgets a user. Erasing one of whom nothing is held gives a receipt too.
func (s *Service) Erase(ctx context.Context, user event.UserID) (Receipt, error) {
	if s.store == nil {
		return Receipt{}, noStore("erase user")
	}
	defer s.states.erase(user) // also where nobody knows how far the store came
	r, err := s.store.Erase(ctx, user)
	if err != nil {
		return Receipt{}, storeError(ctx, "erase user", err)
	}
	return r, nil
}

// Erasure returns the receipt of an erasure, ErrNotFound if there is none.
func (s *Service) Erasure(ctx context.Context, id string) (Receipt, error) {
	if s.store == nil {
		return Receipt{}, noStore("read erasure receipt")
	}
	r, err := s.store.Erasure(ctx, id)
	if err != nil {
		return Receipt{}, storeError(ctx, "read erasure receipt", err)
	}
	return r, nil
}

// WriteErasures writes the list of all erasures, by which a training job leaves out
// what erased users did. Who holds it can tell whether a user was erased.
func (s *Service) WriteErasures(ctx context.Context, w io.Writer) error {
	if s.store == nil {
		return noStore("list erasures")
	}
	if err := s.store.WriteErasures(ctx, w); err != nil {
		return storeError(ctx, "list erasures", err)
	}
	return nil
}

// PutItems stores items and shows them, or hides them, in every answer whose
// request comes after it returned. An item that does not say when it was updated
// was updated now.
func (s *Service) PutItems(ctx context.Context, items []CatalogItem) error {
	if s.store == nil {
		return noStore("put items")
	}
	now := s.cfg.Now().UnixMilli()
	stamped := make([]CatalogItem, len(items))
	for i, item := range items {
		item.Updated = cmp.Or(item.Updated, now)
		stamped[i] = item
	}
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	if err := s.store.PutItems(ctx, stamped); err != nil {
		return storeError(ctx, "put items", err)
	}
	s.recatalog(func(snap *snapshot) *catalog { return snap.cat.put(snap.core, stamped) })
	return nil
}

// GetItem returns what the store holds of an item, else what the serving version
// published of it, else ErrNotFound.
func (s *Service) GetItem(ctx context.Context, id event.ItemID) (CatalogItem, error) {
	if s.store != nil {
		item, err := s.store.Item(ctx, id)
		if err == nil {
			return item, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return CatalogItem{}, storeError(ctx, "read item", err)
		}
	}
	snap, err := s.take("")
	if err != nil {
		return CatalogItem{}, fmt.Errorf("item %q: %w", id, ErrNotFound)
	}
	defer snap.release()
	n, ok := snap.number(id)
	if !ok {
		return CatalogItem{}, fmt.Errorf("item %q: %w", id, ErrNotFound)
	}
	return CatalogItem{ID: id, Title: snap.cat.titles[n], Categories: snap.cat.categories[n], Hidden: blocked(snap.cat.hidden, n)}, nil
}

// DeleteItem forgets what the store holds of an item; answers go back to what
// the serving version published of it. ErrNotFound if nothing is held: answers go
// back all the same, since a store may be shared with others who deleted it there.
func (s *Service) DeleteItem(ctx context.Context, id event.ItemID) error {
	if s.store == nil {
		return noStore("delete item")
	}
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	err := s.store.DeleteItem(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return storeError(ctx, "delete item", err)
	}
	s.recatalog(func(snap *snapshot) *catalog { return snap.cat.remove(snap.core, id) })
	if err != nil {
		return storeError(ctx, "delete item", err)
	}
	return nil
}

// FindItems returns up to limit items of the serving model whose title or id
// holds text (any case), most popular first. Hidden items are not found.
func (s *Service) FindItems(ctx context.Context, text string, limit int) ([]CatalogItem, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	snap, err := s.take("")
	if err != nil {
		return nil, err
	}
	defer snap.release()
	return snap.find(text, limit), nil
}

// recatalog publishes the current core with another catalog. Callers hold
// swapMu.
func (s *Service) recatalog(change func(*snapshot) *catalog) {
	snap := s.current.Load()
	if snap == nil { // none yet, or closed
		return
	}
	snap.core.retain() // cannot fail: current holds it and swapMu keeps it current
	s.publish(newSnapshot(snap.core, change(snap)))
}

func noStore(doing string) error {
	return fmt.Errorf("%s: %w: none is configured", doing, ErrStore)
}
