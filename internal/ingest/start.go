package ingest

import (
	"fmt"
	"time"
)

// Start says where in the log a group begins that has committed nothing yet. The zero value is the earliest record.
type Start struct {
	latest bool
	at     time.Time     // zero: not by time
	ago    time.Duration // 0: not by age
}

// ParseStart reads "earliest" (or ""), "latest", a time in RFC 3339, or a duration such as "24h", which means so long ago.
func ParseStart(text string) (Start, error) {
	switch text {
	case "", "earliest":
		return Start{}, nil
	case "latest":
		return Start{latest: true}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return Start{ago: ago}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Start{}, fmt.Errorf("start: must be earliest, latest, a duration such as 24h or a time such as 2026-01-02T15:04:05Z, is %q", text)
	}
	return Start{at: at}, nil
}

// String is the form that ParseStart reads.
func (s Start) String() string {
	switch {
	case s.latest:
		return "latest"
	case s.ago > 0:
		return s.ago.String()
	case !s.at.IsZero():
		return s.at.Format(time.RFC3339)
	}
	return "earliest"
}

// since is the time to begin at; zero means the first record.
func (s Start) since(now time.Time) time.Time {
	if s.ago > 0 {
		return now.Add(-s.ago)
	}
	return s.at
}

// ParseMoment reads a time in RFC 3339 or a duration before now; "" is the zero time.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("must be a time such as 2026-01-02T15:04:05Z or a duration such as 24h, is %q", text)
	}
	return at, nil
}
