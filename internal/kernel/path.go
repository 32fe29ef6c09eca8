package kernel

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// The instruction sets, slowest first.
const (
	pathGeneric int32 = iota
	pathAVX2
	pathAVX512
)

var pathNames = [...]string{"generic", "avx2", "avx512"}

// chosen is the instruction set in use: the widest the machine has, until
// SetPath says otherwise.
var chosen = func() *atomic.Int32 {
	var p atomic.Int32
	p.Store(widestPath())
	return &p
}()

// Features returns the instruction set in use: "avx512", "avx2" or "generic".
func Features() string { return pathNames[chosen.Load()] }

// Paths returns the instruction sets that this machine and build can use, widest
// first.
func Paths() []string {
	paths := slices.Clone(pathNames[:widestPath()+1])
	slices.Reverse(paths)
	return paths
}

// SetPath makes all later calls use the named instruction set. It fails when the
// name is unknown or the machine lacks it. It is meant for program start and for
// tests: work under way may finish on either.
func SetPath(name string) error {
	i := slices.Index(pathNames[:], name)
	if i < 0 {
		return fmt.Errorf("choose instruction set: %q is none of generic, avx2, avx512", name)
	}
	if int32(i) > widestPath() {
		return fmt.Errorf("choose instruction set: this machine or build has no %s", name)
	}
	chosen.Store(int32(i))
	return nil
}
