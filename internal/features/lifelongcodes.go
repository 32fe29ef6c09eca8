package features

import (
	"cmp"

	"seqrec/internal/event"
)

// Codes numbers what events or items may have one of, for the side tables of a
// model: a category, a kind. Code 0 means that nothing is known and has the name
// "", so every code is a row of a table of len(Names) rows.
type Codes struct {
	Of    []int32  // code of each item, or of each event
	Names []string // name of each code
}

// CategoryCodes gives the category of every item of v by its number, codes in
// the order that the items of v first need them. An item's category is the
// first that the catalogue lists: a model's side table has room for one, and
// where a catalogue lists a path, the first is what similar items share. (Where
// it lists genres without order, the first is still a function of the item, so
// the items of one code do have something in common.) Items that the catalogue
// does not know, or without a category, have code 0.
func CategoryCodes(items []Item, v *Vocab) Codes {
	first := make([]string, v.Len())
	for i := range items {
		n, known := v.Number(items[i].ID)
		if known && len(items[i].Categories) > 0 {
			first[n] = items[i].Categories[0]
		}
	}
	return encode(first)
}

// KindCodes gives the kind of every event, codes in the order that they first
// occur. An event without a kind is of the default kind, as in a store, so code 0
// is that of kinds to come; Of is nil when no event has a kind.
func KindCodes(d *Dataset) Codes {
	if d.Kinds == nil {
		return Codes{Names: []string{""}}
	}
	kinds := make([]string, len(d.Kinds))
	for i, kind := range d.Kinds {
		kinds[i] = cmp.Or(kind, string(event.DefaultKind))
	}
	return encode(kinds)
}

func encode(names []string) Codes {
	v := NewVocab("")
	c := Codes{Of: make([]int32, len(names))}
	for i, name := range names {
		c.Of[i] = v.Add(name)
	}
	c.Names = v.IDs()
	return c
}
