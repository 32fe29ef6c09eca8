package features

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// TimeUnit says what plain numbers in a time column count.
type TimeUnit string

// The time units. TimeAuto decides for the whole file by the median of its
// numeric times: they are seconds when that lies before the year 10000 so read
// (below 2.6e11), else milliseconds likewise (below 2.6e14, which is any time
// after March 1978), else microseconds (below 2.6e17), else nanoseconds.
const (
	TimeAuto     TimeUnit = ""
	Seconds      TimeUnit = "s"
	Milliseconds TimeUnit = "ms"
	Microseconds TimeUnit = "us"
	Nanoseconds  TimeUnit = "ns"
)

// millis returns how many milliseconds one unit is; 0 for TimeAuto, and NaN for
// a unit that does not exist.
func (u TimeUnit) millis() float64 {
	switch u {
	case TimeAuto:
		return 0
	case Seconds:
		return 1e3
	case Milliseconds:
		return 1
	case Microseconds:
		return 1e-3
	case Nanoseconds:
		return 1e-6
	}
	return math.NaN()
}

// parseTime reads a number, or a date (RFC 3339, or "2006-01-02 15:04:05" and
// "2006-01-02" taken as UTC). dated says that t is Unix milliseconds already.
func parseTime(s string) (t float64, dated bool, fault *rowFault) {
	if t, ok := parseFloat(s); ok {
		return t, false, nil
	}
	for _, layout := range [...]string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return float64(at.UnixMilli()), true, nil
		}
	}
	return 0, false, faultf("time", "time %.40q is neither a number nor a date", s)
}

// parseFloat reads a finite decimal number; spaces around it are let pass.
func parseFloat(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "xX_") {
		return 0, false
	}
	return f, true
}
