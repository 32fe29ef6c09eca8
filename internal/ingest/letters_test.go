package ingest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// badRecords are named corruptions, each with the reason that its dead letter must give; "" for none. Times count from now.
func badRecords(now time.Time) []struct {
	name, key, value, reason string
} {
	ms := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }
	good := `{"user":"ann","item":"i","time":5}`
	return []struct{ name, key, value, reason string }{
		{"good", "ann", good, ""},
		{"unknown kind", "ann", `{"user":"ann","item":"i","kind":"humming along","time":5}`, ""},
		{"time in 1970", "ann", `{"user":"ann","item":"i","time":0}`, ""},
		{"time an hour ahead", "ann", `{"user":"ann","item":"i","time":` + ms(time.Hour) + `}`, ""},
		{"time as text", "ann", `{"user":"ann","item":"i","time":"2001-01-01T00:00:00Z"}`, ""},
		{"empty", "ann", "", reasonJSON},
		{"not JSON", "ann", "user=ann", reasonJSON},
		{"cut off", "ann", good[:20], reasonJSON},
		{"two documents", "ann", good + good, reasonJSON},
		{"binary", "ann", "\x00\x01\xff\xfe", reasonJSON},
		{"an array", "ann", "[" + good + "]", reasonJSON},
		{"null", "ann", "null", reasonJSON},
		{"another schema", "ann", `{"id":7,"payload":{}}`, reasonSchema},
		{"member too many", "ann", `{"user":"ann","item":"i","time":5,"x":1}`, reasonSchema},
		{"member twice", "ann", `{"user":"ann","user":"bob","item":"i","time":5}`, reasonSchema},
		{"no item", "ann", `{"user":"ann","time":5}`, reasonSchema},
		{"item a number", "ann", `{"user":"ann","item":7,"time":5}`, reasonSchema},
		{"id too long", "ann", `{"user":"ann","item":"` + strings.Repeat("i", 257) + `","time":5}`, reasonSchema},
		{"not UTF-8", "ann", `{"user":"ann","item":"` + "\xff" + `","time":5}`, reasonSchema},
		{"time a fraction", "ann", `{"user":"ann","item":"i","time":5.5}`, reasonSchema},
		{"time before 1970", "ann", `{"user":"ann","item":"i","time":-1}`, reasonTime},
		{"time two days ahead", "ann", `{"user":"ann","item":"i","time":` + ms(48*time.Hour) + `}`, reasonTime},
		{"time in microseconds", "ann", `{"user":"ann","item":"i","time":1700000000000000}`, reasonTime},
		{"null key", "\x00null", good, reasonNullKey},
		{"empty key", "", good, reasonKey},
		{"another's key", "bob", good, reasonKey},
		{"tombstone", "ann", "\x00null", reasonTombstone},
		{"just too large", "ann", good + strings.Repeat(" ", 64<<10), reasonLarge},
		{"10 MB", "ann", `{"user":"` + strings.Repeat("a", 10<<20) + `","item":"i","time":5}`, reasonLarge},
	}
}

// orNull turns the mark that the table has for a null into one.
func orNull(text string) []byte {
	if text == "\x00null" {
		return nil
	}
	return []byte(text)
}

func TestDecode(t *testing.T) {
	now := time.Now()
	for _, c := range badRecords(now) {
		r := record{time: now, key: orNull(c.key), value: orNull(c.value)}
		e, why := decode(&r, 64<<10, now)
		switch {
		case why == nil && c.reason != "":
			t.Errorf("%s: read as %v", c.name, e)
		case why != nil && (why.reason != c.reason || why.detail == ""):
			t.Errorf("%s: %s %s, want %q", c.name, why.reason, why.detail, c.reason)
		case why == nil && e.User != "ann":
			t.Errorf("%s: of user %q", c.name, e.User)
		}
	}
}

// TestDecodeJudgesByItsTime: a replay must refuse what was refused when it was new.
func TestDecodeJudgesByItsTime(t *testing.T) {
	then := time.UnixMilli(1_000_000_000_000)
	ahead := fmt.Sprintf(`{"user":"ann","item":"i","time":%d}`, then.Add(25*time.Hour).UnixMilli())
	r := record{time: then, key: []byte("ann"), value: []byte(ahead)}
	if _, why := decode(&r, 64<<10, then.Add(1000*time.Hour)); why == nil || why.reason != reasonTime {
		t.Errorf("after 1000 hours: %v", why)
	}
	if r.time = then.Add(2 * time.Hour); r.time.IsZero() {
		t.Fatal()
	}
	if _, why := decode(&r, 64<<10, then.Add(1000*time.Hour)); why != nil {
		t.Errorf("within a day of its record: %v", why)
	}
	r.time = then.Add(9000 * time.Hour) // a producer whose clock runs ahead gains nothing by it
	if _, why := decode(&r, 64<<10, then); why == nil {
		t.Error("a record from the future made its event good")
	}
}

