// Package recommend answers one request: what will this user want next?
//
// A [Service] holds one published model at a time in a snapshot: the model,
// its vocabulary, titles, popular counts and the bitmap of hidden items. A
// snapshot never changes. A request takes the snapshot once, at the door, and
// keeps it until it leaves; a new model (or a change of the catalogue) is a new
// snapshot put in its place by one atomic store. The old one ends when its
// last request lets it go, so a swap under load disturbs nobody.
//
// The way of a request:
//
//	events in the body -> store, durable          (storage.go)
//	history: from the body, else from the store   (history.go)
//	ids -> item numbers, one mask of what may not leave: seen, hidden, excluded
//	queue -> a worker takes it with its neighbours (batcher.go)
//	encode, score and masked top-k in one call    (worker.go)
//	the whole history, searched for each of them  (rerank.go; with a second stage)
//	numbers -> ids, titles, reasons               (answer.go)
//
// A version may have a second stage: a target-aware model that scores a few
// hundred retrieved items against the user's whole history, of which states.go
// keeps what can be kept from one request to the next.
//
// When time runs short the worker steps down a ladder (ladder.go): the model on
// the whole history, the model on the newest part of it, the neighbours of the
// last item, and at the bottom the popular items, which the caller's own goroutine
// can always give. The answer names its rung. The mask is obeyed on each.
//
// # Promises
//
//   - No hidden or excluded item leaves, on any path; nor, unless asked, one that
//     the history shows: that of the request, or the newest Config.HistoryLimit
//     events of the stored one. The second stage chooses among what retrieval let
//     through.
//   - The same request on the same snapshot, answered on the same rung, has the
//     same items and scores, whatever its neighbours in a batch were.
//   - A cancelled request that still waits costs nothing; one that a worker has
//     begun is finished and thrown away.
//   - A request that breaks its ranker gets an error; its neighbours get answers.
//   - A version that does not verify, load or answer its golden requests is
//     refused, and what ran before goes on running.
//
// # Caveats
//
// Between two rungs answers differ, so a request under a tight deadline is
// reproducible only when its rung is. Scores of two answers cannot be compared.
package recommend
