// Package eval judges a model the way it will be used: for every case the
// whole catalogue is scored, the user's own history is taken out, and the
// place of the true next item is found.
//
// The rank of target t among the candidates C is
//
//	rank = 1 + |{j in C : s_j > s_t}| + |{j in C : s_j = s_t, j < t}|
//
// where C holds every item but those of the case's whole input history (not
// only what the model's window saw); the target always stays. Nothing is
// sampled, no user is dropped: a target that was never trained is scored like
// any other, a target unknown to the model is a miss. Items that only the model
// knows are not candidates, so models of two catalogues answer one question. A score that is not a
// number is an error, since any order made from it would flatter or harm by
// chance.
//
// Every metric is a mean over cases and carries a bootstrap interval over
// users (Efron, 1979). Two models are compared on the same cases by a paired
// bootstrap, which sees differences that two separate intervals hide.
//
// Models that look at one target at a time are judged over rows of a label and a
// score: [AUC] over all of them, [UserGAUC] and [CategoryAUC] within groups. What
// their search picks out of a long history is held against what matters in it,
// known ([SelectionRecall]) or counted ([SelectionNDCG] with [Presence]). Figures
// of several seeds become one by [OverSeeds].
//
// All results depend only on the scores, the cases and the seed: the number of
// workers and the batch size change nothing.
package eval
