//go:build !race

package tensortest

// RaceEnabled says that the race detector is on. Under it sync.Pool forgets what it holds at random, so a
// test that counts allocations has nothing to count.
const RaceEnabled = false
