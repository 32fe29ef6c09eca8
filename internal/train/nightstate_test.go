package train

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seqrec/internal/bucket"
	"seqrec/internal/features"
	"seqrec/internal/registry"
)

const wholeState = `{"format":1,"night":"n","identity":"i","begun":"2026-11-25T02:15:00Z","warm":"v","gathered":{"events":7,"sha256":"x"}}`

func TestNightState(t *testing.T) {
	tests := []struct {
		name, text string
		whole      bool
	}{
		{"whole", wholeState, true},
		{"cut short", wholeState[:40], false},
		{"another file", `[1]`, false},
		{"another format", `{"format":2,"night":"n","identity":"i","begun":"2026-11-25T02:15:00Z"}`, false},
		{"no night", `{"format":1,"identity":"i","begun":"2026-11-25T02:15:00Z"}`, false},
		{"no time", `{"format":1,"night":"n","identity":"i"}`, false},
		{"empty", ``, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), nightStateFile)
			for name, text := range map[string]string{path: tt.text, path + ".tmp-123": "left by a kill"} {
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			s, err := readNight(path)
			if (err == nil) != tt.whole || (s != nil) != tt.whole || tt.whole && (s.Gathered.Events != 7 || s.Warm != "v") {
				t.Errorf("read %+v, %v", s, err)
			}
			if left, _ := filepath.Glob(path + ".tmp-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if s, err := readNight(filepath.Join(t.TempDir(), nightStateFile)); s != nil || err != nil {
		t.Errorf("no file: %+v, %v", s, err)
	}
}

func TestSummaryOfManifest(t *testing.T) {
	for name, tt := range map[string]struct {
		metrics string
		whole   bool
	}{
		"passed":    {`{"ndcg@10":{"mean":0.25},"gate":{"passed":true}}`, true},
		"refused":   {`{"gate":{"passed":false,"reasons":["worse"]}}`, true},
		"no reason": {`{"gate":{"passed":false}}`, false},
		"no gate":   {`{"ndcg@10":{"mean":0.25}}`, false},
		"not JSON":  {`{`, false},
	} {
		s, err := summaryOf(&registry.Manifest{Version: "v", Metrics: json.RawMessage(tt.metrics)})
		if (err == nil) != tt.whole || tt.whole && s.Version != "v" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestSecondOfManifest(t *testing.T) {
	for name, tt := range map[string]struct {
		metrics string
		whole   bool
	}{
		"passed":    {`{"gate":{"passed":false},"second_stage":{"first_stage":"f","promoted":true,"gate":{"passed":true,"against":"w"}}}`, true},
		"refused":   {`{"second_stage":{"first_stage":"f","gate":{"passed":false,"reasons":["worse"]}}}`, true},
		"no reason": {`{"second_stage":{"first_stage":"f","gate":{"passed":false}}}`, false},
		"no first":  {`{"second_stage":{"gate":{"passed":true}}}`, false},
		"no gate":   {`{"gate":{"passed":true},"second_stage":{"first_stage":"f"}}`, false},
		"no second": {`{"gate":{"passed":true}}`, false},
		"not JSON":  {`{`, false},
	} {
		s, err := secondOf(&registry.Manifest{Version: "v", Metrics: json.RawMessage(tt.metrics)})
		if (err == nil) != tt.whole || tt.whole && (s.Version != "v" || s.First != "f" || s.Promoted || s.Gate.Passed != (s.Gate.Against == "w")) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestNightLocks(t *testing.T) {
	reg, work := t.TempDir(), filepath.Join(t.TempDir(), "made", "here")
	unlock, err := lockNights(reg, work)
	if err != nil {
		t.Fatal(err)
	}
	for name, folders := range map[string][2]string{"registry": {reg, t.TempDir()}, "work": {t.TempDir(), work}, "both": {reg, work}} {
		if _, err := lockNights(folders[0], folders[1]); !errors.Is(err, ErrRunning) {
			t.Errorf("%s: error %v, want ErrRunning", name, err)
		}
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = lockNights(reg, reg); err != nil { // one folder for both is locked once
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// usurper is a source that another machine takes the lock from while it is read.
type usurper struct{ lock string }

func (usurper) Name() string { return "usurper" }

func (u usurper) Gather(ctx context.Context, _ *features.Gatherer) ([]features.Item, error) {
	text := `{"format":1,"host":"elsewhere","pid":4711,"token":"x","taken":"2026-11-25T02:15:00Z","renewed":"2026-11-25T02:15:00Z"}`
	for ctx.Err() == nil { // a renewal under way writes over the first
		if err := os.WriteFile(u.lock+".new", []byte(text), 0o644); err != nil {
			return nil, err
		}
		if err := os.Rename(u.lock+".new", u.lock); err != nil {
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
	return nil, ctx.Err()
}

// A night that has lost its lock ends and says why; the lock is left to who has it.
func TestNightLosesItsLock(t *testing.T) {
	place, work := t.TempDir(), t.TempDir()
	b, err := bucket.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	reg, _, err := registry.OpenMirror(b, t.TempDir(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(place, "night.lease")
	_, err = Nightly(t.Context(), Plan{Data: DataPlan{Split: features.SplitTemporal}}, NightlyOptions{
		NightOptions: NightOptions{Registry: reg, Work: work}, Sources: []Source{usurper{lock}},
		Lease: registry.LeaseOptions{Renew: 20 * time.Millisecond, Settle: time.Millisecond},
	})
	if !errors.Is(err, registry.ErrLost) || !strings.Contains(err.Error(), "process 4711 on elsewhere has taken it") {
		t.Errorf("ended with %v", err)
	}
	if text, err := os.ReadFile(lock); err != nil || !strings.Contains(string(text), "4711") {
		t.Errorf("the lock of the other: %s, %v", text, err)
	}
	unlock, err := lockNights(reg.Dir(), work)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
