package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// metaMark begins the meta record of every store.
const metaMark = "seqrec"

// AppendMeta appends the meta record of a store to dst: "seqrec", the version of the key space of its backend, the
// secret, and a checksum (CRC-32C, little-endian).
func AppendMeta(dst []byte, version byte, secret *Secret) []byte {
	start := len(dst)
	dst = append(dst, metaMark...)
	dst = append(dst, version)
	dst = append(dst, secret[:]...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// ParseMeta reads what AppendMeta wrote, for a backend that knows key spaces up to version. Errors: ErrCorrupt,
// ErrNewerFormat.
func ParseMeta(data []byte, version byte) (Secret, error) {
	var secret Secret
	if len(data) <= len(metaMark) || string(data[:len(metaMark)]) != metaMark {
		return secret, fmt.Errorf("not a store of ours: %w", ErrCorrupt)
	}
	if data[len(metaMark)] > version {
		return secret, fmt.Errorf("store format %d: %w", data[len(metaMark)], ErrNewerFormat)
	}
	copy(secret[:], data[len(metaMark)+1:])
	if string(AppendMeta(nil, version, &secret)) != string(data) {
		return secret, fmt.Errorf("checksum: %w", ErrCorrupt)
	}
	return secret, nil
}
