package store

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"seqrec/internal/event"
)

var update = flag.Bool("update", false, "rewrite the golden files of the current format")

// sample is one line of a golden file: what a chunk holds and its bytes.
type sample struct {
	Name    string
	Head    *Head `json:",omitempty"`
	Entries []Entry
	Bytes   string
}

func samples() []sample {
	minutes := func(n int, gap int64) []Entry {
		var out []Entry
		for i := range n {
			out = append(out, Entry{1_700_000_000_000 + int64(i)*gap, uint32(i * 37 % 3416), 0})
		}
		return out
	}
	return []sample{
		{Name: "one event at time 0", Head: &Head{}, Entries: []Entry{{0, 0, 0}}},
		{Name: "largest values", Head: &Head{math.MaxInt64 / 60_000, math.MaxInt32}, Entries: []Entry{{0, math.MaxUint32, math.MaxUint32}, {event.MaxTime, math.MaxUint32, math.MaxUint32}}},
		{Name: "sealed, whole minutes", Entries: minutes(20, 60_000)},
		{Name: "equal times, kinds", Head: &Head{29_000_000, 640}, Entries: []Entry{{5, 1, 0}, {5, 1, 1}, {5, 2, 3}, {5, 900, 0}}},
		{Name: "odd milliseconds", Entries: []Entry{{1_700_000_000_001, 7, 0}, {1_700_000_123_456, 8, 2}, {1_700_999_123_457, 70_000, 0}}},
	}
}

const goldenFile = "testdata/history-v1.ndjson"

// TestGolden holds the format: samples written by earlier programs stay readable, and today's bytes are the same.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	f, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := samples()
	lines := 0
	for in := bufio.NewScanner(f); in.Scan(); lines++ {
		var g sample
		if err := json.Unmarshal(in.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(g.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseChunk(data)
		if err != nil {
			t.Fatalf("%s: %v", g.Name, err)
		}
		got, err := c.Last(nil, c.Count)
		if err != nil || !slices.Equal(got, g.Entries) || c.IsHead != (g.Head != nil) || c.IsHead && c.Head != *g.Head {
			t.Errorf("%s: read %v %+v, %v; want %v", g.Name, got, c.Head, err, g.Entries)
		}
		if again := AppendChunk(nil, g.Head, g.Entries); !slices.Equal(again, data) {
			t.Errorf("%s: now written as %x, was %x", g.Name, again, data)
		}
		if g.Name != want[lines].Name || !slices.Equal(g.Entries, want[lines].Entries) {
			t.Errorf("line %d is %q, want %q; run with -update", lines+1, g.Name, want[lines].Name)
		}
	}
	if lines != len(want) {
		t.Errorf("%d samples, want %d", lines, len(want))
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	var out strings.Builder
	for _, s := range samples() {
		s.Bytes = hex.EncodeToString(AppendChunk(nil, s.Head, s.Entries))
		line, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	if err := os.WriteFile(goldenFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestChunkReadsNewest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 63, 64, 65, 1000, MaxChunk} {
		for _, unit := range []int64{1, 1000, 86_400_000} {
			entries := randomEntries(rng, n, unit)
			prefix := []byte("kept")
			c, err := ParseChunk(AppendChunk(prefix, nil, entries)[len(prefix):])
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range []int{-1, 0, 1, n / 2, n, n + 1} {
				got, err := c.Last([]Entry{{1, 2, 3}}, k)
				if err != nil {
					t.Fatal(err)
				}
				if want := entries[n-min(max(k, 0), n):]; !slices.Equal(got[1:], want) {
					t.Fatalf("newest %d of %d, unit %d: wrong entries", k, n, unit)
				}
			}
		}
	}
}

func randomEntries(rng *rand.Rand, n int, unit int64) []Entry {
	out := make([]Entry, n)
	t := 1_000_000_000_000 + rng.Int64N(1000)
	for i := range out {
		out[i] = Entry{t, rng.Uint32N(4000), rng.Uint32N(3) * rng.Uint32N(2)}
		t += rng.Int64N(5) * unit
	}
	return out
}

// TestChunkSize shows the figure that the format is made for.
func TestChunkSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	entries := make([]Entry, 320)
	now := int64(1_700_000_000_123)
	for i := range entries {
		now += int64(rng.ExpFloat64() * 8 * 3600_000) // some events a day, in milliseconds
		entries[i] = Entry{now, rng.Uint32N(100_000), 0}
	}
	size := float64(len(AppendChunk(nil, &Head{29_000_000, 1000}, entries))) / float64(len(entries))
	if size > 7.2 {
		t.Errorf("%.2f bytes an event, want at most 7.2", size)
	}
}

func TestChunkPanicsWithoutEntries(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an empty chunk was written")
		}
	}()
	AppendChunk(nil, nil, nil)
}

// signed returns b with a good checksum, so that a corruption reaches the code behind it.
func signed(b ...byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clone(b), crc32.Checksum(b, castagnoli))
}

