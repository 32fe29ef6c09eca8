// Package seqmodel holds the sequence models: a Config that names one, layers
// that hold its parameters, the losses, the trainer and the ranker.
//
// The code that is trained is the code that serves: Trainer and Ranker call the
// same forward pass, one on tapes that learn and one on a tape that does not.
//
// Reading order: Config (what can be chosen), SASRec.forward (the network, as
// the paper writes it), Trainer.Step (one optimiser step over parallel lanes),
// Ranker.Rank (one request), Save and Load (the weights file).
//
// Adding a model: one file with a struct of layers and its forward; one line in
// New; one row in the table of modeltest.
package seqmodel
