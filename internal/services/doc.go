// Package services starts the real servers that tests and benchmarks run against: Redis and Kafka, as processes of this
// machine, on free loopback ports, with their data in a folder of the caller's. It is no part of the product: only tests,
// benches and `make services-up` use it.
//
// A server that a test started dies with the test, also when the test is killed. Nothing here is a fake; what cannot be
// had (no redis-server on PATH, no Java) is an error that names the mend.
package services
