// Package lifelong holds target-aware models over lifelong histories: given a
// candidate item, they search the few relevant behaviours out of thousands,
// aggregate them by attention and say how likely the candidate is. They are the
// second stage of a recommender: a sequence model retrieves hundreds of
// candidates, one of these ranks them again against the whole stored history.
//
// # The family
//
//	dare      decoupled attention and representation tables (Feng et al. 2025)
//	twin      the same search with one set of tables (Chang et al. 2023)
//	twin-v2   twin over a history whose like events are clustered (Si et al. 2024)
//	eta       search by Hamming distance of hash codes (Chen et al. 2021)
//	sdim      attention by hash collision, no search (Cao et al. 2022)
//	sim       search by an inner product of its own, then multi-head attention (Qi et al. 2020)
//	sim-hard  search by category, then multi-head attention (the same paper)
//	din       scores by a small network on every pair (Zhou et al. 2018)
//
// A member is one file with a type that implements search, and one case in
// newSearch.
//
// # How a candidate is scored
//
// Tables give vectors to an item, its category, the kind of a behaviour, its
// position (counted from the newest, the candidate being position 0) and the
// bucket of the time between behaviour and candidate; those that the data lacks
// are left out. A vector of a behaviour or a candidate is their concatenation.
// With r_t the candidate's and u what search aggregates of the history,
//
//	z = [r_t ; u ; u * r_t]    logits = MLP(z)
//
// (DARE, section 3.2). A second, auxiliary head learns from u over the whole
// history, so that search gets gradients from behaviours it did not select.
//
// # Letters
//
//	N  events of a history   C  candidates   K  events that search keeps
//	dA, dR  width of one attention or representation table
package lifelong
