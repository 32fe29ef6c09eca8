// Package ingest is where events arrive by Kafka: it reads them, appends them to a store, and only then says that it has
// them. It is the only door to Kafka, so what the service writes there (events that came over REST, items, dead letters)
// goes through here too.
//
// The promise is that every event of the log is in the store, once, whatever is killed, restarted or rebalanced meanwhile.
// It rests on two things and on nothing else. Offsets are committed only after the append was acknowledged, so a crash can
// bring a batch again and can never skip one. An event is identified by the whole of itself (package event), so a batch
// that comes again, or is read by two consumers at once while a group changes hands, changes nothing. No exactness is
// asked of the client library: of kafka-go only single fetches and the membership of the group are used, not its Reader,
// whose queue outlives a rebalance.
//
// A reader new to it should follow Consumer.Run, then partition.follow, which is the life of one partition, then decode.
//
// Caveats. Events of one user are appended in the order of the log when their records have the user as key and all
// producers use the same partitioner (ours is murmur2, as in Java's client); the history in the store is sorted by time
// either way. Records of aborted transactions are read like others.
package ingest
