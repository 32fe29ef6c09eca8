// Package attention holds the ways in which a position of a history looks at
// the others. A variant is a value behind the one-method Attention interface;
// what is special to it is a field of its own type. MultiHead wraps any variant
// with learned projections.
//
// Beside these, which learn on a tape, stands the serving side of attention over a
// lifelong history: a [History] of events that grows at its end, a [Searcher] that
// selects for each target the few events that matter, by exact scores or by codes
// (ETA), and [Buckets] that need no search (SDIM).
//
// Adding a variant: one file with the type, its equation and source; one line
// in New; one row in the table of attentiontest.
package attention
