package baseline

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// neighbours is the index of VMIS-kNN: sessions numbered from the newest, and
// for each item the newest sessions that hold it.
type neighbours struct {
	offset   []int     // session s is items[offset[s]:offset[s+1]], each item once
	items    []int32   // items of the sessions, newest session first
	lists    []int     // sessions with item i are list[lists[i]:lists[i+1]]
	list     []int32   // ascending, so newest first, at most m an item
	idf      []float32 // log(|H| / h_i); 0 for an item in no session
	sessions int       // |H|
}

// session is a stretch of one user's training history.
type session struct {
	items []int32
	at    int64 // time of its newest event, 0 when unknown
}

// cutSessions makes sessions of the training histories, newest first; where times
// are equal or absent, the later user and the later stretch count as newer. The
// paper's sessions are visits of minutes, while a history of years, taken as one
// session, resembles everything and says little. So a history is cut, when longest
// is above 0, into stretches of at most that many events, the newest one full.
func cutSessions(s *features.Split, longest int) []session {
	var all []session
	for u := len(s.Train) - 1; u >= 0; u-- {
		items := s.Train[u]
		for end := len(items); end > 0; {
			start := 0
			if longest > 0 {
				start = max(0, end-longest)
			}
			one := session{items: items[start:end]}
			if s.TrainTimes != nil {
				one.at = s.TrainTimes[u][end-1]
			}
			all = append(all, one)
			end = start
		}
	}
	slices.SortStableFunc(all, func(a, b session) int { return cmp.Compare(b.at, a.at) })
	return all
}

// newNeighbours indexes sessions, newest first, over n items, keeping the m
// newest sessions of each item.
func newNeighbours(all []session, n, m int) *neighbours {
	x := &neighbours{offset: make([]int, 1, len(all)+1), sessions: len(all)}
	last := make([]int, n) // session that last held the item, plus one
	for s, one := range all {
		for _, item := range one.items {
			if last[item] != s+1 {
				last[item] = s + 1
				x.items = append(x.items, item)
			}
		}
		x.offset = append(x.offset, len(x.items))
	}
	x.index(n, m)
	return x
}

// index fills in lists and idf from the sessions.
func (x *neighbours) index(n, m int) {
	held := make([]int, n)
	for _, item := range x.items {
		held[item]++
	}
	x.lists, x.idf = make([]int, n+1), make([]float32, n)
	for i, h := range held {
		x.lists[i+1] = x.lists[i] + min(h, m)
		if h > 0 {
			x.idf[i] = float32(math.Log(float64(x.sessions) / float64(h)))
		}
	}
	x.list = make([]int32, x.lists[n])
	used := slices.Clone(x.lists[:n])
	for s := range x.sessions {
		for _, item := range x.items[x.offset[s]:x.offset[s+1]] {
			if used[item] < x.lists[item+1] {
				x.list[used[item]] = int32(s)
				used[item]++
			}
		}
	}
}

// knnScratch is what one query writes to; it is all zero between queries.
type knnScratch struct {
	like   []float32 // similarity of each session
	match  []int32   // how far back the newest item shared with it is, from 1
	found  []uint64  // bitmap of sessions that share an item
	sample []int32   // the m newest of them, newest first
	score  []float32 // similarity of each of sample
	best   kernel.TopK
	votes  []kernel.Scored
}

func newKNNScratch(sessions int) *knnScratch {
	return &knnScratch{
		like: make([]float32, sessions), match: make([]int32, sessions), found: make([]uint64, (sessions+63)/64),
	}
}

// score writes the score of every item after history to dst. With s the newest
// MaxLength events of history and pos(i) the place of item i in it, 1 for the
// oldest (of an item that occurs twice the newer place counts), this is
// algorithm 1 of the paper:
//
//	H_s = the m newest sessions that share an item with s
//	r_n = sum over i in s and n of pos(i) / |s|                  for n in H_s
//	N_s = the k sessions of H_s with the largest r_n, equal ones by the newer
//	d_i = sum over n in N_s with i in n of lambda(n) · r_n · log(|H| / h_i)
//
// where lambda(n) = max(0, 1 - 0.1·b) and b counts back to the newest item that s
// and n share, 1 for the last of s; |s| counts different items.
func (x *neighbours) score(dst, rest []float32, history []int32, o Options, w *knnScratch) {
	copy(dst, rest)
	s := history[max(0, len(history)-o.MaxLength):]
	x.compare(s, w)
	x.choose(o, w)
	for _, v := range w.votes {
		n := w.sample[v.Item]
		weight := v.Score * max(0, 1-0.1*float32(w.match[n]))
		if weight == 0 {
			continue
		}
		for _, item := range x.items[x.offset[n]:x.offset[n+1]] {
			if vote := weight * x.idf[item]; vote > 0 {
				if dst[item] < 1 {
					dst[item] = 1
				}
				dst[item] += vote
			}
		}
	}
	w.clear()
}

// compare finds the sessions that share an item with s and how much they do.
func (x *neighbours) compare(s []int32, w *knnScratch) {
	different := 0
	for i, item := range s {
		if !slices.Contains(s[i+1:], item) {
			different++
		}
	}
	for back := range s {
		at := len(s) - 1 - back
		item := s[at]
		if slices.Contains(s[at+1:], item) {
			continue
		}
		weight := float32(at+1) / float32(different)
		for _, n := range x.list[x.lists[item]:x.lists[item+1]] {
			if w.match[n] == 0 {
				w.match[n] = int32(back) + 1
				w.found[n>>6] |= 1 << (n & 63)
			}
			w.like[n] += weight
		}
	}
}

// choose takes the m newest sessions found and of those the k most similar.
func (x *neighbours) choose(o Options, w *knnScratch) {
	w.sample, w.score = w.sample[:0], w.score[:0]
	for word, set := range w.found {
		for ; set != 0 && len(w.sample) < o.Sample; set &= set - 1 {
			n := int32(word*64 + bits.TrailingZeros64(set))
			w.sample = append(w.sample, n)
			w.score = append(w.score, w.like[n])
		}
	}
	w.best.Reset(min(o.Neighbours, len(w.score)))
	w.best.Scan(w.score, 0, nil)
	w.votes = w.best.Sorted(w.votes)
}

// clear forgets the sessions found.
func (w *knnScratch) clear() {
	for word, set := range w.found {
		for ; set != 0; set &= set - 1 {
			n := word*64 + bits.TrailingZeros64(set)
			w.like[n], w.match[n] = 0, 0
		}
		w.found[word] = 0
	}
}
