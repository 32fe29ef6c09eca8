// Package train is a night's work: it runs a sequence model over a data set
// until validation stops improving, keeps the best weights, judges them once on
// the test cases beside baselines and the model in service, decides whether they
// may be promoted, and publishes a version folder.
//
// Reading order: Run (the loop), Checkpoint files (what survives a kill), Judge
// (the report), Decide (the gate), Publish (the version folder).
//
// A run that was killed at any moment and resumed gives the same weights, bit
// for bit, as one that was not: every draw is a function of a seed and counters
// that the checkpoint holds, and a checkpoint is either the old one or the new
// one, never a part of one.
package train
