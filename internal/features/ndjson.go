package features

import (
	"errors"
	"fmt"
	"io"
	"time"

	"seqrec/internal/event"
)

// readNDJSON reads events in the JSON form of the event package, one a line.
func (r *rows) readNDJSON(l *lineReader) error {
	for {
		line, long, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after line %d: %w", l.line, err)
		}
		if long {
			r.faults.add(l.line, faultf("long", "the line is over %d bytes", maxLine))
			continue
		}
		if len(line) == 0 {
			continue
		}
		// The bound on future times needs a clock, which an import of old logs
		// does not have a use for: the zero time leaves the year 9999.
		e, faults := event.Decode(line, time.Time{})
		if len(faults) > 0 {
			r.faults.add(l.line, jsonFault(faults[0]))
			continue
		}
		r.addEvent(l.line, e)
	}
}

// jsonFault names a fault of an event by the member it is in.
func jsonFault(f event.Fault) *rowFault {
	switch f.Pointer {
	case "/user", "/item", "/time", "/kind":
		return &rowFault{f.Pointer[1:], f.String()}
	}
	return &rowFault{"json", f.String()}
}
