package train

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// PeakRSS is the most memory that this process had resident so far, in bytes;
// 0 where the system does not tell. It reads the high-water mark of /proc, since
// that of getrusage also counts the program that started this one.
func PeakRSS() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	for s := bufio.NewScanner(f); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "VmHWM:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}
