package train

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Errors of checkpoint files.
var (
	// ErrCheckpoint says that a file is not a whole checkpoint.
	ErrCheckpoint = errors.New("not a valid checkpoint")
	// ErrNewerCheckpoint says that a later version of this program wrote it.
	ErrNewerCheckpoint = errors.New("checkpoint of a newer format")
	// ErrOtherRun says that it belongs to a run with other settings or data.
	ErrOtherRun = errors.New("checkpoint of another run")
	// ErrOtherCPU says that it was made with another instruction set, whose sums
	// differ in their last bits.
	ErrOtherCPU = errors.New("checkpoint of another instruction set")
)

// A checkpoint file is (docs/format/checkpoint.md):
//
//	"seqrckpt" version(4)                          12 bytes
//	sections, end to end
//	index: JSON {"sections":[{name,offset,bytes,sha256}]}
//	index length(8) CRC-32 of the index(4) "seqrckpt"  20 bytes
//
// Numbers are little-endian. The index comes last so that sections of unknown
// length can be written in one pass.
const (
	checkpointMagic   = "seqrckpt"
	checkpointVersion = 1
	headBytes         = 12
	tailBytes         = 20
	maxIndexBytes     = 1 << 20
)

// section is one part of a checkpoint.
type section struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type checkpointIndex struct {
	Sections []section `json:"sections"`
}

// part is a section to be written.
type part struct {
	name  string
	write func(io.Writer) error
}

// writeCheckpoint writes the parts aside, syncs them and renames the file into
// place, so that path holds the old checkpoint or the new one whatever happens.
func writeCheckpoint(path string, parts []part) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write checkpoint %s: %w", path, err)
		}
	}()
	b := bufio.NewWriterSize(f, 1<<18)
	if err := encodeCheckpoint(b, parts); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename in dir last through a loss of power.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what a killed writer left beside path.
func sweep(path string) error {
	left, err := filepath.Glob(path + ".tmp-*")
	if err != nil {
		return err
	}
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func encodeCheckpoint(w io.Writer, parts []part) error {
	head := binary.LittleEndian.AppendUint32([]byte(checkpointMagic), checkpointVersion)
	if _, err := w.Write(head); err != nil {
		return err
	}
	var index checkpointIndex
	at := int64(headBytes)
	for _, p := range parts {
		h := sha256.New()
		c := &counter{w: io.MultiWriter(w, h)}
		if err := p.write(c); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		index.Sections = append(index.Sections, section{p.name, at, c.n, hex.EncodeToString(h.Sum(nil))})
		at += c.n
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	tail := binary.LittleEndian.AppendUint64(text, uint64(len(text)))
	tail = binary.LittleEndian.AppendUint32(tail, crc32.ChecksumIEEE(text))
	_, err = w.Write(append(tail, checkpointMagic...))
	return err
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// checkpoint is an open checkpoint whose sections were all verified.
type checkpoint struct {
	r        io.ReaderAt
	sections map[string]section
}

// openCheckpoint verifies a checkpoint of size bytes wholly: frame, index and
// the SHA-256 of every section.
func openCheckpoint(r io.ReaderAt, size int64) (*checkpoint, error) {
	if size < headBytes+tailBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrCheckpoint, size)
	}
	var head [headBytes]byte
	var tail [tailBytes]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(tail[:], size-tailBytes); err != nil {
		return nil, err
	}
	if string(head[:8]) != checkpointMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrCheckpoint, checkpointMagic)
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v > checkpointVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads up to %d", ErrNewerCheckpoint, v, checkpointVersion)
	} else if v < 1 {
		return nil, fmt.Errorf("%w: version %d", ErrCheckpoint, v)
	}
	if string(tail[12:]) != checkpointMagic {
		return nil, fmt.Errorf("%w: it does not end with %q, so it is cut short", ErrCheckpoint, checkpointMagic)
	}
	length := binary.LittleEndian.Uint64(tail[:])
	if length > maxIndexBytes || int64(length) > size-headBytes-tailBytes {
		return nil, fmt.Errorf("%w: index of %d bytes", ErrCheckpoint, length)
	}
	text := make([]byte, length)
	end := size - tailBytes - int64(length)
	if _, err := r.ReadAt(text, end); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(text) != binary.LittleEndian.Uint32(tail[8:]) {
		return nil, fmt.Errorf("%w: checksum of the index differs", ErrCheckpoint)
	}
	c := &checkpoint{r: r, sections: map[string]section{}}
	return c, c.readIndex(text, end)
}

// readIndex checks that the sections fill the file from its head to end and
// hold what was written.
func (c *checkpoint) readIndex(text []byte, end int64) error {
	var index checkpointIndex
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%w: index: %w", ErrCheckpoint, err)
	}
	at := int64(headBytes)
	for _, s := range index.Sections {
		if s.Offset != at || s.Bytes < 0 || s.Bytes > end-at {
			return fmt.Errorf("%w: section %q lies at %d with %d bytes, want offset %d", ErrCheckpoint, s.Name, s.Offset, s.Bytes, at)
		}
		if _, double := c.sections[s.Name]; double {
			return fmt.Errorf("%w: section %q twice", ErrCheckpoint, s.Name)
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(c.r, s.Offset, s.Bytes)); err != nil {
			return err
		}
		if hex.EncodeToString(h.Sum(nil)) != s.SHA256 {
			return fmt.Errorf("%w: SHA-256 of section %q differs", ErrCheckpoint, s.Name)
		}
		c.sections[s.Name] = s
		at += s.Bytes
	}
	if at != end {
		return fmt.Errorf("%w: %d bytes belong to no section", ErrCheckpoint, end-at)
	}
	return nil
}

// section gives a section's bytes.
func (c *checkpoint) section(name string) (*io.SectionReader, error) {
	s, ok := c.sections[name]
	if !ok {
		return nil, fmt.Errorf("%w: no section %q", ErrCheckpoint, name)
	}
	return io.NewSectionReader(c.r, s.Offset, s.Bytes), nil
}
