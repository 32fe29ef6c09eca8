package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func TestDecodeAccepts(t *testing.T) {
	cases := []struct {
		name, in string
		want     Event
	}{
		{"integer time", `{"user":"u","item":"i","time":1700000000123}`, Event{"u", "i", "", 1700000000123}},
		{"members in any order, spaces", " {\n\"time\" : 0 , \"kind\":\"buy\",\t\"item\":\"i\",\"user\":\"u\"}\r\n", Event{"u", "i", "buy", 0}},
		{"RFC 3339", `{"user":"u","item":"i","time":"2023-11-14T22:13:20Z"}`, Event{"u", "i", "", 1700000000000}},
		{"RFC 3339, offset and fraction", `{"user":"u","item":"i","time":"2023-11-14T23:13:20.1239+01:00"}`, Event{"u", "i", "", 1700000000123}},
		{"escapes", `{"us\u0065r":"a\"b","item":"\ud83d\ude00\\ud800","time":1}`, Event{`a"b`, "😀\\ud800", "", 1}},
		{"replacement character itself", `{"user":"\ufffd","item":"�","time":1}`, Event{"�", "�", "", 1}},
		{"256 bytes", `{"user":"` + strings.Repeat("é", 128) + `","item":"i","time":1}`, Event{UserID(strings.Repeat("é", 128)), "i", "", 1}},
		{"almost 24 hours ahead", fmt.Sprintf(`{"user":"u","item":"i","time":%d}`, now.Add(MaxAhead).UnixMilli()), Event{"u", "i", "", now.Add(MaxAhead).UnixMilli()}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, faults := Decode([]byte(c.in), now)
			if len(faults) > 0 || got != c.want {
				t.Fatalf("got %+v, faults %v; want %+v", got, faults, c.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const good = `"user":"u","item":"i","time":1`
	many := strings.Builder{}
	for i := range 1000 {
		fmt.Fprintf(&many, `"x%d":1,`, i)
	}
	cases := []struct {
		name, in string
		pointers []string // all faults, in order
	}{
		{"empty", ``, []string{""}},
		{"truncated", `{"user":"u"`, []string{""}},
		{"two documents", `{` + good + `}{` + good + `}`, []string{""}},
		{"null", `null`, []string{""}},
		{"array", `[{` + good + `}]`, []string{""}},
		{"string", `"u"`, []string{""}},
		{"too deep", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), []string{""}},
		{"nothing given", `{}`, []string{"/user", "/item", "/time"}},
		{"everything wrong", `{"user":"","item":"a\nb","kind":7,"time":-1,"weight":{"a":["}",1]}}`, []string{"/kind", "/weight", "/user", "/item", "/time"}},
		{"other case", `{"User":"u",` + good + `}`, []string{"/User"}},
		{"twice", `{"item":"j",` + good + `}`, []string{"/item"}},
		{"pointer escapes", `{"a/b~c":1,` + good + `}`, []string{"/a~1b~0c"}},
		{"numbers for ids", `{"user":1,"item":null,"time":1}`, []string{"/user", "/item"}},
		{"empty kind", `{"kind":"",` + good + `}`, []string{"/kind"}},
		{"257 bytes", `{"user":"` + strings.Repeat("x", 257) + `","item":"i","time":1}`, []string{"/user"}},
		{"broken UTF-8", "{\"user\":\"\xff\",\"item\":\"i\",\"time\":1}", []string{"/user"}},
		{"broken UTF-8 name", "{\"\xff\":1,\"item\":\"\",\"user\":\"u\",\"time\":1}", []string{"", "/item"}},
		{"lone surrogate", `{"user":"\ud800","item":"\ude00x","time":1}`, []string{"/user", "/item"}},
		{"surrogate without partner", `{"user":"\ud800\u0041","item":"\ud800abcdefgh","time":1}`, []string{"/user", "/item"}},
		{"C1 control", `{"user":"\u0085","item":"\u007f","time":1}`, []string{"/user", "/item"}},
		{"fractional time", `{"user":"u","item":"i","time":1.5}`, []string{"/time"}},
		{"exponent", `{"user":"u","item":"i","time":1e12}`, []string{"/time"}},
		{"time overflow", `{"user":"u","item":"i","time":9223372036854775808}`, []string{"/time"}},
		{"microseconds", `{"user":"u","item":"i","time":1700000000000000}`, []string{"/time"}},
		{"date only", `{"user":"u","item":"i","time":"2023-11-14"}`, []string{"/time"}},
		{"before 1970", `{"user":"u","item":"i","time":"1969-12-31T23:59:59Z"}`, []string{"/time"}},
		{"far future", `{"user":"u","item":"i","time":"2026-08-02T12:00:00.001Z"}`, []string{"/time"}},
		{"time null", `{"user":"u","item":"i","time":null}`, []string{"/time"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, faults := Decode([]byte(c.in), now)
			var got []string
			for _, f := range faults {
				got = append(got, f.Pointer)
				if f.Detail == "" {
					t.Errorf("fault at %q says nothing", f.Pointer)
				}
			}
			if !slices.Equal(got, c.pointers) {
				t.Fatalf("faults %v, want pointers %q", faults, c.pointers)
			}
		})
	}
	if _, faults := Decode([]byte(`{`+many.String()+good+`}`), now); len(faults) != maxFaults {
		t.Errorf("1,000 unknown members give %d faults, want %d", len(faults), maxFaults)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	in := []Event{{"u", "i", "", 5}, {"<ü>", "\U0001F600", "buy", MaxTime}}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"user":"u","item":"i","time":5}`; !strings.HasPrefix(string(data), want) {
		t.Errorf("wrote %s, want the prefix %s", data, want)
	}
	var out []Event
	if err := json.Unmarshal(data, &out); err != nil || !slices.Equal(in, out) {
		t.Fatalf("read back %v, %v; want %v", out, err, in)
	}
	var invalid *InvalidError
	err = json.Unmarshal([]byte(`[{"user":"u","item":"i","time":5,"x":1}]`), &out)
	if !errors.As(err, &invalid) || invalid.Faults[0].Pointer != "/x" {
		t.Fatalf("unknown member: got %v, want an InvalidError at /x", err)
	}
}

func TestCompareOrdersByIdentity(t *testing.T) {
	sorted := []Event{
		{"a", "z", "z", 9}, {"b", "i", "buy", 1}, {"b", "i", "", 1}, {"b", "i", "w", 1}, {"b", "j", "a", 1}, {"b", "a", "a", 2},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(a, b); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
			}
		}
	}
	if Compare(Event{"u", "i", "", 1}, Event{"u", "i", DefaultKind, 1}) != 0 {
		t.Error("an empty kind differs from the default kind")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"user":"u","item":"i","kind":"k","time":"2023-11-14T22:13:20Z"}`))
	f.Add([]byte(`{"user":"\ud83d\ude00","item":[{"}":"\\\""}],"time":1e3}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, faults := Decode(data, now)
		if len(faults) > 0 {
			return
		}
		if faults := e.Validate(now); len(faults) > 0 {
			t.Fatalf("accepted %q, yet it has faults %v", data, faults)
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, faults := Decode(again, now); len(faults) > 0 || back != e {
			t.Fatalf("%q became %q and reads back as %+v, %v", data, again, back, faults)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(`{"user":"user-123456","item":"item-98765","kind":"view","time":1700000000123}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, faults := Decode(data, now); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
