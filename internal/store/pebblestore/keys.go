package pebblestore

import (
	"seqrec/internal/event"
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
