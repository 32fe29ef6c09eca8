package pebblestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// The key space. Ids hold no zero byte, so a zero byte ends them.
//
//	'e' receipt-id            erasure receipt
//	'i' item-id               item
//	'm'                       meta record
//	'n' kind-of-name 'n' u32  name of a number (big-endian)
//	'n' kind-of-name 's' name number of a name (big-endian)
//	'u' user 0 1 sealed-key   sealed chunk
//	'u' user 0 2              newest chunk
const (
	receiptSpace = 'e'
	itemSpace    = 'i'
	nameSpace    = 'n'
	userSpace    = 'u'

	sealedPart = 1
	headPart   = 2
	userEnd    = 3 // after all parts
)

var metaKey = []byte{'m'}

// appendUser appends the key of a part of a user's history.
func appendUser(dst []byte, user event.UserID, part byte) []byte {
	dst = append(dst, userSpace)
	dst = append(dst, user...)
	return append(dst, 0, part)
}

func itemKey(id event.ItemID) []byte { return append([]byte{itemSpace}, id...) }

func receiptKey(id string) []byte { return append([]byte{receiptSpace}, id...) }

// metaVersion is the version of the key space and of the meta record.
const metaVersion = 1

// appendMeta writes the meta record: "seqrec", version, secret, checksum (CRC-32C, little-endian).
func appendMeta(dst []byte, secret *store.Secret) []byte {
	start := len(dst)
	dst = append(dst, "seqrec"...)
	dst = append(dst, metaVersion)
	dst = append(dst, secret[:]...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], crc32.MakeTable(crc32.Castagnoli)))
}

func parseMeta(data []byte) (store.Secret, error) {
	var secret store.Secret
	if len(data) < 7 || string(data[:6]) != "seqrec" {
		return secret, fmt.Errorf("not a store of ours: %w", store.ErrCorrupt)
	}
	if data[6] > metaVersion {
		return secret, fmt.Errorf("store format %d: %w", data[6], store.ErrNewerFormat)
	}
	copy(secret[:], data[7:])
	if string(appendMeta(nil, &secret)) != string(data) {
		return secret, fmt.Errorf("checksum: %w", store.ErrCorrupt)
	}
	return secret, nil
}
