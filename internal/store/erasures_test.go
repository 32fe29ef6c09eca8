package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func exampleErasures() *ErasureList {
	secret := Secret{1, 2, 3}
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	return NewErasureList(secret, []Receipt{
		{ID: "B", UserHash: secret.UserHash("ann"), Events: 1, At: at.Add(time.Hour)},
		{ID: "A", UserHash: secret.UserHash("ann"), Events: 7, At: at},
		{ID: "C", UserHash: secret.UserHash("bob"), At: at},
	})
}

func TestErasureListReadsBack(t *testing.T) {
	var b bytes.Buffer
	want := exampleErasures()
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadErasures(&b)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := got.Until("ann"); !ok || !at.Equal(want.Receipts[2].At) {
		t.Errorf("ann was erased until %v, %v; want the later of two", at, ok)
	}
	if _, ok := got.Until("eve"); ok || len(got.Receipts) != 3 || got.Receipts[0].ID != "A" {
		t.Errorf("list %+v", got.Receipts)
	}
}

func TestErasureListDamage(t *testing.T) {
	var b bytes.Buffer
	if err := exampleErasures().Write(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	lines := strings.SplitAfter(whole, "\n")
	tests := map[string]struct {
		text string
		want error
	}{
		"nothing":         {"", ErrCorrupt},
		"another file":    {"user,item\n", ErrCorrupt},
		"no end":          {strings.Join(lines[:4], ""), ErrCorrupt},
		"half a line":     {whole[:len(lines[0])+20], ErrCorrupt},
		"a line too few":  {lines[0] + lines[1] + lines[2] + lines[4], ErrCorrupt},
		"more after end":  {whole + lines[1], ErrCorrupt},
		"newer":           {strings.Replace(whole, `format":1`, `format":2`, 1), ErrNewerFormat},
		"no secret":       {strings.Replace(whole, `"secret":"01`, `"secret":"`, 1), ErrCorrupt},
		"bad hash":        {strings.Replace(whole, `"user_hash":"`, `"user_hash":"zz`, 1), ErrCorrupt},
		"no time":         {strings.Replace(whole, `"at"`, `"to"`, 1), ErrCorrupt},
		"too long a line": {lines[0] + strings.Repeat("x", maxErasureLine+1), ErrCorrupt},
	}
	for name, tt := range tests {
		if _, err := ReadErasures(strings.NewReader(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
}

func FuzzReadErasures(f *testing.F) {
	var b bytes.Buffer
	if err := exampleErasures().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ReadErasures(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := l.Write(&again); err != nil {
			return // a year that JSON cannot write
		}
		if _, err := ReadErasures(&again); err != nil {
			t.Errorf("what was read and written does not read: %v", err)
		}
	})
}
