// Package features turns interaction logs into what models learn from and are
// judged on.
//
// A log is read into a [Dataset] ([Read]: CSV, MovieLens, Amazon, RecBole,
// NDJSON, Parquet, Taobao, Tmall), cut into a [Split] ([LeaveOneOut], [Temporal]) and fed to
// training as packed batches ([Sampler]) with negatives ([Negatives]), or cut into
// slates ([CutSlates]) for models that look at one item at a time. [World]
// makes a log whose best answers are known, [LifelongWorld] one of long histories
// in which the events that matter are known.
//
// Users and items are numbered from 0; there is no padding item. Times are Unix
// milliseconds. Where events of one user share a time, or there is no time, the
// order of the file is the order: nothing in this package sorts unstably.
//
// Every draw is a pure function of a seed and counters (epoch, step, position),
// so training can be resumed anywhere and gives the same batches again.
package features