func FuzzDecode(f *testing.F) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, c := range badRecords(now) {
		if len(c.value) < 1000 {
			f.Add(orNull(c.key), orNull(c.value))
		}
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r := record{time: now, key: key, value: value, offset: 7}
		e, why := decode(&r, 4096, now)
		if why == nil {
			if faults := e.Validate(now); len(faults) > 0 || string(e.User) != string(key) {
				t.Errorf("%q: %v", value, faults)
			}
			return
		}
		l := cut(letter(r, why, "t", 3))
		if l.header(headerReason) != why.reason || l.header(headerOffset) != "7" || !bytes.HasPrefix(value, l.value) {
			t.Errorf("letter %+v of %q", l, value)
		}
		size := len(l.key) + len(l.value)
		for _, h := range l.headers {
			size += len(h.key) + len(h.value)
		}
		if size > 3*cutTo+longestDetail+1000 {
			t.Errorf("a letter of %d bytes", size)
		}
		decodeItem(&r)
	})
}

// TestDeadLetters: each bad record is found in the dead-letter topic as it was, with its reason and where it stood, and
// no good one is held up.
func TestDeadLetters(t *testing.T) {
	opts := options(t, 2, map[string]string{"": "16777216"})
	want := map[string]int{}
	good := 0
	now := time.Now()
	var messages []kafka.Message
	for _, c := range badRecords(now) {
		messages = append(messages, kafka.Message{
			Key: orNull(c.key), Value: orNull(c.value), Headers: []kafka.Header{{Key: "trace", Value: []byte(c.name)}, {Key: headerReason, Value: []byte("forged")}},
		})
		if c.reason == "" {
			good++
		} else {
			want[c.reason]++
		}
	}
	produceRaw(t, opts, opts.Topic, messages...)
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, s)
	w.wait(t, "all records", func() bool { return w.records >= len(messages) })
	stop()
	if fmt.Sprint(w.bad) != fmt.Sprint(want) {
		t.Errorf("bad %v, want %v", w.bad, want)
	}
	history, err := s.Recent(t.Context(), "ann", 100)
	if err != nil || len(history) != good {
		t.Errorf("%d events are stored, want %d: %v", len(history), good, err)
	}
	letters := readAll(t, opts, opts.Topic+".dead-letter")
	log := readAll(t, opts, opts.Topic)
	for _, c := range badRecords(now) {
		if c.reason == "" {
			continue
		}
		at := slices.IndexFunc(letters, func(r record) bool { return r.header("trace") == c.name })
		if at < 0 {
			t.Errorf("%s: no dead letter", c.name)
			continue
		}
		l := letters[at]
		if !bytes.Equal(l.key, orNull(c.key)) || (l.key == nil) != (c.key == "\x00null") {
			t.Errorf("%s: the key is %.20q", c.name, l.key)
		}
		if !bytes.Equal(l.value, orNull(c.value)) || (l.value == nil) != (c.value == "\x00null") {
			t.Errorf("%s: the value is %.20q", c.name, l.value)
		}
		if l.header(headerReason) != c.reason || l.header(headerDetail) == "" || l.header(headerTopic) != opts.Topic {
			t.Errorf("%s: headers %v", c.name, l.headers)
		}
		source := slices.IndexFunc(log, func(r record) bool { return r.header("trace") == c.name })
		if l.header(headerOffset) != strconv.FormatInt(log[source].offset, 10) {
			t.Errorf("%s: from offset %s, was %d", c.name, l.header(headerOffset), log[source].offset)
		}
	}
	if len(letters) != len(messages)-good {
		t.Errorf("%d letters, want %d", len(letters), len(messages)-good)
	}
}

// TestDeadLetterIsCut: a topic of dead letters that takes no long records stops nobody.
func TestDeadLetterIsCut(t *testing.T) {
	opts := options(t, 1, map[string]string{"": "16777216", ".dead-letter": "100000"})
	long := bytes.Repeat([]byte("x"), 2<<20)
	small := bytes.Repeat([]byte("y"), 60_000) // each fits, two together do not
	produceRaw(t, opts, opts.Topic,
		kafka.Message{Key: []byte("ann"), Value: small}, kafka.Message{Key: []byte("ann"), Value: long}, kafka.Message{Key: []byte("ann"), Value: small},
		kafka.Message{Key: []byte("ann"), Value: []byte("many headers"), Headers: slices.Repeat([]kafka.Header{{Key: "h", Value: long[:5000]}}, 40)},
		kafka.Message{Key: []byte("ann"), Value: []byte(`{"user":"ann","item":"i","time":5}`)})
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, s)
	w.wait(t, "all records", func() bool { return w.records >= 5 })
	stop()
	var cuts, whole, bare int
	for _, l := range readAll(t, opts, opts.Topic+".dead-letter") {
		switch n := l.header(headerCut); {
		case n == strconv.Itoa(len(long)) && len(l.value) == cutTo && bytes.HasPrefix(long, l.value):
			cuts++
		case n == "" && bytes.Equal(l.value, small):
			whole++
		case n == "12" && string(l.value) == "many headers" && len(l.headers) == 3+len(letter(record{}, &fault{}, "", 0).headers)+1:
			bare++
		}
	}
	if cuts != 1 || whole != 2 || bare != 1 {
		t.Errorf("%d cut, %d whole letters, %d with few of their headers, want 1, 2 and 1", cuts, whole, bare)
	}
}

