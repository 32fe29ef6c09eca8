package features

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoldenReadsBack(t *testing.T) {
	want := []Golden{{History: []string{"a"}, Answer: []string{"b", "<c>"}}, {History: []string{"a", "d"}, Answer: []string{"e"}}}
	var b bytes.Buffer
	if err := WriteGolden(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadGolden(&b)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("read back %v, %v", got, err)
	}
}

func TestGoldenDamage(t *testing.T) {
	line := `{"history":["a"],"answer":["b"]}` + "\n"
	for name, text := range map[string]string{
		"nothing": "", "not JSON": "a,b\n", "half a line": line + line[:20], "no history": `{"answer":["b"]}`, "no answer": `{"history":["a"]}`,
		"empty id": `{"history":[""],"answer":["b"]}`, "too many": strings.Repeat(line, maxGolden+1), "too long": strings.Repeat(" ", maxGoldenLine+1),
	} {
		if list, err := ReadGolden(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read as %v", name, list)
		}
	}
}

func FuzzReadGolden(f *testing.F) {
	f.Add([]byte(`{"history":["a"],"answer":["b"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadGolden(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteGolden(&b, list); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadGolden(&b); err != nil || !cmp.Equal(again, list) {
			t.Errorf("read %v, then %v, %v", list, again, err)
		}
	})
}
