//go:build race

package recommend

// raceEnabled says that the race detector is on.
const raceEnabled = true
