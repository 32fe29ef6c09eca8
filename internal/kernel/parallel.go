package kernel

import "sync"

// Parallel calls fn(worker, i) for each i in [0,n). Index i always goes to worker
// i % workers, each worker goes through its indices upwards, and Parallel returns
// when all are done, so sums kept per worker come out the same at every run. With
// one worker everything runs in the calling goroutine. A panic in fn is raised
// again in the caller after all workers have ended.
func Parallel(n, workers int, fn func(worker, i int)) {
	if n < 0 {
		panic(badSize)
	}
	if workers < 1 {
		panic(badWorkers)
	}
	if workers == 1 || n <= 1 {
		for i := range n {
			fn(0, i)
		}
		return
	}
	var wait sync.WaitGroup
	var once sync.Once
	var broken any
	for worker := range min(n, workers) {
		wait.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					once.Do(func() { broken = r })
				}
			}()
			for i := worker; i < n; i += workers {
				fn(worker, i)
			}
		})
	}
	wait.Wait()
	if broken != nil {
		panic(broken)
	}
}
