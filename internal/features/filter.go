package features

// applyCounts leaves out rare items and users as the options ask.
func (r *rows) applyCounts() {
	if r.opt.KeepPlaces {
		r.orderUsers()
	}
	r.dropRareItems(r.opt.MinItemCount)
	r.dropRareUsers(r.opt.MinUserCount)
	for k := r.opt.KCore; k > 0; {
		if !r.dropRareItems(k) && !r.dropRareUsers(k) {
			break
		}
	}
	if r.opt.KeepPlaces { // else nobody is without an event
		r.dropRareUsers(1)
	}
	if r.opt.Users > 0 {
		r.firstUsers(r.opt.Users)
	}
}

// orderUsers numbers users in the order of their first rows that DropItems keeps,
// as if it had left out the others.
func (r *rows) orderUsers() {
	ordered, number := NewVocab(), make([]int32, r.users.Len())
	for _, kept := range []bool{true, false} {
		for _, t := range r.list {
			if (t.item >= 0) == kept {
				number[t.user] = intern(ordered, r.users.ID(t.user))
			}
		}
	}
	for i := range r.list {
		r.list[i].user = number[r.list[i].user]
	}
	r.users = ordered
}

// dropRareItems leaves out the items with fewer than least events, and reports
// whether there were any.
func (r *rows) dropRareItems(least int) bool {
	if least <= 1 {
		return false
	}
	counts := make([]int, r.items.Len())
	for _, t := range r.list {
		if t.item >= 0 {
			counts[t.item]++
		}
	}
	kept, dropped := r.list[:0], false
	for _, t := range r.list {
		if t.item >= 0 && counts[t.item] < least {
			t.item, dropped = -1, true
		}
		if t.item >= 0 || r.opt.KeepPlaces {
			kept = append(kept, t)
		}
	}
	r.list = kept
	return dropped
}

// dropRareUsers leaves out the users with fewer than least events of items that
// are kept, and reports whether there were any.
func (r *rows) dropRareUsers(least int) bool {
	if least < 1 {
		return false
	}
	counts := make([]int, r.users.Len())
	for _, t := range r.list {
		if t.item >= 0 {
			counts[t.user]++
		}
	}
	kept := r.list[:0]
	for _, t := range r.list {
		if counts[t.user] >= least {
			kept = append(kept, t)
		}
	}
	dropped := len(kept) < len(r.list)
	r.list = kept
	return dropped
}

// known counts the rows of items that are kept.
func (r *rows) known() (n int) {
	for _, t := range r.list {
		if t.item >= 0 {
			n++
		}
	}
	return n
}

// firstUsers keeps the rows of the first n users that still have any of an item that
// is kept.
func (r *rows) firstUsers(n int) {
	keep := make([]bool, r.users.Len())
	for _, t := range r.list {
		if t.item >= 0 && !keep[t.user] && n > 0 {
			keep[t.user] = true
			n--
		}
	}
	kept := r.list[:0]
	for _, t := range r.list {
		if keep[t.user] {
			kept = append(kept, t)
		}
	}
	r.list = kept
}
