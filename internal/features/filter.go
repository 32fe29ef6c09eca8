package features

// applyCounts leaves out rare items and users as the options ask.
func (r *rows) applyCounts() {
	r.dropRare(r.opt.MinItemCount, r.items.Len(), itemOf)
	r.dropRare(r.opt.MinUserCount, r.users.Len(), userOf)
	for k := r.opt.KCore; k > 0; {
		if !r.dropRare(k, r.items.Len(), itemOf) && !r.dropRare(k, r.users.Len(), userOf) {
			break
		}
	}
	if r.opt.Users > 0 {
		r.firstUsers(r.opt.Users)
	}
}

func itemOf(t row) int32 { return t.item }
func userOf(t row) int32 { return t.user }

// dropRare removes the rows whose key occurs less than least times among n
// keys, and reports whether there were any.
func (r *rows) dropRare(least, n int, key func(row) int32) bool {
	if least <= 1 {
		return false
	}
	counts := make([]int, n)
	for _, t := range r.list {
		counts[key(t)]++
	}
	kept := r.list[:0]
	for _, t := range r.list {
		if counts[key(t)] >= least {
			kept = append(kept, t)
		}
	}
	dropped := len(kept) < len(r.list)
	r.list = kept
	return dropped
}

// firstUsers keeps the rows of the first n users that still have any.
func (r *rows) firstUsers(n int) {
	keep := make([]bool, r.users.Len())
	kept := r.list[:0]
	for _, t := range r.list {
		if !keep[t.user] && n > 0 {
			keep[t.user] = true
			n--
		}
		if keep[t.user] {
			kept = append(kept, t)
		}
	}
	r.list = kept
}
