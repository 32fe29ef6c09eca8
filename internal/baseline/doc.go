// Package baseline holds the models that every learned model must beat, and
// that a service can fall back to: what is popular, what came after the last
// item before, and what like-minded histories went on with.
//
// They are models like any other: fitted on the training part of a split, saved
// in one safetensors file, and ranking through [features.Ranker]. Fitting and
// ranking use no randomness; equal scores are ordered by lower item number.
package baseline
