package recommend

import (
	"slices"
	"strings"

	"seqrec/internal/event"
)

// catalog is what is known of the model's items beside the model, by item
// number. It never changes; put and remove return changed copies.
type catalog struct {
	titles     []string
	categories [][]string
	hidden     []uint64 // mask
}

// newCatalog lays the published items of a version down.
func newCatalog(c *core) *catalog {
	n := c.vocab.Len()
	cat := &catalog{
		titles:     make([]string, n),
		categories: make([][]string, n),
		hidden:     make([]uint64, maskWords(n)),
	}
	for i := range c.base {
		cat.set(c, &c.base[i])
	}
	return cat
}

// set is used only before the catalog is published. Items the model does not
// know are left out: they cannot be answered anyway.
func (cat *catalog) set(c *core, item *CatalogItem) {
	n, ok := c.number(item.ID)
	if !ok {
		return
	}
	cat.titles[n] = item.Title
	cat.categories[n] = item.Categories
	unblock(cat.hidden, n)
	if item.Hidden {
		block(cat.hidden, n)
	}
}

func (cat *catalog) clone() *catalog {
	return &catalog{
		titles:     slices.Clone(cat.titles),
		categories: slices.Clone(cat.categories),
		hidden:     slices.Clone(cat.hidden),
	}
}

// put returns the catalog with items laid over it.
func (cat *catalog) put(c *core, items []CatalogItem) *catalog {
	next := cat.clone()
	for i := range items {
		next.set(c, &items[i])
	}
	return next
}

// remove returns the catalog with one item as the version published it.
func (cat *catalog) remove(c *core, id event.ItemID) *catalog {
	next := cat.clone()
	next.set(c, &CatalogItem{ID: id})
	for i := range c.base {
		if c.base[i].ID == id {
			next.set(c, &c.base[i])
		}
	}
	return next
}

// find returns up to limit items whose title or id holds text, most popular
// first. Hidden items are not found.
func (s *snapshot) find(text string, limit int) []CatalogItem {
	text = strings.ToLower(strings.TrimSpace(text))
	found := make([]CatalogItem, 0, min(limit, 64))
	for _, n := range s.popular {
		if len(found) == limit {
			break
		}
		id, title := s.vocab.ID(n), s.cat.titles[n]
		if blocked(s.cat.hidden, n) || !strings.Contains(strings.ToLower(title), text) && !strings.Contains(strings.ToLower(id), text) {
			continue
		}
		found = append(found, CatalogItem{ID: event.ItemID(id), Title: title, Categories: s.cat.categories[n]})
	}
	return found
}