// TestDeadLetterIsOfToday: the stamp of a bad record is kept in a header, since with it the letter would be gone at once, or
// refused.
func TestDeadLetterIsOfToday(t *testing.T) {
	opts := options(t, 1)
	start, stamp := time.Now().Truncate(time.Millisecond), time.UnixMilli(1_000_000_000_000)
	produceRaw(t, opts, opts.Topic, kafka.Message{Key: []byte("ann"), Value: []byte("old"), Time: stamp})
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, openStore(t, t.TempDir()))
	w.wait(t, "the record", func() bool { return w.records >= 1 })
	stop()
	letters := readAll(t, opts, opts.Topic+".dead-letter")
	if len(letters) != 1 || letters[0].time.Before(start) || letters[0].header(headerSent) != "1000000000000" {
		t.Errorf("letters %+v, want one of today, of a record of 2001", letters)
	}
}

// picky is a store that can never take the events of one user.
type picky struct {
	Appender
	err error
}

func (p picky) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	if slices.ContainsFunc(events, func(e event.Event) bool { return e.User == "user-3" }) {
		return store.Result{}, fmt.Errorf("append: %w", p.err)
	}
	return p.Appender.AppendSent(ctx, events, sent)
}

// TestPoisonedHistory: what the store can never take is sent away alone; its neighbours are stored.
func TestPoisonedHistory(t *testing.T) {
	for reason, err := range map[string]error{reasonRefused: store.ErrInvalid, reasonCorrupt: store.ErrCorrupt, reasonNewer: store.ErrNewerFormat} {
		t.Run(reason, func(t *testing.T) {
			opts := options(t, 1)
			events := someEvents(300, 30)
			produce(t, opts, events)
			s := openStore(t, t.TempDir())
			w := newWatcher()
			opts.Observer = w
			stop := consume(t, opts, picky{s, err})
			w.wait(t, "all records", func() bool { return w.records >= len(events) })
			stop()
			compare(t, s, slices.DeleteFunc(events, func(e event.Event) bool { return e.User == "user-3" }))
			if w.bad[reason] != 10 {
				t.Errorf("bad %v, want 10 of %s", w.bad, reason)
			}
		})
	}
}

// TestForeignStore: a store that refuses everything is waited for; its users are not to blame.
func TestForeignStore(t *testing.T) {
	opts := options(t, 1)
	events := someEvents(20, 3)
	produce(t, opts, events)
	s, w := openStore(t, t.TempDir()), newWatcher()
	opts.Observer = w
	stop := consume(t, opts, &away{Appender: s, times: 3, err: fmt.Errorf("append: %w: %w", store.ErrForeign, store.ErrCorrupt)})
	w.wait(t, "all records", func() bool { return w.records >= len(events) })
	stop()
	compare(t, s, events)
	if len(w.bad) > 0 || w.troubles["append"] != 3 {
		t.Errorf("bad %v, troubles %v, want none and 3", w.bad, w.troubles)
	}
}

// TestReplayDeadLetters: what is good by now comes back, the rest is kept.
func TestReplayDeadLetters(t *testing.T) {
	opts := options(t, 2)
	now := time.Now()
	stamp := now.Add(-48 * time.Hour)
	ahead := fmt.Appendf(nil, `{"user":"ann","item":"later","time":%d}`, stamp.Add(38*time.Hour).UnixMilli())
	produceRaw(t, opts, opts.Topic,
		kafka.Message{Value: []byte(`{"user":"ann","item":"keyless","time":5}`)},
		kafka.Message{Key: []byte("ann"), Value: ahead, Time: stamp},
		kafka.Message{Key: []byte("ann"), Value: []byte("never")},
		kafka.Message{Key: []byte("bob"), Value: []byte(`{"user":"ann","item":"i","time":5}`)})
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, s)
	w.wait(t, "all records", func() bool { return w.records >= 4 })
	for i, c := range []struct {
		now  time.Time
		want Mended
	}{
		{stamp.Add(time.Minute), Mended{4, 1, map[string]int64{reasonTime: 1, reasonJSON: 1, reasonKey: 1}}},
		{now, Mended{3, 1, map[string]int64{reasonJSON: 1, reasonKey: 1}}},
		{now, Mended{2, 0, map[string]int64{reasonJSON: 1, reasonKey: 1}}},
	} {
		opts.Now = func() time.Time { return c.now }
		got, err := ReplayDeadLetters(t.Context(), opts)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("run %d: %v, %v; want %v", i+1, got, err, c.want)
		}
	}
	w.wait(t, "the mended ones", func() bool { return w.records >= 6 })
	stop()
	history, err := s.Recent(t.Context(), "ann", 10)
	if err != nil || len(history) != 2 || history[0].Item != "keyless" || history[1].Item != "later" {
		t.Errorf("history %v, %v", history, err)
	}
}
