package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"seqrec/internal/event"
)

// Items and receipts are stored as records: a version byte, JSON, and a checksum of both.

// recordVersion is the first byte of a record; as with chunks, the high half is a mark and the low half the version.
const recordVersion = recordMark | 1

// recordMark is the high half of the first byte of a record of any version.
const recordMark = 0xD0

// MaxItem is the largest stored form of an item in bytes.
const MaxItem = 64 << 10

// EncodeItem returns the stored form of an item; now stands in for a zero Updated. Errors: ErrInvalid.
func EncodeItem(item Item, now time.Time) ([]byte, error) {
	if detail := event.CheckID(string(item.ID)); detail != "" {
		return nil, fmt.Errorf("%w: item id %s", ErrInvalid, detail)
	}
	if item.Updated.IsZero() {
		item.Updated = now
	}
	item.Updated = item.Updated.UTC().Truncate(time.Millisecond)
	data, err := encodeRecord(item)
	if err != nil {
		return nil, fmt.Errorf("%w: item %q: %w", ErrInvalid, item.ID, err)
	}
	if len(data) > MaxItem {
		return nil, fmt.Errorf("%w: item %q takes %d bytes, more than %d", ErrInvalid, item.ID, len(data), MaxItem)
	}
	return data, nil
}

// DecodeItem reads what EncodeItem wrote. Errors: ErrCorrupt, ErrNewerFormat.
func DecodeItem(data []byte) (Item, error) {
	var item Item
	if err := decodeRecord(data, &item); err != nil {
		return Item{}, fmt.Errorf("item: %w", err)
	}
	return item, nil
}

// EncodeReceipt returns the stored form of a receipt.
func EncodeReceipt(r Receipt) ([]byte, error) { return encodeRecord(r) }

// DecodeReceipt reads what EncodeReceipt wrote. Errors: ErrCorrupt, ErrNewerFormat.
func DecodeReceipt(data []byte) (Receipt, error) {
	var r Receipt
	if err := decodeRecord(data, &r); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

func encodeRecord(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	data := append([]byte{recordVersion}, body...)
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli)), nil
}

func decodeRecord(data []byte, v any) error {
	if len(data) > 0 && data[0] > recordVersion && data[0] <= recordMark|0x0f {
		return fmt.Errorf("record format %d: %w", data[0]-recordMark, ErrNewerFormat)
	}
	end := len(data) - 4
	if end < 1 || data[0] != recordVersion || crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return fmt.Errorf("record checksum: %w", ErrCorrupt)
	}
	if err := json.Unmarshal(data[1:end], v); err != nil {
		return fmt.Errorf("%w: record: %w", ErrCorrupt, err)
	}
	return nil
}
