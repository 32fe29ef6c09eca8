package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"seqrec/internal/eval"
	"seqrec/internal/registry"
	"seqrec/internal/store"
)

// Origin tells where gathered data comes from.
type Origin struct {
	Night   string // the run that gathered it
	Sources []string
	Doubled int // events that more than one source told of
	Erased  *Erasures
}

// Erasures are those that the data obeys.
type Erasures struct {
	Receipts []store.Receipt // by time, then id
	Users    int             // whose events the sources still held
	Events   int             // such events, left out
}

// write writes what a version folder keeps: a receipt a line.
func (e *Erasures) write(w io.Writer) error {
	lines := json.NewEncoder(w)
	for _, r := range e.Receipts {
		if err := lines.Encode(r); err != nil {
			return fmt.Errorf("write erasures: %w", err)
		}
	}
	return nil
}

// commitment is what the manifest says of them.
func (e *Erasures) commitment() *registry.Erased {
	var b bytes.Buffer
	_ = e.write(&b) // memory takes everything
	return &registry.Erased{Receipts: len(e.Receipts), SHA256: sumHex(b.Bytes()), Users: e.Users, Events: e.Events}
}

// facts are the lines of the report.
func (o *Origin) facts() []eval.Fact {
	facts := []eval.Fact{{Name: "told by more than one source", Value: eval.Whole(o.Doubled) + " events, used once"}}
	if e := o.Erased; e != nil {
		facts = append(facts, eval.Fact{Name: "erased users", Value: fmt.Sprintf("%s events of %s users left out by %s receipts", eval.Whole(e.Events), eval.Whole(e.Users), eval.Whole(len(e.Receipts)))})
	}
	return facts
}

// ErasuresOf gives what a verified version says of erased users, nil when it says
// nothing, and the receipts it obeys.
func ErasuresOf(reg *registry.Registry, version string) (*registry.Erased, []store.Receipt, error) {
	v, err := reg.Load(version)
	if err != nil || v.Manifest.Erased == nil {
		return nil, nil, err
	}
	e := v.Manifest.Erased
	var receipts []store.Receipt
	err = readFile(v, registry.ErasuresFile, func(in io.Reader) error {
		for lines := json.NewDecoder(in); ; {
			var r store.Receipt
			if err := lines.Decode(&r); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			receipts = append(receipts, r)
		}
	})
	if err == nil && len(receipts) != e.Receipts {
		err = fmt.Errorf("%s holds %d receipts, the manifest says %d", registry.ErasuresFile, len(receipts), e.Receipts)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("version %s: %w", version, err)
	}
	return e, receipts, nil
}
