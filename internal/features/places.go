package features

import "slices"

// Known is the data set without the events of unknown items, d itself when it has
// none. Users stay, also those without an event.
func (d *Dataset) Known() *Dataset {
	if !slices.Contains(d.Items, -1) {
		return d
	}
	out := &Dataset{Users: d.Users, Vocab: d.Vocab, Categories: d.Categories, Offsets: make([]int, 1, len(d.Offsets))}
	for u := range d.Users {
		for i := d.Offsets[u]; i < d.Offsets[u+1]; i++ {
			if d.Items[i] < 0 {
				continue
			}
			out.Items = append(out.Items, d.Items[i])
			if d.Times != nil {
				out.Times = append(out.Times, d.Times[i])
			}
			if d.Kinds != nil {
				out.Kinds = append(out.Kinds, d.Kinds[i])
			}
			if d.Ratings != nil {
				out.Ratings = append(out.Ratings, d.Ratings[i])
			}
		}
		out.Offsets = append(out.Offsets, len(out.Items))
	}
	return out
}

// InPlace gives cases of d.Known(), each with its user's whole history there, the
// histories of d: what is asked stays, and the events of unknown items stand at
// their places before it. Slices share memory with d.
func (d *Dataset) InPlace(cases []Case) []Case {
	if !slices.Contains(d.Items, -1) {
		return cases
	}
	out := make([]Case, len(cases))
	for i, c := range cases {
		items, _ := d.User(c.User)
		out[i] = newCase(d, c.User, knownAt(items, len(c.Input)))
		out[i].Target, out[i].At = c.Target, c.At
	}
	return out
}

// knownAt is the index of the event that has n events of known items before it
// and is one.
func knownAt(items []int32, n int) int {
	for i, item := range items {
		if item < 0 {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return len(items)
}

// Known is the case without the events of unknown items. Slices are shared where
// there are none.
func (c Case) Known() Case {
	if !slices.Contains(c.Input, -1) {
		return c
	}
	q := Query{History: c.Input, Times: c.Times, Kinds: c.Kinds}.Known()
	c.Input, c.Times, c.Kinds = q.History, q.Times, q.Kinds
	return c
}

// Known is the query without the events of unknown items. Slices are shared where
// there are none.
func (q Query) Known() Query {
	if !slices.Contains(q.History, -1) {
		return q
	}
	all := q
	q.History, q.Times, q.Kinds = nil, nil, nil
	for i, item := range all.History {
		if item < 0 {
			continue
		}
		q.History = append(q.History, item)
		if all.Times != nil {
			q.Times = append(q.Times, all.Times[i])
		}
		if all.Kinds != nil {
			q.Kinds = append(q.Kinds, all.Kinds[i])
		}
	}
	return q
}
