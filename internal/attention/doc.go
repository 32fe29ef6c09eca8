// Package attention holds the ways in which a position of a history looks at
// the others. A variant is a value behind the one-method Attention interface;
// what is special to it is a field of its own type. MultiHead wraps any variant
// with learned projections.
//
// Adding a variant: one file with the type, its equation and source; one line
// in New; one row in the table of attentiontest.
package attention
