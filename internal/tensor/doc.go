// Package tensor is the mathematics under every model: row-major float32
// matrices, named parameters in one block of memory, a tape of coarse
// operations each with its backward, and the Device that runs them.
//
// # The mental model
//
// A model writes its forward pass as a list of calls on a Tape: Gather,
// Linear, LayerNorm, Attend, ... A tape that learns remembers how to undo each
// call and Backward walks that list upside down; a tape that does not learn
// remembers nothing, so serving runs the very code that was trained and
// allocates nothing after its first pass.
//
// Batches are packed: the sequences of a batch lie end to end in one
// (tokens x width) matrix with a list of offsets beside it. There is no
// padding, so there is no mask for it and no work on it. Only attention reads
// the offsets.
//
// # Letters
//
//	B  sequences in a batch        T  tokens in a batch (all sequences together)
//	D  width of a token            H  attention heads
//	N  items in the catalogue      L  longest history a model looks at
//
// # Determinism
//
// All arithmetic runs in a fixed order on the calling goroutine. Parallel
// training gives each lane its own tape and Gradients and adds the lanes up in
// order (Gradients.Reduce), so the result depends on the number of lanes, which
// is configuration, and never on the number of cores or on scheduling.
package tensor
