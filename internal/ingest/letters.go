package ingest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// The headers of a dead letter. Key, value and the other headers are those of the bad record.
const (
	headerPrefix    = "seqrec-"
	headerReason    = headerPrefix + "reason"    // one word, see the reasons in record.go
	headerDetail    = headerPrefix + "detail"    // a sentence for people
	headerTopic     = headerPrefix + "topic"     // where the record stood
	headerPartition = headerPrefix + "partition" //
	headerOffset    = headerPrefix + "offset"    //
	headerSent      = headerPrefix + "sent"      // when it was first given to the log, in Unix milliseconds
	headerCut       = headerPrefix + "cut"       // length of the value before it was cut to fit; absent if it is whole
)

const (
	// lettersAtOnce bounds the bytes of dead letters that are written in one batch.
	lettersAtOnce = 256 << 10
	// cutTo is what is kept of the value, of the key and of the foreign headers of a letter that the dead-letter topic finds
	// too long.
	cutTo = 16 << 10
	// longestDetail bounds the sentence for people, which may quote the record.
	longestDetail = 1000
)

// letter makes a dead letter of a bad record. Its stamp is that of the day it is written: with an old one it would be beyond
// retention before anybody looks, and brokers refuse one that lies ahead.
func letter(r record, why *fault, topic string, partition int) record {
	headers := slices.DeleteFunc(slices.Clone(r.headers), func(h header) bool { return strings.HasPrefix(h.key, headerPrefix) })
	add := func(key, value string) { headers = append(headers, header{key, []byte(value)}) }
	add(headerReason, why.reason)
	add(headerDetail, why.detail[:min(len(why.detail), longestDetail)])
	add(headerTopic, topic)
	add(headerPartition, strconv.Itoa(partition))
	add(headerOffset, strconv.FormatInt(r.offset, 10))
	add(headerSent, strconv.FormatInt(r.sent().UnixMilli(), 10))
	r.headers, r.time = headers, time.Time{}
	return r
}

// cut shortens a letter and says so. Of the foreign headers those go that do not fit into cutTo together.
func cut(r record) record {
	room := cutTo
	r.headers = slices.DeleteFunc(slices.Clone(r.headers), func(h header) bool {
		if strings.HasPrefix(h.key, headerPrefix) {
			return false
		}
		room -= len(h.key) + len(h.value)
		return room < 0
	})
	r.headers = append(r.headers, header{headerCut, []byte(strconv.Itoa(len(r.value)))})
	r.value = r.value[:min(len(r.value), cutTo)]
	r.key = r.key[:min(len(r.key), cutTo)]
	return r
}

// header returns the value of a header, "" when it is not there.
func (r *record) header(key string) string {
	for _, h := range r.headers {
		if h.key == key {
			return string(h.value)
		}
	}
	return ""
}

// producer is what letters are sent with; a cluster.
type producer interface {
	produce(ctx context.Context, topic string, partition int, records []record) error
	partitions(ctx context.Context, topic string) ([]int, error)
}

// send writes letters to a topic, in batches, to a partition that follows from the one they came from. One that is too
// long for the topic is cut. On error some may have been written.
func send(ctx context.Context, to producer, topic string, from int, letters []record) error {
	ids, err := to.partitions(ctx, topic)
	if err != nil {
		return err
	}
	partition := ids[from%len(ids)]
	for len(letters) > 0 {
		n, size := 1, len(letters[0].value)
		for n < len(letters) && size+len(letters[n].value) <= lettersAtOnce {
			size += len(letters[n].value)
			n++
		}
		if err := sendSome(ctx, to, topic, partition, letters[:n]); err != nil {
			return err
		}
		letters = letters[n:]
	}
	return nil
}

func sendSome(ctx context.Context, to producer, topic string, partition int, letters []record) error {
	err := to.produce(ctx, topic, partition, letters)
	if !errors.Is(err, kafka.MessageSizeTooLarge) && !errors.Is(err, kafka.InvalidMessageSize) {
		return err
	}
	if len(letters) > 1 { // one of them, or all together
		half := len(letters) / 2
		if err := sendSome(ctx, to, topic, partition, letters[:half]); err != nil {
			return err
		}
		return sendSome(ctx, to, topic, partition, letters[half:])
	}
	if letters[0].header(headerCut) != "" {
		return err
	}
	return sendSome(ctx, to, topic, partition, []record{cut(letters[0])})
}
