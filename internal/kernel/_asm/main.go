// Command _asm writes the assembly of package kernel, one group of routines at a
// time:
//
//	go run . -group gemm -pkg kernel -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	group := flag.String("group", "", "routines to write: gemm, vector, learn, score, search or ceiling")
	flag.Parse()
	ConstraintExpr("amd64,!purego")
	switch *group {
	case "gemm":
		gemm()
	case "vector":
		vector()
	case "learn":
		learn()
	case "score":
		score()
	case "search":
		search()
	case "ceiling":
		ceiling()
	default:
		log.Fatalf("unknown group %q", *group)
	}
	Generate()
}
