package kernel

//go:generate sh -c "cd _asm && go run . -group gemm -pkg kernel -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go"
//go:generate sh -c "cd _asm && go run . -group vector -pkg kernel -out ../vector_amd64.s -stubs ../vector_stubs_amd64.go"
//go:generate sh -c "cd _asm && go run . -group learn -pkg kernel -out ../learn_amd64.s -stubs ../learn_stubs_amd64.go"
//go:generate sh -c "cd _asm && go run . -group score -pkg kernel -out ../score_amd64.s -stubs ../score_stubs_amd64.go"
//go:generate sh -c "cd _asm && go run . -group search -pkg kernel -out ../search_amd64.s -stubs ../search_stubs_amd64.go"
//go:generate sh -c "cd _asm && go run . -group ceiling -pkg kernelbench -out ../kernelbench/ceiling_amd64.s -stubs ../kernelbench/ceiling_stubs_amd64.go"