func TestChunkCorruptions(t *testing.T) {
	whole := AppendChunk(nil, &Head{29_000_000, 640}, randomEntries(rand.New(rand.NewPCG(3, 3)), 50, 1000))
	cases := []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"version 0", signed(0, 0, 1, 5, 1, 0), ErrCorrupt},
		{"newer version", signed(chunkVersion+1, 0, 1, 5, 1, 0), ErrNewerFormat},
		{"newer version, other checksum", []byte{chunkMark | 15}, ErrNewerFormat},
		{"another mark", signed(chunkVersion+16, 0, 1, 5, 1, 0), ErrCorrupt},
		{"unknown flag", signed(chunkVersion, 2, 1, 5, 1, 0), ErrCorrupt},
		{"no events", signed(chunkVersion, 0, 0, 5, 1, 0), ErrCorrupt},
		{"unit 0", signed(chunkVersion, 0, 1, 5, 0, 0), ErrCorrupt},
		{"more events than bytes", signed(chunkVersion, 0, 100, 5, 1, 0, 0), ErrCorrupt},
		{"count out of range", signed(chunkVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 5, 1, 0), ErrCorrupt},
		{"count in a long form", signed(chunkVersion, 0, 0x81, 0, 5, 1, 0), ErrCorrupt},
		{"time before 1970", signed(chunkVersion, 0, 2, 5, 1, 0, 6, 0), ErrCorrupt},
		{"time before 1970 by unit", signed(chunkVersion, 0, 3, 5, 3, 0, 1, 0, 1, 0), ErrCorrupt},
		{"time delta beyond all", signed(chunkVersion, 0, 2, 5, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0), ErrCorrupt},
		{"item out of range", signed(chunkVersion, 0, 1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1), ErrCorrupt},
		{"default kind spelled out", signed(chunkVersion, 0, 1, 5, 1, 1, 0), ErrCorrupt},
		{"kind missing", signed(chunkVersion, 0, 1, 5, 1, 1), ErrCorrupt},
		{"varint without end", signed(chunkVersion, 0, 1, 5, 1, 0x80), ErrCorrupt},
		{"event missing", signed(chunkVersion, 0, 2, 5, 1, 0, 0x80, 0), ErrCorrupt},
		{"bytes after the last event", signed(chunkVersion, 0, 1, 5, 1, 0, 0), ErrCorrupt},
		{"head cut", signed(chunkVersion, 1, 0x80, 0x80, 0x80, 0x80), ErrCorrupt},
		{"checksum cut", whole[:len(whole)-1], ErrCorrupt},
		{"two chunks", append(slices.Clone(whole), whole...), ErrCorrupt},
	}
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 0x10
		cases = append(cases, struct {
			name string
			data []byte
			want error
		}{fmt.Sprintf("bit of byte %d flipped", i), flipped, ErrCorrupt})
	}
	for _, c := range cases {
		if _, err := readAll(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := readAll(signed(chunkVersion, 0, 1, 5, 1, 0)); err != nil {
		t.Errorf("the chunk that these cases spoil: %v", err)
	}
}

func readAll(data []byte) ([]Entry, error) {
	c, err := ParseChunk(data)
	if err != nil {
		return nil, err
	}
	return c.Last(nil, c.Count)
}

// FuzzChunk repairs the checksum of its input, so that the fuzzer reaches the code behind it. What is read must be
// sound, and must survive writing and reading.
func FuzzChunk(f *testing.F) {
	for _, s := range samples() {
		data := AppendChunk(nil, s.Head, s.Entries)
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseChunk(signed(data...))
		if err != nil {
			return
		}
		entries, err := c.Last(nil, c.Count)
		if err != nil {
			return
		}
		for i, e := range entries {
			if e.Time < 0 || e.Time > event.MaxTime || i > 0 && e.Time < entries[i-1].Time {
				t.Fatalf("entry %d of %v is out of range or order", i, entries)
			}
		}
		var head *Head
		if c.IsHead {
			head = &c.Head
		}
		again, err := readAll(AppendChunk(nil, head, entries))
		if err != nil || !slices.Equal(again, entries) {
			t.Fatalf("read %v, wrote it, read %v, %v", entries, again, err)
		}
	})
}

func BenchmarkChunk(b *testing.B) {
	entries := randomEntries(rand.New(rand.NewPCG(4, 4)), 260, 1000)
	data := AppendChunk(nil, &Head{29_000_000, 640}, entries)
	b.Run("write 260", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 4096)
		for b.Loop() {
			dst = AppendChunk(dst[:0], &Head{29_000_000, 640}, entries)
		}
		b.ReportMetric(float64(len(data))/float64(len(entries)), "bytes/event")
	})
	b.Run("read newest 200 of 260", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]Entry, 0, 300)
		for b.Loop() {
			c, err := ParseChunk(data)
			if err != nil {
				b.Fatal(err)
			}
			if dst, err = c.Last(dst[:0], 200); err != nil {
				b.Fatal(err)
			}
		}
	})
}
