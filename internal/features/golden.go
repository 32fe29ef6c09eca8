package features

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"seqrec/internal/event"
)

// Golden is a request with the answer that a model gave when it was published.
// Whoever serves the model asks it again: what answers otherwise is not the model
// that was judged.
type Golden struct {
	History []string `json:"history"` // item ids, oldest first
	Answer  []string `json:"answer"`  // item ids, best first; those of the history are left out
}

// Bounds of a file of golden requests.
const (
	maxGolden     = 64
	maxGoldenLine = 1 << 20
)

// WriteGolden writes a request a line.
func WriteGolden(w io.Writer, list []Golden) error {
	b := bufio.NewWriter(w)
	for i := range list {
		if err := writeJSONLine(b, &list[i]); err != nil {
			return fmt.Errorf("write golden request %d: %w", i, err)
		}
	}
	return b.Flush()
}

// ReadGolden reads what WriteGolden wrote. It refuses a file without requests, with
// more than 64, and one with a request that asks or answers nothing.
func ReadGolden(r io.Reader) ([]Golden, error) {
	var list []Golden
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxGoldenLine)
	for n := 1; in.Scan(); n++ {
		var g Golden
		if err := json.Unmarshal(in.Bytes(), &g); err != nil {
			return nil, fmt.Errorf("golden request %d: %w", n, err)
		}
		if len(g.History) == 0 || len(g.Answer) == 0 || n > maxGolden {
			return nil, fmt.Errorf("golden request %d: want 1 to %d requests of history and answer", n, maxGolden)
		}
		for _, ids := range [][]string{g.History, g.Answer} {
			for _, id := range ids {
				if why := event.CheckID(id); why != "" {
					return nil, fmt.Errorf("golden request %d: item id %s", n, why)
				}
			}
		}
		list = append(list, g)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read golden requests: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("read golden requests: there are none")
	}
	return list, nil
}
