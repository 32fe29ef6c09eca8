package ingest

import (
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Observer is told what a consumer does. Its methods are called from many goroutines and must be quick.
type Observer interface {
	// Took tells of one batch that is in the store and, for the bad ones, in the dead-letter topic; also, with no records,
	// of a fetch that brought nothing and of a batch that has to wait, for the sake of the lag.
	Took(Batched)
	// Committed tells of offsets that the broker has acknowledged for so many partitions.
	Committed(partitions int)
	// Troubled tells of something that failed and will be tried again: "fetch", "append", "dead-letter", "commit",
	// "join"; or that is left out: "gap" (records had been deleted before they were read), "oversize" (a batch that is too
	// much to unpack), "unreadable" (a batch that makes no sense, although its checksum is right).
	Troubled(doing string, err error)
	// Assigned tells which partitions are now ours. It is called at each rebalance, and with nil as soon as we are no member
	// of the group: between two rebalances, while brokers are away, and at the end.
	Assigned(partitions []int)
}

// Batched is one batch of one partition.
type Batched struct {
	Partition int
	Records   int
	Bytes     int           // of keys and values
	Events    []event.Event // valid during the call
	Bad       []string      // the reasons of those that went to the dead-letter topic
	Result    store.Result
	Append    time.Duration
	Lag       int64 // records of the partition that are still to be read
}

type nobody struct{}

func (nobody) Took(Batched)           {}
func (nobody) Committed(int)          {}
func (nobody) Troubled(string, error) {}
func (nobody) Assigned([]int)         {}
